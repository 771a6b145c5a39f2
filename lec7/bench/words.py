"""Figures and limits in words."""

from collections.abc import Sequence

from lec7.bench.limits import HOST, MEMORY
from lec7.bench.work import Figure

HEADINGS = ("part", "work", "rate", "", "spread", "GB/s", "GFLOP/s", "share", "of")
WIDTHS = (-9, -44, 10, -12, 9, 8, 9, 6, -8)
"""Of columns; negative where texts stand to the left."""


def line(cells: Sequence[str]) -> str:
    """A line of the table."""
    columns = zip(cells, WIDTHS, strict=True)
    return " ".join(cell.rjust(width) if width > 0 else cell.ljust(-width) for cell, width in columns).rstrip()


def cells(figure: Figure) -> tuple[str, ...]:
    """A figure in words, a column each."""
    spread = (figure.high - figure.low) / 2 / figure.rate
    return (
        figure.part,
        figure.name,
        digits(figure.rate),
        f"{figure.unit}/s",
        f"± {spread:.0%}",
        digits(figure.nbytes / 1e9),
        digits(figure.flops / 1e9),
        f"{figure.share:.0%}",
        figure.bound,
    )


def digits(value: float) -> str:
    """Three digits that count, or more ahead of the point.

    >>> digits(12345.6), digits(12.345), digits(0.01234), digits(0.0)
    ('12,346', '12.3', '0.0123', '')
    """
    if value == 0:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def title_of(limit: str) -> tuple[str, str]:
    """What a limit is called, and its unit."""
    titles = {MEMORY: "memory, copied", HOST: "from the host"}
    return (titles[limit], "GB/s") if limit in titles else (f"matrix product, {limit}", "GFLOP/s")
