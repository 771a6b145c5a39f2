"""Tables of the page, whose numbers are sorted by value."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A text, what it is sorted by (None: by the text), and whether it is marked as another than its neighbours."""

    text: str
    value: float | None = None
    differs: bool = False


class Column(NamedTuple):
    """A heading, and whether numbers stand below it."""

    title: str
    numeric: bool


class Table(NamedTuple):
    """What it is of, headings, and rows."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table.

    Args:
        caption: what it is of.
        columns: headings; one that ends in "#" is a column of numbers.
        rows: values or cells, one for each column.

    >>> table("runs", ["run", "loss#"], [["digits-1", 0.25]]).rows
    [[Cell(text='digits-1', value=None, differs=False), Cell(text='0.25', value=0.25, differs=False)]]
    """
    headings = [Column(title.removesuffix("#"), title.endswith("#")) for title in columns]
    return Table(caption, headings, [[cell(value) for value in row] for row in rows])


def cell(value: Any, differs: bool = False) -> Cell:
    """A cell of a value: numbers in few digits, nothing for None."""
    if isinstance(value, Cell):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell("" if value is None else str(value), None, differs)
    return Cell(number(value), float(value) if math.isfinite(value) else None, differs)


def number(value: float) -> str:
    """A number in few characters: four digits of a float, all of an int.

    >>> number(0.98055), number(3e-05), number(1234567.0), number(20000), number(float("nan"))
    ('0.9806', '3e-05', '1,234,567', '20,000', 'nan')
    """
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
