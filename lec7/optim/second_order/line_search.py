"""A step along a line: the strong Wolfe conditions by Moré and Thuente's search."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from lec7.optim.leafwise import zeros
from lec7.optim.second_order.told import Told
from lec7.optim.second_order.vectors import dot, plus, times, where
from lec7.ranges import INSIDE, check
from lec7.typing import DTypeLike, Params, PyTree, Scalar, ValueFn, wide

MOST_EVALUATIONS = 30
"""Points that one search looks at, at most."""
LARGEST = 1e10
"""Steps end here, in lengths of the direction."""


class Outcome(Told):
    """How a search for a step ended."""

    NONE = 0, "No step was taken yet."
    WOLFE = 1, "The step satisfies the strong Wolfe conditions."
    LOWER = 2, "The step lowers the value enough; its slope was not asked for, or none was found that is small enough."
    FALLING = 3, "The value falls without end along the direction."
    NO_STEP = 4, "No step along the direction lowers the value, and the parameters stay."
    NOT_FINITE = 5, "The value or the gradient is NaN or infinite, and the parameters stay."


class Found(NamedTuple):
    """The latest step, and what is known of the point that it leads to.

    Attributes:
        step: what is added to the parameters, shaped as they are.
        value: of the objective after the step, shape ().
        grad: gradient after the step, shaped as the parameters.
        step_size: the step's length in lengths of the direction, shape ().
        outcome: an `Outcome`, int32 [].
        failures: steps in a row that led nowhere, int32 [].
        evaluations: of value and gradient, for this step, int32 [].
        products: of the curvature with a vector, for this step, int32 [].
    """

    step: PyTree
    value: jax.Array
    grad: PyTree
    step_size: jax.Array
    outcome: jax.Array
    failures: jax.Array
    evaluations: jax.Array
    products: jax.Array


def nothing_found(params: Params) -> Found:
    """Before the first step.

    >>> Outcome(int(nothing_found(jnp.ones(2)).outcome)).sentence
    'No step was taken yet.'
    """
    dtype = dot(params, params).dtype
    counts = [jnp.zeros((), jnp.int32) for _ in range(4)]
    return Found(zeros(params), jnp.full((), jnp.inf, dtype), zeros(params), jnp.zeros((), dtype), *counts)


class _Point(NamedTuple):
    """A step size, how the value has changed there, and the slope, in units in which the slope at the start is -1."""

    a: jax.Array
    f: jax.Array
    d: jax.Array


class _Interval(NamedTuple):
    """Where a step is looked for.

    `best` is the lowest point up to now and `other` the far end of the interval around a minimum, once there is one
    (`bracketed`); the next trial is at `a`, and where there is no far end the one after goes on by `least` times the
    way from the best point to it, or further; `widths` are the interval's, latest first; `limit` is the first step that
    is too far, where the function is not finite; `shifted` tells that no trial has satisfied the sufficient decrease
    with a rising slope yet.
    """

    a: jax.Array
    best: _Point
    other: _Point
    bracketed: jax.Array
    shifted: jax.Array
    least: jax.Array
    widths: tuple[jax.Array, jax.Array]
    limit: jax.Array

    @property
    def ends(self) -> tuple[jax.Array, jax.Array]:
        """Between which a step may be: of the interval, or as far on as one may go."""
        x, y, on = self.best.a, self.other.a, self.a - self.best.a
        low = jnp.where(self.bracketed, jnp.minimum(x, y), self.a + self.least * on)
        return low, jnp.where(self.bracketed, jnp.maximum(x, y), self.a + 4 * on)


class _Search(NamedTuple):
    """The interval, as one array; the lowest point's step size, value and gradient; how it ended, and evaluations."""

    interval: jax.Array
    lowest: tuple[jax.Array, jax.Array, PyTree]
    outcome: jax.Array
    evaluations: jax.Array


