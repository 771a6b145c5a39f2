"""What an augmentation is: it draws its parameters from a key, and what they do is a function of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from lec7 import random
from lec7.augment.warp import Affine, Bend, Frame
from lec7.errors import InputError, short
from lec7.ranges import FRACTION, Range, check
from lec7.typing import Key, Scalar, is_traced

Drawn = dict[str, jax.Array]
"""Parameters by name, for one image."""

Span = float | tuple[float, float]
"""A range to draw from: from low to high, or a number for as much to either side."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One augmentation: where pixels come from (`leg`), or what becomes of their values (`paint`), or both.

    Attributes:
        name: what it is called.
        draw: from a key and the size of the image at hand to parameters.
        leg: from parameters and that size to a map from the new image to this one.
        paint: from parameters and an image [height, width, channels] in [0, 1] to one of the same shape.
        frame: from parameters and that size to the new image's size.
        still: parameters with which an image stays as it is, where there are any.
        whole_pixels: whether the map moves whole pixels and mirrors, and nothing else.
        reach: how many pixels beyond the image it may reach, of one that moves whole pixels.
        whole_image: whether a pixel's new value hangs on other pixels as well.
        branches: whether what is done to values is one of several things, of which all are done to images side by side.
        shrinks: from the size at hand to how many times smaller things may become.
    """

    name: str
    draw: Callable[[Key, Frame], Drawn]
    leg: Callable[[Drawn, Frame], Affine | Bend] | None = None
    paint: Callable[[Drawn, jax.Array], jax.Array] | None = None
    frame: Callable[[Drawn, Frame], Frame] = lambda drawn, frame: frame
    still: Drawn | None = None
    whole_pixels: bool = False
    reach: int = 0
    whole_image: bool = False
    branches: bool = False
    shrinks: Callable[[Frame], float] = lambda frame: 1.0

    def __repr__(self):
        return f"Operation({self.name!r})"


def sometimes(operation: Operation, probability: Scalar) -> Operation:
    """An operation that is done with a chance, and otherwise leaves an image as it is, bit for bit.

    Args:
        operation: one that keeps the image's size.
        probability: in [0, 1]; may be traced.

    Raises:
        InputError: a probability out of range, an operation that changes the size, or several at once.

    >>> from lec7 import augment
    >>> augment.sometimes(augment.rotate(15), 0.5).name
    'sometimes rotate'
    """
    check_operation(operation, "sometimes takes one; inside a pipeline: pipeline(sometimes(rotate(15), 0.5), ...)")
    check("probability", probability, FRACTION, "the chance to do it")
    paint, leg, still = operation.paint, operation.leg, operation.still
    if leg is not None and still is None:
        raise InputError(f"{operation.name} changes the size of an image, so that it can't be left out of some")

    def draw(key: Key, frame: Frame) -> Drawn:
        coin = jax.random.bernoulli(random.stream(key, "sometimes"), probability)
        drawn = operation.draw(random.stream(key, "operation"), frame)
        if still is not None:
            drawn |= {name: jnp.where(coin, drawn[name], value) for name, value in still.items()}
        # One that is itself done sometimes, is done if both coins say so.
        return drawn | {"done": coin & drawn.get("done", True)}

    def painted(drawn: Drawn, image: jax.Array) -> jax.Array:
        assert paint is not None
        return jnp.where(drawn["done"], paint(drawn, image), image)

    name = f"sometimes {operation.name}"
    return replace(operation, name=name, draw=draw, paint=None if paint is None else painted)


def check_operation(given: Any, instead: str) -> None:
    """Refuses what is no operation; `instead` says what to do with a pipeline or a sequence of several.

    >>> check_operation(sometimes, "")
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: sometimes is no augmentation; expected such as augment.mirror()
    """
    if isinstance(given, (list, tuple)) or hasattr(given, "operations"):
        raise InputError(f"a {type(given).__name__.lower()} is no single augmentation; {instead}")
    if not isinstance(given, Operation):
        raise InputError(f"{short(given)} is no augmentation; expected such as augment.mirror()")


def between(
    name: str, span: Span, meaning: str, within: Range | None = None, centre: float = 0.0
) -> tuple[Scalar, Scalar]:
    """A range as low and high; of a single number, as much to either side of the centre.

    >>> between("degrees", 15, "how far to turn")
    (-15.0, 15.0)

    Raises:
        InputError: no range, or one whose low end is above its high end.
    """
    if isinstance(span, tuple) and len(span) == 2:
        low, high = span
    elif not isinstance(span, tuple) and not jnp.shape(span):
        low, high = centre - span, centre + span
    else:
        raise InputError(f"{name} is {span!r}, expected a number or (low, high); give {meaning}")
    if not (is_traced(low) or is_traced(high)) and not float(low) <= float(high):
        raise InputError(f"{name} is {span!r}, expected low <= high; give {meaning}")
    if within is not None:
        check(name, low, within, meaning)
        check(name, high, within, meaning)
    return low, high


def check_pair(name: str, pair: tuple[float, float]) -> None:
    """Refuses what is no range of positive numbers that are known."""
    if not (isinstance(pair, tuple) and len(pair) == 2 and 0 < pair[0] <= pair[1] < math.inf):
        raise InputError(f"{name} is {pair!r}, expected (least, most) with 0 < least <= most")


def known_size(name: str, frame: Frame) -> tuple[int, int]:
    """Height and width, where they are the same for all images."""
    height, width = frame
    if not isinstance(height, int) or not isinstance(width, int):
        raise InputError(
            f"{name} needs to know the image's size, which an operation ahead of it draws; put {name} first"
        )
    return height, width


def still(*names: str, value: float = 0.0) -> Drawn:
    """Parameters with which an image stays as it is."""
    return {name: jnp.float32(value) for name in names}


def uniform(key: Key, name: str, low: Scalar, high: Scalar) -> jax.Array:
    """A number in [low, high) from the stream of that name."""
    u = jax.random.uniform(random.stream(key, name), dtype=jnp.float32)
    return low + u * (jnp.asarray(high, jnp.float32) - low)


def integer(key: Key, name: str, low: int, high: Scalar) -> jax.Array:
    """A whole number in [low, high], as a float, from the stream of that name; `high` may be traced."""
    return low + jnp.floor(uniform(key, name, 0, high + 1 - low))  # a sum may round up to high + 1
