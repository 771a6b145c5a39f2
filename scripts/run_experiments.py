"""Runs the experiments of the lecture, and writes experiments/README.md from what they found.

    .venv/bin/python scripts/run_experiments.py [NAME ...]        all of them in full, or some; an hour on two cores
    .venv/bin/python scripts/run_experiments.py --quick           each in a minute or two, to see that it runs
    .venv/bin/python scripts/run_experiments.py --only-index      the index of what was found before

What a full run found is kept in experiments/results/, its picture in docs/.
"""

import ast
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS, RESULTS, PICTURES = ROOT / "experiments", ROOT / "experiments" / "results", ROOT / "docs"
NAMES = (
    "optimizer_paths",
    "optimizers_on_digits",
    "learning_rate_decay",
    "second_order",
    "ensembles",
    "regularization",
    "augmentation",
    "transfer",
    "digits",
    "fashion",
)
"""In the lecture's order, and then the two to begin with."""
HEAD = """# The lecture as experiments

Each file is a claim of the lecture, runs without a network, and ends with whether its figures bear the claim out.
`--quick` does all of it in small, in a minute or two; `lec7 run FILE` trains with one setting of those that have a
`build`. This page is written by `scripts/run_experiments.py` from what the runs found.

| experiment | claim | time | figure |
|---|---|---:|---|
"""


@dataclass(frozen=True)
class Options:
    """Which, and how much of them."""

    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME")] = ()
    """Experiments, without the .py; all by default."""
    quick: bool = False
    """In small; the index stays as it is."""
    only_index: bool = False
    """Runs nothing."""


def index(results: dict[str, dict]) -> str:
    """The page, in Markdown.

    Args:
        results: what `claims.command` noted, by experiment; one that is missing was not run in full.
    """
    rows, sections = [], []
    for name in NAMES:
        found = results.get(name, {"seconds": None, "picture": None})
        picture = f"[picture](../docs/{found['picture']})" if found["picture"] else ""
        rows.append(f"| [{name}.py]({name}.py) | {about(name)} | {told(found['seconds'])} | {picture} |")
        if name in results:
            command = f"`.venv/bin/python experiments/{name}.py`, {told(found['seconds'])} on {found['on']}:"
            sections.append("\n".join([f"## {name}", "", command, "", *map(line, found["findings"]), ""]))
    return HEAD + "\n".join(rows) + "\n\n" + "\n".join(sections)


def line(finding: dict[str, str]) -> str:
    """A finding as a line of the page."""
    return f"- **{finding['answer'].capitalize()}**: {finding['claim']}: {finding['figures']}."


def about(name: str) -> str:
    """The first line of an experiment's file: what it claims."""
    text = ast.get_docstring(ast.parse((EXPERIMENTS / f"{name}.py").read_text())) or ""
    return text.splitlines()[0]


def told(seconds: float | None) -> str:
    """A time in words; none for what was not run.

    >>> told(20), told(600)
    ('20 s', '10 min')
    """
    if seconds is None:
        return "not run in full yet"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def kept() -> dict[str, dict]:
    """What full runs found, in order."""
    paths = {name: RESULTS / f"{name}.json" for name in NAMES}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def run(name: str, quick: bool) -> int:
    """Runs one; its exit code."""
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary) / f"{name}.json" if quick else RESULTS / f"{name}.json"
        words = [sys.executable, EXPERIMENTS / f"{name}.py", "--results", results, *(["--quick"] if quick else [])]
        print(f"\n=== {name}", flush=True)
        return subprocess.run(words, cwd=temporary if quick else PICTURES, check=False).returncode


def main(options: Options) -> int:
    """Runs them; 1 if one failed."""
    if unknown := set(options.names) - set(NAMES):
        print(f"no experiment {min(unknown)!r}, expected some of {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = [] if options.only_index else [name for name in options.names or NAMES if run(name, options.quick)]
    if not options.quick:
        (EXPERIMENTS / "README.md").write_text(index(kept()))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
