"""What a sweep is over: values of fields, and the points that they make."""

import dataclasses
import itertools
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lec7.errors import InputError, nearest, short
from lec7.random import MOST_SEED
from lec7.sweep.results import SEED

Point = dict[str, Any]
"""Fields of a dataclass of hyperparameters, by name."""

Fields = tuple[tuple[str, Any], ...]
"""The same as names and values, by which something can be looked up."""


@dataclasses.dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both included, evenly apart, or their logarithms.

    Attributes:
        low: the least.
        high: the greatest.
        count: how many; None where they are to be drawn.
        log: whether it is ratios that are even, and not differences.
    """

    low: float
    high: float
    count: int | None
    log: bool

    def __post_init__(self):
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"{self} is empty, expected a low end below the high one")
        if self.log and self.low <= 0:
            raise InputError(f"{self} goes through zero, expected ends above it; lin: has the same in even steps")
        if self.count is not None and self.count < 2:
            raise InputError(f"{self} has {self.count} values, expected at least 2, the ends")

    def __str__(self) -> str:
        count = "" if self.count is None else f":{self.count}"
        return f"{'log' if self.log else 'lin'}:{self.low:g}:{self.high:g}{count}"

    def values(self) -> list[float]:
        """The numbers.

        >>> log(1e-3, 1e-1, 3).values(), linear(0, 1, 3).values()
        ([0.001, 0.01, 0.1], [0.0, 0.5, 1.0])
        """
        if self.count is None:
            raise InputError(f"{self} says not how many values it has, expected {self}:N")
        spaced = np.geomspace if self.log else np.linspace
        return [float(f"{value:.6g}") for value in spaced(self.low, self.high, self.count)]

    def draw(self, random: np.random.Generator) -> float:
        """One of the numbers between the ends."""
        if self.log:
            return float(np.exp(random.uniform(np.log(self.low), np.log(self.high))))
        return float(random.uniform(self.low, self.high))


def log(low: float, high: float, count: int | None = None) -> Span:
    """Numbers whose ratios are even, from `low` to `high`, both included.

    Without a count they are to be drawn.

    Args:
        low: the least, more than 0.
        high: the greatest.
        count: how many.

    >>> log(1e-3, 1e-1, 3)
    Span(low=0.001, high=0.1, count=3, log=True)
    """
    return Span(float(low), float(high), count, log=True)


def linear(low: float, high: float, count: int | None = None) -> Span:
    """Numbers whose differences are even, from `low` to `high`, both included.

    Without a count they are to be drawn.

    Args:
        low: the least.
        high: the greatest.
        count: how many.

    >>> linear(0, 0.5, 6).count
    6
    """
    return Span(float(low), float(high), count, log=False)


def kinds(hyperparameters: Any) -> dict[str, type]:
    """What each field holds, by its annotation: float for `float` and `float | None`, whatever the default is."""
    hints = typing.get_type_hints(type(hyperparameters))

    def kind(name: str) -> type:
        among = typing.get_args(hints[name]) or (hints[name],)
        known = (one for one in (float, int, bool, str, tuple) if one in among)
        return next(known, type(getattr(hyperparameters, name)))

    return {field.name: kind(field.name) for field in dataclasses.fields(hyperparameters)}


Space = Mapping[str, Span | Sequence[Any] | range]
"""For each field that a sweep is over its values, or what they lie between."""


def checked(space: Space, hyperparameters: Any) -> dict[str, Span | tuple[Any, ...]]:
    """The space with values of the fields' types.

    Args:
        space: what the sweep is over.
        hyperparameters: an instance of the dataclass that has the fields.

    Returns:
        By field a `Span`, or its values.

    Raises:
        InputError: no such field, no values, one twice, or one of another type.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Mine:
    ...     width: int = 64
    ...     seed: int = 0
    >>> checked({"width": [32, 64], "seed": range(2)}, Mine())
    {'width': (32, 64), 'seed': (0, 1)}
    """
    if not dataclasses.is_dataclass(hyperparameters) or isinstance(hyperparameters, type):
        raise InputError(f"hyperparameters are {short(hyperparameters)}, expected an instance of a dataclass")
    known, kind = [field.name for field in dataclasses.fields(hyperparameters)], kinds(hyperparameters)
    if not space:
        raise InputError(f"the sweep is over no field, expected values for some of {', '.join(known)}")
    may_be_none = {name for name, hint in typing.get_type_hints(type(hyperparameters)).items() if is_optional(hint)}
    found: dict[str, Span | tuple[Any, ...]] = {}
    for name, values in space.items():
        if name not in known:
            raise InputError(f"no hyperparameter {name!r}{nearest(name, known)}; there are {', '.join(known)}")
        found[name] = _checked(name, values, kind[name], name in may_be_none)
    return found


def is_optional(hint: Any) -> bool:
    """Whether an annotation admits None."""
    return hint is Any or type(None) in (typing.get_args(hint) or (hint,))


def _checked(name: str, given: Any, kind: type, optional: bool) -> Span | tuple[Any, ...]:
    if isinstance(given, Span):
        if kind is int:
            if given.count is None and not given.log:
                return tuple(range(math.ceil(given.low), math.floor(given.high) + 1))
            if given.count is not None and given.count <= MOST_POINTS:
                return tuple(dict.fromkeys(round(value) for value in given.values()))
            return given
        if kind is not float:
            raise InputError(f"{name} is over {given}, expected a list: the field is of {kind.__name__}, and no number")
        return given
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(
            f"{name} is over {short(given)}, expected a list of values, a range, sweep.log or sweep.linear"
        )
    if isinstance(given, Sequence) and len(given) > MOST_POINTS:
        raise InputError(f"{name} is over {len(given):,} values, expected at most {MOST_POINTS:,}; give fewer of them")
    values = tuple(None if value is None and optional else _typed(name, value, kind) for value in given)
    if not values:
        raise InputError(f"{name} is over no value at all, expected at least one")
    for value, count in ((value, values.count(value)) for value in values):
        if count > 1:
            raise InputError(f"{name} has {value!r} {count} times, expected different values")
    return values


CALLED = {float: "a number", int: "an int", bool: "True or False", str: "a text", tuple: "a tuple"}


def _typed(name: str, value: Any, kind: type) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if kind in CALLED and type(value) is not kind:
        raise InputError(f"{name} is {short(value)}, expected {CALLED[kind]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} is {value}, expected a finite number")
    if name == SEED and isinstance(value, int | float) and not 0 <= value <= MOST_SEED:
        raise InputError(f"{SEED} is {value}, expected one from 0 to {MOST_SEED}")
    return value


def checked_points(points: Sequence[Mapping[str, Any]], hyperparameters: Any) -> list[Point]:
    """Points with values of the fields' types.

    Raises:
        InputError: there is none, they have other fields than one another, or see `checked`.
    """
    if not points:
        raise InputError("there is no point to train at, expected at least one, such as {'learning_rate': 0.1}")
    for point in points:
        if not isinstance(point, Mapping):
            raise InputError(f"a point is {short(point)}, expected a dict of fields, such as {{'learning_rate': 0.1}}")
        if point.keys() != points[0].keys():
            others = ", ".join(points[0])
            raise InputError(f"a point has {', '.join(point)} and another {others}, expected the same fields")
    typed = [checked({name: [value] for name, value in point.items()}, hyperparameters) for point in points]
    found = [{name: values[0] for name, values in point.items() if isinstance(values, tuple)} for point in typed]
    for i, point in enumerate(found):
        if point in found[:i]:
            raise InputError(f"a point is there twice, {point}, expected different ones: the same is the same run")
    return found


def values_of(one: Span | tuple[Any, ...]) -> list[Any]:
    """The values of a field."""
    return one.values() if isinstance(one, Span) else list(one)


MOST_POINTS = 100_000
"""Of a grid, and values of a field: with more, a number was meant otherwise, or settings should be drawn."""


def grid(space: Mapping[str, Span | tuple[Any, ...]]) -> list[Point]:
    """Each value with each: the last field's change fastest.

    >>> grid({"optimizer": ("adam", "sgd"), "seed": (0, 1)})[1]
    {'optimizer': 'adam', 'seed': 1}
    """
    for name, one in space.items():
        if isinstance(one, Span) and one.count is None:
            raise InputError(f"{name} is over {one}, which has no count; expected {one}:N, or to be drawn (--random N)")
    sizes = {name: len(one) if isinstance(one, tuple) else one.count or 0 for name, one in space.items()}
    if (count := math.prod(sizes.values())) > MOST_POINTS:
        told = ", ".join(f"{size:,} of {name}" for name, size in sizes.items())
        raise InputError(
            f"the grid has {count:,} points ({told}), expected at most {MOST_POINTS:,}; give fewer values, or draw "
            "some (--random N)"
        )
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*map(values_of, space.values()))]


def draw(space: Mapping[str, Span | tuple[Any, ...]], count: int, seed: int, hyperparameters: Any) -> list[Point]:
    """So many different settings drawn at random, each with all seeds that the space has.

    The n-th is the same however many are drawn.

    Args:
        space: of `checked`.
        count: number of settings.
        seed: of the draws.
        hyperparameters: an instance of the dataclass, whose ints stay ints.

    Raises:
        InputError: there are fewer settings, or there is nothing to draw.
    """
    generator, kind = np.random.default_rng(seed), kinds(hyperparameters)
    check_drawn(space, count, kind)

    def one(name: str) -> Any:
        values = space[name]
        if not isinstance(values, Span):
            return values[int(generator.integers(len(values)))]
        drawn = values.draw(generator)
        return round(drawn) if kind[name] is int else drawn

    settings: dict[tuple[Any, ...], Point] = {}
    while len(settings) < count:
        setting = {name: one(name) for name in space if name != SEED}
        settings.setdefault(tuple(setting.values()), setting)
    return with_seeds(list(settings.values()), space)


def check_drawn(space: Mapping[str, Span | tuple[Any, ...]], count: int, kind: Mapping[str, type]) -> None:
    """Refuses more different settings than a space has."""
    sizes = [size(values, kind[name]) for name, values in space.items() if name != SEED]
    if not sizes:
        raise InputError("there is nothing to draw but seeds, which each setting has; expected another field")
    if count > math.prod(sizes):
        raise InputError(f"{count} settings are to be drawn, and there are {math.prod(sizes)}; expected no more")


def size(values: Span | tuple[Any, ...], kind: type) -> float:
    """How many values there are, infinity of them where any number may be drawn.

    >>> size((1, 2), int), size(linear(0, 1), float), size(log(1, 10), int)
    (2, inf, 10)
    """
    if isinstance(values, Span):
        return round(values.high) - round(values.low) + 1 if kind is int else math.inf
    return len(values)


def with_seeds(settings: Sequence[Point], space: Mapping[str, Span | tuple[Any, ...]]) -> list[Point]:
    """Each setting with each seed of the space; as it is where the space has none."""
    if SEED not in space:
        return [dict(setting) for setting in settings]
    return [setting | {SEED: seed} for setting in settings for seed in values_of(space[SEED])]
