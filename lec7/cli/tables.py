"""Tables in a terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table under its title; numbers stand to the right.

    Args:
        title: a line above the table.
        columns: headings; one that ends in "#" is a column of numbers.
        rows: a text for each column.
    """
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        number = column.endswith("#")
        table.add_column(column.removesuffix("#"), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as it is: brackets are no markup
    console = Console()
    console.print(Text(title), style="bold", soft_wrap=True)
    console.print(table)


def number(value: float | str | None) -> str:
    """Four places; what is not finite is a text in JSON.

    >>> number(0.5), number("nan"), number(None)
    ('0.5000', 'nan', '')
    """
    return f"{value:.4f}" if isinstance(value, float) else str(value or "")
