"""Schedules: pure functions from a step to a value, such as a learning rate.

A schedule takes a step, counted from 0, as an int or an integer array of shape (), and gives a
float array of shape (). Every number that makes a schedule may be a traced array: schedules can
be built inside `jit` and `vmap`.
"""

import jax.numpy as jnp

from lec7.errors import InputError
from lec7.typing import Scalar, Schedule


def constant(value: Scalar) -> Schedule:
    """The same value at every step.

    >>> float(constant(0.5)(10))
    0.5
    """
    return lambda step: jnp.asarray(value, float)


def cosine(value: Scalar, steps: Scalar, final: Scalar = 0.0) -> Schedule:
    """Half a cosine from `value` at step 0 to `final` at `steps`, which it keeps afterwards.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    equation 5 without restarts.

    Args:
        value: value at step 0.
        steps: number of steps to come down in, above 0.
        final: value from `steps` on.

    >>> schedule = cosine(1.0, 100)
    >>> [round(float(schedule(step)), 3) for step in (0, 50, 100, 200)]
    [1.0, 0.5, 0.0, 0.0]
    """
    _positive("steps", steps)

    def schedule(step):
        fraction = jnp.clip(jnp.asarray(step, float) / steps, 0.0, 1.0)
        return final + (value - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * fraction))

    return schedule


def warmup(schedule: Schedule | Scalar, steps: Scalar) -> Schedule:
    """A linear rise over the first `steps` steps, then `schedule`, counted from its own step 0.

    Step t < `steps` has (t + 1) / (`steps` + 1) of `schedule(0)`, so that no step is lost on a rate of 0.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2.

    Args:
        schedule: what follows the rise; a number means a constant.
        steps: length of the rise, at least 0.

    >>> schedule = warmup(constant(1.0), 3)
    >>> [float(schedule(step)) for step in (0, 1, 2, 3, 4)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    _positive("steps", steps, or_zero=True)
    after = schedule if callable(schedule) else constant(schedule)

    def warmed(step):
        rise = jnp.minimum((jnp.asarray(step, float) + 1) / (steps + 1), 1.0)
        return rise * after(jnp.maximum(step - steps, 0))

    return warmed


def _positive(name: str, value: Scalar, or_zero: bool = False) -> None:
    """Refuse a number that is out of range where it is known, that is not traced."""
    if isinstance(value, int | float) and not (value > 0 or (or_zero and value == 0)):
        raise InputError(f"{name} is {value}, expected {'at least' if or_zero else 'more than'} 0")
