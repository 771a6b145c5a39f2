"""Which points share a program: those that agree in all fields that a program has to know."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lec7.errors import InputError, why
from lec7.experiment import Experiment, check
from lec7.experiment.file import as_float32
from lec7.sweep.results import SEED
from lec7.sweep.space import Fields, Point

Build = Callable[[Any], Experiment]
"""From a dataclass of hyperparameters to the experiment."""


class Group(NamedTuple):
    """Points that share a program.

    Attributes:
        hp: the hyperparameters with all that the program knows.
        traced: the fields that it does not know.
        lanes: the places of its points among all.
    """

    hp: Any
    traced: tuple[str, ...]
    lanes: tuple[int, ...]

    @property
    def key(self) -> Fields:
        """What tells its program from others."""
        known = (field.name for field in dataclasses.fields(self.hp))
        return tuple((name, None if name in self.traced else getattr(self.hp, name)) for name in known)

    def bound(self, build: Build) -> Callable[[Mapping[str, Any]], Experiment]:
        """From the traced fields alone to the experiment."""
        known = as_float32(self.hp)
        return lambda point: build(dataclasses.replace(known, **point))


class Fallback(NamedTuple):
    """A field that could be traced by its type, and can't be by what `build` does with it."""

    field: str
    why: str


def traceable(hp: Any, points: Sequence[Point]) -> list[str]:
    """The fields that a program need not know: the seed, and those of the points that are floats.

    The seed is one wherever there is a field for it, even if it is the same for all: then no batch serves several
    lanes, and each lane rounds as a single run does.
    """
    fields = [field.name for field in dataclasses.fields(hp)]
    floats = [name for name in fields if name in points[0] and all(isinstance(point[name], float) for point in points)]
    seed = [SEED] if isinstance(getattr(hp, SEED, None), int) else []
    return [name for name in fields if name in floats + seed]


def groups(hp: Any, points: Sequence[Point], traced: Sequence[str]) -> list[Group]:
    """The points by what their programs know, in the order of their first points."""
    found: dict[Fields, list[int]] = {}
    for lane, point in enumerate(points):
        known = tuple((name, value) for name, value in point.items() if name not in traced)
        found.setdefault(known, []).append(lane)
    return [Group(dataclasses.replace(hp, **points[lanes[0]]), tuple(traced), tuple(lanes)) for lanes in found.values()]


def values(group: Group, points: Sequence[Point]) -> dict[str, np.ndarray]:
    """The traced fields of some of a group's points: arrays with a leading axis of lanes, float32 or int32."""

    def column(name: str) -> np.ndarray:
        dtype = np.int32 if name == SEED else np.float32
        return np.array([point.get(name, getattr(group.hp, name)) for point in points], dtype)

    return {name: column(name) for name in group.traced}


def shapes(group: Group) -> dict[str, jax.ShapeDtypeStruct]:
    """What the traced fields of one point look like to a program."""
    return {name: jax.ShapeDtypeStruct((), jnp.int32 if name == SEED else jnp.float32) for name in group.traced}


def check_ends(build: Build, group: Group, points: Sequence[Point]) -> None:
    """Refuses a group whose experiment can't be run, for its first point and for the ends of each float.

    Whether a number is in range is seen where it is known, and in the program it is not.

    Raises:
        InputError: with the field and the value.
    """
    _located(group.hp, {}, lambda hp: check(build(hp)))
    for name in group.traced:
        column = sorted({point[name] for point in points if name in point})
        for end in {*column[:1], *column[-1:]} - {getattr(group.hp, name)}:
            _located(group.hp, {name: end}, build)


def _located(hp: Any, change: Point, use: Callable[[Any], Any]) -> None:
    try:
        use(as_float32(dataclasses.replace(hp, **change)))
    except InputError as error:
        where = "".join(f"with {name} {value!r}: " for name, value in change.items())
        raise InputError(f"{where}{error}") from error


def fallbacks(group: Group, trace: Callable[[Group], Any]) -> list[Fallback]:
    """The traced fields of a group, one by one, with which its program can't be traced.

    Args:
        group: one that can't be traced.
        trace: traces the program of a group.
    """
    found = []
    for name in group.traced:
        try:
            trace(group._replace(traced=(name,)))
        except Exception as error:
            found.append(Fallback(name, why(error)))
    return found
