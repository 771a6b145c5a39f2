"""`lec7 report`: tables and pictures of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lec7.cli.options import read
from lec7.cli.tables import show
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.sweep.results import Results

TOP = 20
"""Settings that are shown."""


@dataclass(frozen=True)
class Options:
    """Which sweep, and what its settings are judged by."""

    sweep: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SWEEP")]
    """Folder of the sweep."""
    metric: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What settings are judged by, such as test/loss; by default what the sweep was, or else the accuracy."""
    direction: Literal["minimize", "maximize"] | None = None
    """Whether little or much of it is good; by default as its name says."""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = TOP
    """Settings that are shown."""


def main(arguments: list[str]) -> int:
    """Prints the best settings, and writes pictures and a page in the sweep's folder."""
    options = read(Options, arguments, "report", "Tell what came out of a sweep, in a table and in pictures.")
    if options.top < 1:
        raise InputError(f"--top is {options.top}, expected at least 1")
    from lec7 import report, sweep

    found = sweep.read(options.sweep, options.metric, options.direction)
    tell(found.results, found.command, options.top)
    for path in report.sweep(found.results, options.sweep, found.name, found.command):
        print(f"wrote {path}")
    return 0


def tell(results: Results, command: str, top: int = TOP) -> None:
    """Prints the best settings, and the command line that runs the best.

    Args:
        results: of a sweep.
        command: how a command line begins that runs one setting.
        top: how many settings are shown.

    Raises:
        InputError: no lane has ended.
    """
    from lec7.report.sweeps.figures import best, summary, table

    columns, rows = table(results)
    show(f"{summary(results)}; the best by {results.metric} first", columns, rows[:top])
    if len(rows) > top:
        print(f"{len(rows) - top} more are not shown\n")
    for setting in best(results.settings(), 1):
        print(f"the best is run by:\n{command} {setting.options}".rstrip())
