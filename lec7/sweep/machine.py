"""What a sweep runs on, and how many programs it may make."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from lec7.errors import InputError
from lec7.sweep.results import SEED
from lec7.sweep.space import Span, kinds, size
from lec7.typing import Device

MOST_PROGRAMS = 32
"""Programs that are compiled without asking."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a sweep runs on.

    Attributes:
        lanes: how many side by side on a device; None to find out.
        devices: what they are dealt out to; None for all of this process.
        most_programs: how many may be compiled.
    """

    lanes: int | None = None
    devices: Sequence[Device] | None = None
    most_programs: int = MOST_PROGRAMS

    @property
    def used(self) -> tuple[Device, ...]:
        """The devices."""
        return tuple(jax.local_devices() if self.devices is None else self.devices)


class TooManyPrograms(InputError):
    """Fields that a program has to know make more programs than are compiled without asking."""

    def __init__(self, message: str, programs: int):
        super().__init__(message)
        self.programs = programs


def check_programs(space: Mapping[str, Span | tuple[Any, ...]], hp: Any, most: int) -> None:
    """Refuses a space of which settings are asked a few at a time, and that could make too many programs in the end."""
    kind = kinds(hp)
    sizes = {
        name: size(values, kind[name]) for name, values in space.items() if name != SEED and kind[name] is not float
    }
    if (count := math.prod(sizes.values())) > most:
        raise too_many(int(count), most, {name: int(one) for name, one in sizes.items()})


def too_many(count: int, most: int, known: Mapping[str, int]) -> TooManyPrograms:
    """What is raised where a sweep makes too many programs, for they have to know so many values of some fields."""
    fields = ", ".join(f"{name} ({values} values)" for name, values in known.items())
    return TooManyPrograms(
        f"the sweep makes {count} programs, more than {most}, for each has to know {fields}; "
        "give fewer values, or allow as many programs",
        count,
    )
