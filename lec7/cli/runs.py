"""`lec7 runs`: list runs with their results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lec7.cli.options import read
from lec7.cli.tables import number, show
from lec7.errors import InputError, nearest

if TYPE_CHECKING:
    from lec7.experiment import RunFolder

COLUMNS = ("run", "experiment", "status", "step", "accuracy", "loss", "seconds")
NUMBERS = COLUMNS[3:]

Row = dict[str, Any]
"""What is known of a run, by column; numbers that are not finite are texts, as in JSON."""


@dataclass(frozen=True)
class Options:
    """Which folder, and which order."""

    workdir: Path = Path("runs")
    """Folder of the runs."""
    sort: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    """Column to sort by: numbers by value, what is missing last; by default the oldest run comes first."""
    descending: bool = False
    """The greatest first, or the youngest."""


def main(arguments: list[str]) -> int:
    """Prints a table, oldest run first unless another order is asked for."""
    options = read(Options, arguments, "runs", "List runs with their results.")
    if options.sort is not None and options.sort not in COLUMNS:
        raise InputError(
            f"--sort is {options.sort!r}, expected a column{nearest(options.sort, COLUMNS)}; "
            f"the columns are {', '.join(COLUMNS)}"
        )
    from lec7.experiment.folder import runs

    rows = ordered([_row(run) for run in runs(options.workdir)], options.sort, options.descending)
    show(
        f"runs in {options.workdir}",
        [f"{name}#" if name in NUMBERS else name for name in COLUMNS],
        ([_text(name, row.get(name)) for name in COLUMNS] for row in rows),
    )
    return 0


def ordered(rows: list[Row], column: str | None, descending: bool) -> list[Row]:
    """Rows in the order of a column; equal ones stay in theirs, and those that have nothing there come last.

    >>> rows = [{"loss": 10.0}, {"loss": "nan"}, {"loss": 9.0}, {}]
    >>> ordered(rows, "loss", descending=False)
    [{'loss': 9.0}, {'loss': 10.0}, {'loss': 'nan'}, {}]
    >>> ordered(rows, "loss", descending=True)
    [{'loss': 10.0}, {'loss': 9.0}, {'loss': 'nan'}, {}]
    """
    if column is None:
        return rows[::-1] if descending else rows
    kinds = (int, float) if column in NUMBERS else str
    there = [row for row in rows if isinstance(row.get(column), kinds)]
    missing = [row for row in rows if not isinstance(row.get(column), kinds)]
    return sorted(there, key=lambda row: row[column], reverse=descending) + missing


def _row(run: RunFolder) -> Row:
    from lec7.experiment.ending import DAMAGED, ending

    end = ending(run)
    try:
        config = run.config
    except InputError:
        return {"run": run.path.name, "status": DAMAGED}
    if end.status == DAMAGED:
        return {"run": run.path.name, "experiment": Path(config["experiment"]).stem, "status": DAMAGED}
    return {
        "run": run.path.name,
        "experiment": Path(config["experiment"]).stem + _how_many(config, run.result or {}),
        "status": end.status,
        "step": end.step,
        "accuracy": end.figures.get("test/accuracy"),
        "loss": end.figures.get("test/loss"),
        "seconds": end.figures.get("seconds"),
    }


def _text(column: str, value: Any) -> str:
    if column == "seconds" and value is not None:
        return f"{value:.1f}"
    return number(value) if column in ("accuracy", "loss") else "" if value is None else str(value)


def _how_many(config: dict[str, Any], result: dict[str, Any]) -> str:
    """How many members an ensemble has, or lanes a sweep, of which the figures are the best one's."""
    if "sweep" in config:
        return f" x {result['lanes']} lanes" if "lanes" in result else ", a sweep"
    return f" x {config['members']}" if config.get("members", 1) > 1 else ""
