"""What sections of the page consist of."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from lec7.report.page.charts import Chart
from lec7.report.page.tables import Table


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """A line that may be pasted into a terminal."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Sorted:
    """A table that its headings sort."""

    kind: ClassVar[str] = "table"
    table: Table


@dataclass(frozen=True)
class Charts:
    """Charts side by side, as many as there is room for."""

    kind: ClassVar[str] = "charts"
    charts: list[Chart]


class Example(NamedTuple):
    """A picture as a data URI, what it is of, and what was said of it."""

    uri: str
    true: str
    said: str


@dataclass(frozen=True)
class Gallery:
    """Examples side by side."""

    kind: ClassVar[str] = "gallery"
    examples: list[Example]


Block = Heading | Text | Code | Sorted | Charts | Gallery


class Section(NamedTuple):
    """A part of the page; its title without spaces is what links to it name."""

    title: str
    blocks: list[Block]

    @property
    def anchor(self) -> str:
        """What a link calls it.

        >>> Section("What was run", []).anchor
        'what-was-run'
        """
        return self.title.lower().replace(" ", "-")
