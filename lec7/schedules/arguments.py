"""Schedules of numbers that round as if nobody knew them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from lec7.typing import Schedule


def of_step(formula: Callable[..., jax.Array], *numbers: jax.Array) -> Schedule:
    """The schedule with `formula(t, *numbers)` at step t, a float.

    The compiler doesn't see whether the numbers are known. Where it did, it would multiply by the reciprocal of a
    known length and square for a known power of 2, and a single run would round otherwise than a lane of a sweep.

    >>> float(of_step(lambda t, k: k * t, jnp.asarray(0.5))(3))
    1.5
    """
    return lambda step: formula(jnp.asarray(step, float), *lax.optimization_barrier(numbers))
