"""Texts in columns, for what is printed by itself: descriptions and reports."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Rows of texts, a line each, in columns as wide as their widest text.

    Args:
        rows: equally many texts in each; the first row is the headings.
        numbers: how many of the last columns stand to the right.

    >>> print(table([("name", "bytes"), ("kernel", "32")], numbers=1))
    name    bytes
    kernel     32
    """
    columns = []
    for i, texts in enumerate(zip(*rows, strict=True)):
        width = max(map(len, texts))
        columns.append([text.rjust(width) if i >= len(rows[0]) - numbers else text.ljust(width) for text in texts])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
