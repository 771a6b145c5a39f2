"""docs/benchmarks.md, of what was found; and the table in the README, which quotes it."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from lec7.bench import load
from lec7.bench.words import digits, markdown
from peers.race import RESULTS, Row

ROOT = Path(__file__).resolve().parents[2]
PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
BEGIN, END = "<!-- benchmarks: scripts/bench_peers writes this table -->", "<!-- end of benchmarks -->"
HEAD = """# Benchmarks

lec7 beside what one would use in its place, and beside what the device can do. All of this is written by
`scripts/bench_peers` from what it measured; `scripts/bench_growth.py`, `scripts/bench_host.py` and `lec7 bench` add
their part.

The work is equal: same layers, batch, dtype, data and optimizer; each framework in the way of its own tutorial, in
`scripts/peers/in_*.py`. All of a kind take turns in one process, backwards in every other round, so that what else the
machine does meets them all. A ratio is lec7's speed as a multiple of the other's, the median over rounds, with its
quartiles: above 1, lec7 is faster; "meant to be" is what was aimed at beforehand. Machines that are shared are noisy:
trust the ratios, not the rates.
"""
TITLES = {
    "training": "Training steps",
    "accuracy": "Time to 90 %",
    "start": "Start",
    "adam": "Adam's update",
    "networks": "Pretrained networks",
    "augmentation": "Augmentation",
    "solvers": "Second order",
    "sweeps": "Sweeps",
}


def write() -> Path:
    """Writes both, and gives the page's path."""
    found = {part: json.loads(path.read_text()) for part in TITLES if (path := RESULTS / f"{part}.json").exists()}
    sections = [section(TITLES[part], part, one) for part, one in found.items()]
    for name, tell in {"bench_cpu": limits, "growth": growth, "host": host}.items():
        if (path := RESULTS / f"{name}.json").exists():
            sections.append(tell(path))
    PAGE.write_text("\n\n".join([HEAD.strip(), *map("\n".join, sections), gpu()]) + "\n")
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"README.md has no place for the table: expected the lines {BEGIN} and {END}")
    told = [found[part] for part in QUOTED if part in found]
    rows = [row for part in told for row in rows_of(part) if row.target is not None]
    where = "; ".join(dict.fromkeys(part["machine"] for part in told))
    README.write_text(f"{before}{BEGIN}\n" + "\n".join(quoted(rows)) + f"\n\n{where}.\n{END}{after}")
    return PAGE.relative_to(ROOT)


QUOTED = ("training", "accuracy", "adam", "networks", "start")
"""Parts whose rows with a target the README has."""


def rows_of(found: dict[str, Any]) -> list[Row]:
    """The rows of a part."""
    return [Row(**row) for row in found["rows"]]


def section(title: str, part: str, found: dict[str, Any]) -> Iterator[str]:
    """The lines of a part."""
    yield f"## {title}\n"
    yield "| work | lec7 | beside | its rate | lec7 is as fast, times | meant to be |"
    yield "|---|---:|---|---:|---:|---:|"
    last = ""
    for row in rows_of(found):
        ours = f"{digits(row.ours)} {row.unit}/s"
        work, last = ("", last) if row.work == last else (row.work, row.work)
        target = "" if row.target is None else f"{row.target:g}" + (", missed" if row.missed else "")
        ratio = f"**{row.ratio:.2f}** ({row.low:.2f} to {row.high:.2f})"
        yield f"| {work} | {ours if work else ''} | {row.peer} | {digits(row.theirs)} | {ratio} | {target} |"
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    yield f"\n`scripts/bench_peers {part}`, {found['date']}, {found['machine']}; {versions}."
    yield from note(part)


def note(part: str) -> Iterator[str]:
    """What a person wrote about the figures of a part."""
    path = Path(__file__).parent / "notes" / f"{part}.md"
    if path.exists():
        yield f"\n{path.read_text().strip()}"


def quoted(rows: Iterable[Row]) -> Iterator[str]:
    """The README's table: a line for each work, with all whom it was done beside."""
    yield "| work | lec7 is as fast, times |"
    yield "|---|---|"
    for work, beside in groupby(rows, key=lambda row: row.work):
        yield f"| {work} | {', '.join(f'**{row.ratio:.2f}** {row.peer}' for row in beside)} |"


def limits(path: Path) -> Iterator[str]:
    """What `lec7 bench` found, as shares of what the device can do."""
    record = load(path)
    yield "## Beside the device's limits\n"
    yield from markdown(record)
    yield f"\n`lec7 bench --json FILE`, {record.device}, {record.machine}, JAX {record.versions['jax']}."
    yield from note("limits")


def growth(path: Path) -> Iterator[str]:
    """What `scripts/bench_growth.py` found."""
    found = json.loads(path.read_text())
    yield "## As work grows\n\nTime as a power of size: 1 is proportional, 0 does not grow.\n"
    yield "| time of | by | from | to | exponent | between the last two |"
    yield "|---|---|---:|---:|---:|---:|"
    for one in found["rows"]:
        ends = [f"{one['sizes'][i]:,}: {1000 * one['seconds'][i]:.3g} ms" for i in (0, -1)]
        exponents = f"{one['exponent']:.2f} | {one['last']:.2f}"
        yield f"| {one['what']} | {one['against']} | {' | '.join(ends)} | {exponents} |"
    yield f"\n`scripts/bench_growth.py`, {found['date']}, {found['device']}, JAX {found['jax']}."
    yield from note("growth")


def host(path: Path) -> Iterator[str]:
    """What `scripts/bench_host.py` found."""
    found = json.loads(path.read_text())
    yield "## Between dispatches\n\nFor how long nothing is computed, in runs whose programs are compiled already.\n"
    yield "| run | where | gaps | of the time | median | longest |"
    yield "|---|---|---:|---:|---:|---:|"
    for one in found["rows"]:
        longest = ", ".join(f"{length:.0f}" for length in one["longest"])
        counts = f"{one['count']} | {one['share']:.1%} | {one['median']:.2f} ms | {longest} ms"
        yield f"| {one['run']} | {one['where']} | {counts} |"
    yield f"\n`scripts/bench_host.py`, {found['date']}, {found['device']}, JAX {found['jax']}."
    yield from note("host")


def gpu() -> str:
    """The section on a GPU."""
    path = RESULTS / "gpu.md"
    told = (
        path.read_text().strip() if path.exists() else "Not measured: no GPU was lent. `scripts/bench_gpu.sh` does it."
    )
    return f"## On a GPU\n\n{told}"
