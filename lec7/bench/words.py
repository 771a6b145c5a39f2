"""Figures and limits in words."""

from collections.abc import Iterator, Sequence

from lec7.bench.limits import HOST, MEMORY
from lec7.bench.record import Record
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


def limit_rows(record: Record) -> Iterator[tuple[str, str]]:
    """What each limit is called, and its rate."""
    for name, rate in record.limits.items():
        title, unit = title_of(name)
        yield title, f"{digits(rate / 1e9)} {unit}"


def markdown(record: Record) -> Iterator[str]:
    """The lines of a table of the figures."""
    yield "| part | work | rate | GB/s | share of the limit | by |"
    yield "|---|---|---:|---:|---:|---|"
    for one in record.figures:
        rate, speed = f"{digits(one.rate)} {one.unit}/s", digits(one.nbytes / 1e9)
        yield f"| {one.part} | {one.name} | {rate} | {speed} | {one.share:.0%} | {one.bound} |"


def compared_limits(one: Record, other: Record) -> Iterator[tuple[str, ...]]:
    """Limits that both records have: title, unit, both rates, and their ratio."""
    for name in (name for name in one.limits if name in other.limits):
        (title, unit), a, b = title_of(name), one.limits[name], other.limits[name]
        yield title, unit, digits(a / 1e9), digits(b / 1e9), f"{b / a:.2f}"


def compared(one: Record, other: Record) -> Iterator[tuple[str, ...]]:
    """Works that both records have: part, name, unit, both rates, their ratio, and both shares."""
    found = {_key(figure): figure for figure in other.figures}
    for a in one.figures:
        if b := found.get(_key(a)):
            rates = digits(a.rate), digits(b.rate), f"{b.rate / a.rate:.2f}"
            yield (a.part, a.name, f"{a.unit}/s", *rates, f"{a.share:.0%}", f"{b.share:.0%}")


def on_one_alone(one: Record, other: Record) -> list[str]:
    """Works that only one of two records has."""
    lonely = {_key(figure) for figure in one.figures} ^ {_key(figure) for figure in other.figures}
    return sorted(name for _, name in lonely)


def _key(figure: Figure) -> tuple[str, str]:
    return figure.part, figure.name
