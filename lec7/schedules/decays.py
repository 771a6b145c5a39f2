"""Schedules that only come down."""

import jax
import jax.numpy as jnp

from lec7.ranges import FACTOR, FINITE, NOT_NEGATIVE, POSITIVE, number
from lec7.schedules.arguments import of_step
from lec7.typing import Scalar, Schedule

_START = "the value at step 0"
_FINAL = "the value to end with"
_LENGTH = "the number of steps to come down in"


def constant(value: Scalar) -> Schedule:
    """The same value at every step.

    Args:
        value: the value.

    Raises:
        InputError: `value` is known and not finite.

    >>> float(constant(0.5)(10))
    0.5
    """
    a0 = number("value", value, FINITE, "the value of every step")
    return of_step(lambda t, a0: a0, a0)


def step_decay(value: Scalar, every: Scalar, factor: Scalar = 0.5) -> Schedule:
    """Stairs: `a0 * factor ** floor(t / every)`.

    Source: lecture 7, "step decay: decay learning rate by half every few epochs".

    Args:
        value: `a0`, the value of the first stair.
        every: length of a stair in steps, above 0.
        factor: height of a stair as a part of the one before, in (0, 1].

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = step_decay(1.0, every=10)
    >>> [float(schedule(step)) for step in (0, 9, 10, 19, 20)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    a0 = number("value", value, FINITE, _START)
    every = number("every", every, POSITIVE, "the number of steps between two decays")
    factor = number("factor", factor, FACTOR, "what each decay multiplies by, such as 0.5")
    # `floor_divide` takes a remainder, which is exact on every backend; a quotient rounded down would be a stair late.
    return of_step(lambda t, a0, every, factor: a0 * factor ** jnp.floor_divide(t, every), a0, every, factor)


def exponential(value: Scalar, k: Scalar) -> Schedule:
    """Exponential decay: `a0 * exp(-k * t)`.

    Source: lecture 7, "exponential decay".

    Args:
        value: `a0`, the value at step 0.
        k: decay per step, at least 0; `log(2) / h` halves the value every `h` steps.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = exponential(1.0, 0.01)
    >>> [round(float(schedule(step)), 4) for step in (0, 100, 200)]
    [1.0, 0.3679, 0.1353]
    """
    a0 = number("value", value, FINITE, _START)
    k = number("k", k, NOT_NEGATIVE, "the decay per step, such as 0.001")
    return of_step(lambda t, a0, k: a0 * jnp.exp(-k * t), a0, k)


def inverse_time(value: Scalar, k: Scalar) -> Schedule:
    """1/t decay: `a0 / (1 + k * t)`.

    Source: lecture 7, "1/t decay".

    Args:
        value: `a0`, the value at step 0.
        k: decay per step, at least 0; the value is halved at step `1 / k`.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = inverse_time(1.0, 0.01)
    >>> [float(schedule(step)) for step in (0, 100, 300)]
    [1.0, 0.5, 0.25]
    """
    a0 = number("value", value, FINITE, _START)
    k = number("k", k, NOT_NEGATIVE, "the decay per step, such as 0.001")
    return of_step(lambda t, a0, k: a0 / (1.0 + k * t), a0, k)


def polynomial(value: Scalar, steps: Scalar, power: Scalar = 1.0, final: Scalar = 0.0) -> Schedule:
    """A power of the steps that are left: `final + (a0 - final) * (1 - t / steps) ** power`, then `final`.

    A power of 1 is a straight line.

    Source: Liu et al., "ParseNet: Looking Wider to See Better", 2015, section 4 ("poly", with a power of 0.9).

    Args:
        value: `a0`, the value at step 0.
        steps: number of steps to come down in, above 0.
        power: the exponent, above 0.
        final: value from `steps` on.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = polynomial(1.0, 100, power=2)
    >>> [float(schedule(step)) for step in (0, 50, 100, 200)]
    [1.0, 0.25, 0.0, 0.0]
    """
    a0 = number("value", value, FINITE, _START)
    steps = number("steps", steps, POSITIVE, _LENGTH)
    power = number("power", power, POSITIVE, "the exponent, 1 for a straight line")
    final = number("final", final, FINITE, _FINAL)

    def formula(t: jax.Array, a0: jax.Array, steps: jax.Array, power: jax.Array, final: jax.Array) -> jax.Array:
        # At the end the power's base is replaced: a power of 0 has no finite derivative.
        left = jnp.where(t < steps, steps - t, steps) / steps
        return final + (a0 - final) * jnp.where(t < steps, left**power, 0.0)

    return of_step(formula, a0, steps, power, final)


def cosine(value: Scalar, steps: Scalar, final: Scalar = 0.0) -> Schedule:
    """Half a cosine from `value` at step 0 to `final` at `steps`, which it keeps afterwards.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
    equation 5 without restarts.

    Args:
        value: value at step 0.
        steps: number of steps to come down in, above 0.
        final: value from `steps` on.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = cosine(1.0, 100)
    >>> [round(float(schedule(step)), 3) for step in (0, 50, 100, 200)]
    [1.0, 0.5, 0.0, 0.0]
    """
    a0 = number("value", value, FINITE, _START)
    steps = number("steps", steps, POSITIVE, _LENGTH)
    final = number("final", final, FINITE, _FINAL)
    return of_step(lambda t, a0, steps, final: half_cosine(a0, final, t / steps), a0, steps, final)


def half_cosine(start: jax.Array, end: jax.Array, fraction: jax.Array) -> jax.Array:
    """From `start` at a fraction of 0 and below to `end` at 1 and above, flat at both.

    >>> round(float(half_cosine(jnp.array(1.0), jnp.array(0.0), jnp.array(0.5))), 3)
    0.5
    """
    return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(fraction, 0.0, 1.0)))
