"""Tables in a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MOST = 10_000
"""Columns of a line, at most."""


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table under its title; numbers stand to the right.

    Each row is one line, however wide: no word is cut, and what is printed can be searched and pasted.

    Args:
        title: a line above the table.
        columns: headings; one that ends in "#" is a column of numbers.
        rows: a text for each column.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        number = column.endswith("#")
        table.add_column(column.removesuffix("#"), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(Text, row))  # as it is: brackets are no markup
    console = Console()
    console.print(Text(title), style="bold", soft_wrap=True)
    console.width = console.measure(table, options=console.options.update(max_width=MOST)).maximum
    console.print(table)
    console.print()


def number(value: float | str | None) -> str:
    """Four places; what is not finite is a text in JSON.

    >>> number(0.5), number("nan"), number(None)
    ('0.5000', 'nan', '')
    """
    return f"{value:.4f}" if isinstance(value, float) else str(value or "")
