"""Who watches a sweep."""

from typing import Protocol

from lec7.sweep.results import Row


class Observer(Protocol):
    """Who watches a sweep."""

    def begin(self, lanes: int, steps: int) -> None:
        """So many lanes have so many steps to go, all together."""
        ...

    def advance(self, steps: int) -> None:
        """So many steps were taken, or need not be, of all lanes together."""
        ...

    def row(self, row: Row) -> None:
        """A lane has ended."""
        ...

    def say(self, text: str) -> None:
        """Something that a person should read."""
        ...


class Silent:
    """Nobody watches; an observer that is to hear of a few things alone is made of it."""

    def begin(self, lanes: int, steps: int) -> None: ...  # noqa: D102
    def advance(self, steps: int) -> None: ...  # noqa: D102
    def row(self, row: Row) -> None: ...  # noqa: D102
    def say(self, text: str) -> None: ...  # noqa: D102
