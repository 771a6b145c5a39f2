"""`lec7 bench`: how fast a device is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lec7.cli.options import read
from lec7.cli.tables import show
from lec7.errors import InputError, nearest

if TYPE_CHECKING:
    from lec7.bench import Part

ALL = "all"
DESCRIPTION = (
    "Measure how fast training, optimizers, augmentation, sweeps, solvers and input are on a device, as rates and as "
    "shares of what it can do at the most: copy memory, and multiply large matrices. Parts: step, optimizer, augment, "
    "sweep, solver, input."
)


@dataclass(frozen=True)
class Options:
    """What to measure."""

    parts: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PART")] = (ALL,)
    """Which parts; all by default."""
    json: Path | None = None
    """A file for the figures."""
    picture: Path | None = None
    """A PNG file for the roofline: operations a second against operations for each byte."""
    compare: tuple[Path, Path] | None = None
    """Two files that --json wrote, to be compared; nothing is measured."""
    rounds: int = 7
    """Turns of each piece of work, of which the median counts."""
    seconds: float = 0.3
    """Length of a turn, about."""


def main(arguments: Sequence[str]) -> int:
    """Measures and prints, or compares."""
    options: Options = read(Options, arguments, "bench", DESCRIPTION)
    if options.compare is not None:
        _compare(*options.compare)
        return 0
    _check(options)
    from lec7.bench import PARTS, here, measurements, of_device
    from lec7.bench.words import HEADINGS, cells, limit_rows, line

    if unknown := [part for part in options.parts if part not in (*PARTS, ALL)]:
        near = nearest(unknown[0], [*PARTS, ALL])
        raise InputError(f"no part {unknown[0]!r}, expected some of {', '.join(PARTS)}, or {ALL}{near}")
    parts: list[Part] = [part for part in PARTS if {part, ALL} & {*options.parts}]
    record = here()
    print(f"{record.device}, {record.machine}, JAX {record.versions['jax']}\n\n{line(HEADINGS)}", flush=True)
    for figure, met in measurements(parts, of_device(), rounds=options.rounds, seconds=options.seconds):
        record = record.with_figure(figure, met)
        print(line(cells(figure)), flush=True)
    print()
    show("limits, the best of all rounds", ("", "#"), limit_rows(record))
    if options.json is not None:
        record.save(options.json)
        print(f"{options.json} has the figures; lec7 bench --compare {options.json} OTHER.json sets them beside others")
    if options.picture is not None:
        from lec7.report.roofline import roofline

        print(f"{roofline(record, options.picture)} shows them under the roofline")
    return 0


def _check(options: Options) -> None:
    if options.rounds < 1:
        raise InputError(f"--rounds is {options.rounds}, expected at least 1")
    if not options.seconds > 0:
        raise InputError(f"--seconds is {options.seconds}, expected more than 0")
    for name, path in (("json", options.json), ("picture", options.picture)):
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(f"--{name} is {path}, but there is no folder {path.parent}")


def _compare(first: Path, second: Path) -> None:
    from lec7.bench import load
    from lec7.bench.words import compared, compared_limits, on_one_alone

    one, other = load(first), load(second)
    for path, record in ((first, one), (second, other)):
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        print(f"{path}: {record.device}, {record.machine}; {versions}")
    print()
    show("limits", ("", "", f"{first.stem}#", f"{second.stem}#", "ratio#"), compared_limits(one, other))
    show(
        f"rates, and {second.stem} as a multiple of {first.stem}",
        ("part", "work", "", f"{first.stem}#", f"{second.stem}#", "ratio#", "share#", "share#"),
        compared(one, other),
    )
    if lonely := on_one_alone(one, other):
        print(f"Measured on one alone: {'; '.join(lonely)}.")
