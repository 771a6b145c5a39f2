"""What a sweep is over."""

from dataclasses import dataclass
from typing import Any

from lec7.report.sweeps.axes import Scale, scale
from lec7.report.sweeps.figures import is_number
from lec7.sweep.results import SEED, Results

PARTS = 8
"""Parts of the values of a field that was drawn, of which each has its best."""


@dataclass(frozen=True)
class Field:
    """A field with at least two values, and where they lie on an axis.

    Attributes:
        name: of the field.
        values: numbers in ascending order, all else as it came.
        drawn: whether nearly every setting has a number of its own.
    """

    name: str
    values: tuple[Any, ...]
    drawn: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers; others are categories."""
        return all(map(is_number, self.values))

    @property
    def scale(self) -> Scale:
        """Of the axis."""
        return scale(self.values) if self.is_number else "linear"

    def place(self, value: Any) -> float:
        """Where a value lies: a number at itself, a category at its place among all."""
        return float(value) if self.is_number else float(self.values.index(value))

    def part(self, value: Any) -> Any:
        """What a value shares its best with: itself, or a part of the values where these were drawn."""
        return self.values.index(value) * PARTS // len(self.values) if self.drawn else value


def swept(results: Results) -> dict[str, tuple[Any, ...]]:
    """The values of each field, the seed included, as they came."""
    names = dict.fromkeys(name for row in results.rows for name in row.hyperparameters)
    return {name: tuple(dict.fromkeys(row.hyperparameters.get(name) for row in results.rows)) for name in names}


def varied(results: Results) -> list[Field]:
    """The fields with at least two values, the seed apart."""
    found = {name: values for name, values in swept(results).items() if name != SEED and len(values) > 1}
    settings = len(results.settings())

    def field(name: str, values: tuple[Any, ...]) -> Field:
        if not all(map(is_number, values)):
            return Field(name, values)
        return Field(name, tuple(sorted(values)), drawn=len(found) > 1 and 2 * len(values) > settings)

    return [field(name, values) for name, values in found.items()]
