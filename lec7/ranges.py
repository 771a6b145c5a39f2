"""Numbers that people give: checked where they are known, turned into arrays whether or not."""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lec7.errors import InputError, short
from lec7.typing import Scalar, is_traced


class Range(NamedTuple):
    """A set of numbers, in words and as a test; NaN is in none."""

    words: str
    holds: Callable[[float], bool]


FINITE = Range("a finite number", math.isfinite)
"""No NaN, and no infinity."""
POSITIVE = Range("a finite number more than 0", lambda x: 0 < x < math.inf)
"""Lengths and temperatures."""
NOT_NEGATIVE = Range("a finite number, at least 0", lambda x: 0 <= x < math.inf)
"""Rates, and amounts of noise."""
FROM_ONE = Range("a finite number, at least 1", lambda x: 1 <= x < math.inf)
"""Factors that don't shrink."""
WHOLE = Range("a whole number, at least 0", lambda x: 0 <= x < math.inf and x == int(x))
"""Steps, as floats may give them."""
WHOLE_FROM_ONE = Range("a whole number, at least 1", lambda x: 1 <= x < math.inf and x == int(x))
"""Counts, as floats may give them."""
FRACTION = Range("a number in [0, 1]", lambda x: 0 <= x <= 1)
"""Parts, 0 and all included."""
FACTOR = Range("a number in (0, 1]", lambda x: 0 < x <= 1)
"""What shrinks, or leaves as it is."""
INSIDE = Range("a number in (0, 1)", lambda x: 0 < x < 1)
"""Parts, neither 0 nor all."""
DECAY = Range("a number in [0, 1)", lambda x: 0 <= x < 1)
"""What a mean keeps of itself."""


def number(name: str, given: Scalar, within: Range, meaning: str) -> jax.Array:
    """An argument as a float array of shape ().

    Raises:
        InputError: it is no single number, or it is known and out of range.

    >>> float(number("steps", 100, POSITIVE, "the length in steps"))
    100.0
    >>> number("steps", 0, POSITIVE, "the length in steps")
    Traceback (most recent call last):
    lec7.errors.InputError: steps is 0, expected a finite number more than 0; give the length in steps
    """
    check(name, given, within, meaning)
    return jnp.asarray(given, float)


def array(name: str, given: Any, expected: str = "an array") -> jax.Array:
    """An argument that is an array, NumPy's or JAX's, as JAX's.

    Raises:
        InputError: it is a list or anything else that has no shape.

    >>> array("logits", [[1.0, 2.0]])
    Traceback (most recent call last):
    lec7.errors.InputError: logits is [[1.0, 2.0]], expected an array; jnp.asarray makes one of numbers in lists
    """
    if not (hasattr(given, "shape") and hasattr(given, "dtype")):
        raise InputError(f"{name} is {short(given)}, expected {expected}; jnp.asarray makes one of numbers in lists")
    return jnp.asarray(given)


def floats(name: str, given: Any) -> jax.Array:
    """An argument that is an array of floats, or complex numbers, as JAX's.

    Raises:
        InputError: it is no array, or one of whole numbers.

    >>> floats("x", jnp.ones(3, jnp.uint8))
    Traceback (most recent call last):
    lec7.errors.InputError: x is uint8[3], expected floats: x.astype(float), and bytes divided by 255
    """
    x = array(name, given, "an array of floats")
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise InputError(f"{name} is {short(x)}, expected floats: {name}.astype(float), and bytes divided by 255")
    return x


def check_count(name: str, given: int, meaning: str) -> None:
    """Refuses what is no int of at least 1, where a program's shape hangs on it, so that it can't be traced.

    >>> check_count("k", 2.5, "how many snapshots to keep")
    Traceback (most recent call last):
    lec7.errors.InputError: k is 2.5, expected how many snapshots to keep: an int of at least 1
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InputError(f"{name} is {given!r}, expected {meaning}: an int of at least 1")


def check(name: str, given: Scalar, within: Range, meaning: str) -> None:
    """Refuses what is no single number, or is known and out of range."""
    if not isinstance(given, numbers.Real) and not hasattr(given, "shape"):
        raise InputError(f"{name} is {given!r}, expected {within.words}; give {meaning}")
    if jnp.shape(given):
        raise InputError(
            f"{name} has shape {jnp.shape(given)}, expected a single number; "
            f"give {meaning}, and use jax.vmap for several at once"
        )
    if not is_traced(given) and not within.holds(float(given)):
        raise InputError(f"{name} is {given}, expected {within.words}; give {meaning}")