def line_search(
    value_fn: ValueFn,
    params: Params,
    value: jax.Array,
    grad: PyTree,
    direction: PyTree,
    c1: Scalar = 1e-4,
    c2: Scalar = 0.9,
) -> Found:
    r"""A step `a * p` from `x` along a direction `p` after which value and slope are small enough.

        f(x + a p) <= f(x) + c1 a g·p         sufficient decrease
        |g(x + a p)·p| <= c2 |g·p|            strong Wolfe condition on the slope

    Near a minimum two values differ by less than their rounding, though gradients still tell them apart. There the
    difference is replaced by `a (g·p + g(x + a p)·p) / 2`, the area under the slopes, which makes of the first
    condition Hager and Zhang's approximate one, `g(x + a p)·p <= (2 c1 - 1) g·p`. A trial with a NaN or an infinity
    counts as too far.

    Source: Moré and Thuente, "Line search algorithms with guaranteed sufficient decrease", 1994 (as in MINPACK-2's
    dcsrch); Hager and Zhang, "A new conjugate gradient method with guaranteed descent", 2005.

    Args:
        value_fn: from parameters to a value of shape (); it is traced once.
        params: `x`, where the line starts.
        value: `f(x)`, shape ().
        grad: `g`, the gradient there, shaped as `params`.
        direction: `p`, shaped as `params`, with `g·p < 0`; its own length is the first step.
        c1: part of the decrease that the slope promises which a step must bring.
        c2: part of the slope that may be left.

    Returns:
        The step with value and gradient after it. Where no step was found it is 0, and `outcome` says why.

    Raises:
        InputError: `c1` or `c2` is known and not in (0, 1).

    >>> f = lambda x: jnp.sum((x - 3.0) ** 2)
    >>> x = jnp.zeros(2)
    >>> found = line_search(f, x, f(x), jax.grad(f)(x), jnp.array([6.0, 6.0]))
    >>> (x + found.step).round(2).tolist(), found.evaluations.tolist(), Outcome(int(found.outcome)).name
    ([3.0, 3.0], 2, 'WOLFE')
    """
    check("c1", c1, INSIDE, "the part of the promised decrease that is asked for, such as 1e-4")
    check("c2", c2, INSIDE, "the part of the slope that may be left, such as 0.9")
    value = jnp.asarray(value, wide(jnp.result_type(value)))
    return search(value_fn, params, value, grad, direction, dot(grad, direction), c1, c2)


def search(
    value_fn: ValueFn,
    params: Params,
    value: jax.Array,
    grad: PyTree,
    direction: PyTree,
    slope: jax.Array,
    c1: Scalar = 1e-4,
    c2: Scalar = 0.9,
) -> Found:
    """`line_search` where the slope `g·p` is known."""
    slope = slope.astype(value.dtype)
    evaluate = jax.value_and_grad(value_fn)
    begun, interval_of = ravel_pytree(_begun(value.dtype))

    def body(s: _Search) -> _Search:
        a = s.interval[0]
        f, g = evaluate(plus(params, a, direction))
        f, d = f.astype(value.dtype), dot(g, direction).astype(value.dtype)
        t = _Point(a, change(value, f, a * slope, a * d) / -slope, d / -slope)
        finite = jnp.isfinite(t.f) & jnp.isfinite(t.d)
        lower = t.f <= -c1 * t.a
        wolfe = finite & lower & (jnp.abs(t.d) <= c2)
        falling = (f == -jnp.inf) | (lower & (t.d <= -c1) & (t.a >= LARGEST))

        def go_on():
            interval = interval_of(s.interval)
            new = where(finite, _narrowed(interval, t, lower, c1), _nearer(interval, t))
            return ravel_pytree(new)[0], finite & (new.best.a == t.a)

        # Most searches end with their first trial, and interpolate nothing.
        interval, is_lowest = lax.cond(wolfe | falling, lambda: (s.interval, wolfe), go_on)
        outcome = jnp.where(wolfe, Outcome.WOLFE, jnp.where(falling, Outcome.FALLING, Outcome.NONE))
        lowest = where(is_lowest, (t.a, f, g), s.lowest)
        return _Search(interval, lowest, outcome.astype(jnp.int32), s.evaluations + 1)

    def goes_on(s: _Search) -> jax.Array:
        # Of the interval as it is kept: together with the interpolation, XLA would repeat the one for the other.
        spent = _is_spent(interval_of(s.interval)) | (s.evaluations >= MOST_EVALUATIONS)
        return (s.outcome == Outcome.NONE) & ~spent

    unusable = ~jnp.isfinite(value) | ~jnp.isfinite(slope)
    outcome = jnp.where(unusable, Outcome.NOT_FINITE, jnp.where(slope >= 0, Outcome.NO_STEP, Outcome.NONE))
    none = jnp.zeros((), jnp.int32)
    start = _Search(begun, (jnp.zeros_like(value), value, grad), outcome.astype(jnp.int32), none)
    last = lax.while_loop(goes_on, body, start)
    a, after, grad = last.lowest
    spent = jnp.where(a > 0, Outcome.LOWER, Outcome.NO_STEP)
    return Found(
        step=where(a > 0, times(a, direction), zeros(params)),
        value=after,
        grad=grad,
        step_size=a,
        outcome=jnp.where(last.outcome == Outcome.NONE, spent, last.outcome),
        failures=(a == 0).astype(jnp.int32),
        evaluations=last.evaluations,
        products=none,
    )


