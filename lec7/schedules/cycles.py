"""Schedules that rise again."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lec7.ranges import FACTOR, FINITE, FROM_ONE, INSIDE, POSITIVE, number
from lec7.schedules.arguments import of_step
from lec7.schedules.decays import half_cosine
from lec7.typing import ArrayLike, Scalar, Schedule

BITS = 32  # of the number of a step


def cyclic_cosine(
    value: Scalar, period: Scalar, final: Scalar = 0.0, growth: Scalar = 1.0, shrink: Scalar = 1.0
) -> Schedule:
    """Half a cosine from `value` towards `final`, again and again: warm restarts, and snapshot ensembles.

    Cycle n = 0, 1, ... is `period * growth**n` steps long, and starts at `final + (value - final) * shrink**n`.
    A model saved at the end of each cycle is a member of a snapshot ensemble.

    Source: lecture 7, "Model Ensembles: Tips and Tricks"; Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent
    with Warm Restarts", 2017, equation 5 (`growth` is T_mult); Huang et al., "Snapshot Ensembles", 2017, equation 2.

    Args:
        value: value at step 0.
        period: length of the first cycle in steps, above 0.
        final: what each cycle comes down to.
        growth: length of a cycle as a multiple of the one before, at least 1.
        shrink: height of a cycle above `final` as a part of the one before, in (0, 1].

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = cyclic_cosine(1.0, period=10, growth=2)
    >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 20, 29, 30)]
    [1.0, 0.5, 1.0, 0.5, 0.006, 1.0]
    """
    a0 = number("value", value, FINITE, "the value at step 0")
    period, growth = _period(period), _growth(growth)
    final = number("final", final, FINITE, "the value that each cycle comes down to")
    shrink = number("shrink", shrink, FACTOR, "the height of a cycle as a part of the one before")

    def formula(
        t: jax.Array, a0: jax.Array, period: jax.Array, final: jax.Array, growth: jax.Array, shrink: jax.Array
    ) -> jax.Array:
        n, start, length = _cycle(t, period, growth)
        return half_cosine(final + (a0 - final) * shrink**n, final, (t - start) / length)

    return of_step(formula, a0, period, final, growth, shrink)


class Cycle(NamedTuple):
    """A cycle's number, from 0, its first step, and its length in steps: float arrays of shape ()."""

    n: jax.Array
    start: jax.Array
    length: jax.Array


def cycle(step: ArrayLike, period: Scalar, growth: Scalar = 1.0) -> Cycle:
    """The cycle of `cyclic_cosine` that a step belongs to.

    Args:
        step: counted from 0; may be traced.
        period: length of the first cycle in steps, above 0.
        growth: length of a cycle as a multiple of the one before, at least 1.

    Raises:
        InputError: a number is known and out of range.

    >>> n, start, length = cycle(35, period=10, growth=2)
    >>> float(n), float(start), float(length)
    (2.0, 30.0, 40.0)
    """
    numbers = lax.optimization_barrier((_period(period), _growth(growth)))  # see `of_step`
    return Cycle(*_cycle(jnp.asarray(step, float), *numbers))


def _period(period: Scalar) -> jax.Array:
    return number("period", period, POSITIVE, "the length of the first cycle in steps")


def _growth(growth: Scalar) -> jax.Array:
    return number("growth", growth, FROM_ONE, "the length of a cycle as a multiple of the one before")


