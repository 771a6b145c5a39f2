"""`lec7 compare`: runs side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lec7.cli.options import read
from lec7.cli.tables import show
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.report.differences import Difference, Figure

SHORT = 12
"""Characters of a commit or a checksum that are shown."""


@dataclass(frozen=True)
class Options:
    """Which runs."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN")]
    """Folders of two runs or more; all are compared with the first."""


def main(arguments: list[str]) -> int:
    """Prints what differs between runs, their figures, and what stands against comparing them."""
    options = read(Options, arguments, "compare", "Tell what differs between runs, and their figures side by side.")
    if len(options.runs) < 2:
        given = f"{len(options.runs)} given" if options.runs else "none given"
        raise InputError(f"expected two runs or more, as in lec7 compare runs/digits-1 runs/digits-2; {given}")
    from lec7.cli.build import refuse_sweep
    from lec7.experiment import RunFolder
    from lec7.report.differences import caveats, differences, figures, labels

    runs = [RunFolder(path) for path in options.runs]
    for run in runs:
        refuse_sweep(run.config, run.path)
    names = labels(runs)
    if found := differences(runs):
        show("what differs", ("", "", *names), map(_setting, found))
    else:
        print("in what was run, and on what, there is no difference\n")
    first, *others = names
    show(
        f"what came out, and the difference to {first}", ("", f"{first}#", *_pairs(others)), map(_figure, figures(runs))
    )
    for text in caveats(runs):
        print(f"- {text}")
    return 0


def _pairs(names: list[str]) -> list[str]:
    """Headings of runs that have a column for their differences."""
    return [heading for name in names for heading in (f"{name}#", "#")]


def _setting(row: Difference) -> tuple[str, ...]:
    return (row.kind, row.name, *(_text(row, value) for value in row.values))


def _text(row: Difference, value: Any) -> str:
    """A setting in few words; a run that has none has no text."""
    if value is None:
        return ""
    if row.name in ("commit", "experiment file"):
        digits, plus, changes = str(value).partition("+")
        return f"{digits[:SHORT]}{plus}{changes}"
    if row.kind == "data":
        return re.sub(" of .*; ", ", ", str(value))  # what an example has is told below
    return str(value) or '""'


def _figure(row: Figure) -> tuple[str, ...]:
    first, *others = row.values
    cells = [_number(row.name, first)]
    for value in others:
        change = None if first is None or value is None else value - first
        cells += [_number(row.name, value), _number(row.name, change, "+")]
    return (row.name.replace("_per_second", "/s"), *cells)


def _number(name: str, value: float | None, sign: str = "") -> str:
    """A figure with the places that say something.

    >>> _number("test/loss", 0.25), _number("step", 2000), _number("seconds", -1.26, "+"), _number("test/loss", None)
    ('0.2500', '2,000', '-1.3', '')
    >>> _number("test/loss", 0.0, "+")
    '0'
    """
    if value is None:
        return ""
    if sign and value == 0:
        return "0"
    places = {"step": 0, "seconds": 1, "examples_per_second": 0}.get(name, 4)
    return f"{value:{sign},.{places}f}"