def _begun(dtype: DTypeLike) -> _Interval:
    """Ahead of the first trial, at 1."""
    zero, one, inf = (jnp.asarray(x, dtype) for x in (0, 1, jnp.inf))
    start = _Point(zero, zero, -one)
    return _Interval(one, start, start, one < 0, one > 0, -one, (inf, inf), inf)


def change(value: jax.Array, f: jax.Array, d0: jax.Array, d1: jax.Array) -> jax.Array:
    """How the value changes in a step to `f`; where rounding hides it, the area under the slopes.

    `d0` and `d1` are the slopes at start and end, times the step's length.
    """
    noise = jnp.finfo(value.dtype).eps ** (2 / 3) * jnp.abs(value)
    return jnp.where(jnp.abs(f - value) <= noise, (d0 + d1) / 2, f - value)


def _is_spent(s: _Interval) -> jax.Array:
    """Whether nothing is left to try: the interval is as narrow as its ends are exact."""
    low, high = s.ends
    narrow = high - low <= jnp.finfo(s.a.dtype).eps ** (1 / 3) * high
    return jnp.where(s.bracketed, narrow | (s.a <= low) | (s.a >= high), s.a <= s.best.a)


def _nearer(s: _Interval, t: _Point) -> _Interval:
    """After a trial that is not finite, which tells how far one may go and nothing else: a tenth as far."""
    return s._replace(a=s.best.a + 0.1 * (t.a - s.best.a), least=jnp.asarray(1.1, s.a.dtype), limit=t.a)


def _narrowed(s: _Interval, t: _Point, lower: jax.Array, c1: Scalar) -> _Interval:
    """After a trial at a point: the interval with the point in it, and where to try next (MINPACK-2's dcsrch).

    `lower` is whether the decrease was sufficient, which is one of `c1` for each unit of the step.
    """
    shifted = s.shifted & ~(lower & (t.d >= 0))
    # As long as no point with a rising slope is known, of the function less the decrease that is asked for.
    shift = jnp.where(shifted & (t.f <= s.best.f) & ~lower, -c1, 0)
    x, y, moved = (point._replace(f=point.f - point.a * shift, d=point.d - shift) for point in (s.best, s.other, t))
    higher, turned = moved.f > x.f, moved.d * x.d < 0
    a = _interpolated(s, x, y, moved)
    bracketed = s.bracketed | higher | turned
    best, other = where(higher, s.best, t), where(higher, t, where(turned, s.best, s.other))

    width = jnp.abs(other.a - best.a)
    # Two trials that left more than two thirds of the interval are followed by one in its middle.
    a = jnp.where(bracketed & (width >= 0.66 * s.widths[1]), best.a + 0.5 * (other.a - best.a), a)
    a = jnp.clip(jnp.where(a >= s.limit, 0.5 * (best.a + s.limit), a), 0, LARGEST)
    # A minimum so near to an end that rounding puts it there is looked for next to the best point.
    low, high = jnp.minimum(best.a, other.a), jnp.maximum(best.a, other.a)
    a = jnp.where(bracketed & ((a <= low) | (a >= high)), best.a + 1e-3 * (other.a - best.a), a)
    return s._replace(
        a=a,
        best=best,
        other=other,
        bracketed=bracketed,
        shifted=shifted,
        least=jnp.asarray(1.1, a.dtype),
        widths=where(bracketed, (width, s.widths[0]), s.widths),
    )