def _cycle(t: jax.Array, period: jax.Array, growth: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The cycle at step `t`: its number n, its first step, and its length, `period * growth**n`.

    The first n cycles take S(n) = period * (1 + growth + ... + growth**(n - 1)) steps. With logarithms, n would be a
    quotient of 0 by 0 at a growth of 1, and a restart would be a step late wherever they are rounded. Doubling,
    S(m + n) = S(m) + growth**m * S(n), has neither: it is a search for n bit by bit, exact on whole numbers.
    """

    def double(doubled: tuple[jax.Array, jax.Array], _: None):
        steps, factor = doubled  # S(2**i) and growth**(2**i), for as long as S is within t
        within = steps <= t
        wider = jnp.where(within, steps * (1.0 + factor), steps), jnp.where(within, factor * factor, factor)
        return wider, doubled

    def descend(found: tuple[jax.Array, jax.Array, jax.Array], doubled: tuple[jax.Array, jax.Array, jax.Array]):
        (n, start, grown), (steps, factor, power) = found, doubled
        later = start + grown * steps
        over = later <= t
        return (n + over * power, jnp.where(over, later, start), jnp.where(over, grown * factor, grown)), None

    # Loops, for XLA takes minutes over the same unrolled: it writes out each value once for each of its uses.
    _, (steps, factors) = lax.scan(double, (period, growth), None, length=BITS)
    powers = 2.0 ** jnp.arange(BITS, dtype=t.dtype)
    nothing = jnp.zeros_like(t), jnp.zeros_like(t), jnp.ones_like(t)
    (n, start, grown), _ = lax.scan(descend, nothing, (steps, factors, powers), reverse=True)
    return n, start, period * grown


def triangular(low: Scalar, high: Scalar, period: Scalar) -> Schedule:
    """Straight up from `low` to `high` and down again, in `period` steps, for ever.

    At step t, with r = t mod `period`: `low + (high - low) * (1 - |2 * r / period - 1|)`.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3 ("triangular";
    its stepsize is half a period).

    Args:
        low: value at the start of each cycle.
        high: value in the middle of each cycle.
        period: steps of the way up and the way down together, above 0.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = triangular(0.0, 1.0, period=8)
    >>> [float(schedule(step)) for step in (0, 2, 4, 6, 8, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    """
    low = number("low", low, FINITE, "the value at the start of a cycle")
    high = number("high", high, FINITE, "the value in the middle of a cycle")
    period = number("period", period, POSITIVE, "the number of steps up and down together")

    def formula(t: jax.Array, low: jax.Array, high: jax.Array, period: jax.Array) -> jax.Array:
        r = jnp.remainder(t, period)
        return low + (high - low) * (1.0 - jnp.abs(2.0 * r / period - 1.0))

    return of_step(formula, low, high, period)


def one_cycle(
    peak: Scalar,
    steps: Scalar,
    rise: Scalar = 0.3,
    div_factor: Scalar = 25.0,
    final_div_factor: Scalar = 1e4,
) -> Schedule:
    """One rise to `peak`, then a fall far below the start: half a cosine each.

    The value is `peak / div_factor` at step 0, `peak` at step `rise * steps`, and
    `peak / div_factor / final_div_factor` from step `steps` on. The paper draws straight lines; the cosines are those
    of PyTorch's `OneCycleLR` and Optax's `cosine_onecycle_schedule`. PyTorch counts the last step as the end:
    its `total_steps=N, pct_start=p` is `steps=N - 1, rise=(p * N - 1) / (N - 1)` here.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    2018, section 3.

    Args:
        peak: the largest value.
        steps: number of steps of the whole cycle, above 0.
        rise: part of the steps that rises, in (0, 1).
        div_factor: the peak as a multiple of the start, above 0.
        final_div_factor: the start as a multiple of the end, above 0.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = one_cycle(1.0, 100)
    >>> [round(float(schedule(step)), 6) for step in (0, 15, 30, 65, 100, 200)]
    [0.04, 0.52, 1.0, 0.500002, 4e-06, 4e-06]
    """
    peak = number("peak", peak, FINITE, "the largest value")
    steps = number("steps", steps, POSITIVE, "the number of steps of the whole cycle")
    rise = number("rise", rise, INSIDE, "the part of the steps that rises, such as 0.3")
    div_factor = number("div_factor", div_factor, POSITIVE, "the peak as a multiple of the start, such as 25")
    final_div_factor = number("final_div_factor", final_div_factor, POSITIVE, "the start as a multiple of the end")

    def formula(
        t: jax.Array,
        peak: jax.Array,
        steps: jax.Array,
        rise: jax.Array,
        div_factor: jax.Array,
        final_div_factor: jax.Array,
    ) -> jax.Array:
        start = peak / div_factor
        final = start / final_div_factor
        top = rise * steps
        up = half_cosine(start, peak, t / top)
        down = half_cosine(peak, final, (t - top) / (steps - top))
        return jnp.where(t < top, up, down)

    return of_step(formula, peak, steps, rise, div_factor, final_div_factor)