def _interpolated(s: _Interval, x: _Point, y: _Point, t: _Point) -> jax.Array:
    """A minimum of cubics and parabolas through the best point x, the far end y and a trial t (MINPACK-2's dcstep)."""
    higher, turned, flatter = t.f > x.f, t.d * x.d < 0, jnp.abs(t.d) < jnp.abs(x.d)
    # The cubic, from that of two points which it is more safely measured from.
    u = where(higher, x, t)
    v = where(higher, t, where(turned | flatter, x, y))
    cubic, forward = _cubic(u, v)
    secant = t.a + t.d / (t.d - x.d) * (x.a - t.a)
    parabola = x.a + x.d / ((x.f - t.f) / (t.a - x.a) + x.d) / 2 * (t.a - x.a)
    low, high = s.ends
    onward = jnp.where(t.a > x.a, high, low)

    def closer(p: jax.Array, q: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(p - t.a) < jnp.abs(q - t.a), p, q)

    def farther(p: jax.Array, q: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(p - t.a) > jnp.abs(q - t.a), p, q)

    # 1. A higher value: a minimum lies between, nearer to x.
    nearer = jnp.abs(cubic - x.a) < jnp.abs(parabola - x.a)
    between = jnp.where(nearer, cubic, cubic + (parabola - cubic) / 2)
    # 2. A lower value and a slope of the other sign: a minimum lies between, nearer to t.
    between_turned = farther(cubic, secant)
    # 3. A lower value and a slope that is less steep: on, as far as the cubic or the secant says.
    ahead = jnp.where(forward, cubic, onward)
    most = t.a + 0.66 * (y.a - t.a)
    inside = closer(ahead, secant)
    inside = jnp.where(t.a > x.a, jnp.minimum(most, inside), jnp.maximum(most, inside))
    on = jnp.where(s.bracketed, inside, jnp.clip(farther(ahead, secant), low, high))
    # 4. A lower value and a slope as steep: to the minimum of the interval, or as far on as one may.
    far = jnp.where(s.bracketed, cubic, onward)
    return jnp.where(higher, between, jnp.where(turned, between_turned, jnp.where(flatter, on, far)))


def _cubic(u: _Point, v: _Point) -> tuple[jax.Array, jax.Array]:
    """Where the cubic through two points with their slopes is lowest, and whether that is on v's side of u.

    Without a minimum it is where the cubic is flattest.
    """
    theta = 3 * (u.f - v.f) / (v.a - u.a) + u.d + v.d
    scale = jnp.maximum(jnp.abs(theta), jnp.maximum(jnp.abs(u.d), jnp.abs(v.d)))
    root = (theta / scale) ** 2 - (u.d / scale) * (v.d / scale)
    gamma = jnp.where(v.a < u.a, -1, 1) * scale * jnp.sqrt(jnp.maximum(root, 0))
    r = (gamma - u.d + theta) / (gamma - u.d + gamma + v.d)
    return u.a + r * (v.a - u.a), (r < 0) & (gamma != 0)
