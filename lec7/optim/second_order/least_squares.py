"""Sums of squares: methods that know the residuals."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular

from lec7.optim.leafwise import zeros
from lec7.optim.second_order.dense import check_size, flat
from lec7.optim.second_order.line_search import Found, Outcome, change, nothing_found
from lec7.optim.second_order.objective import check_params, checked
from lec7.optim.second_order.searching import SearchState, searching
from lec7.optim.second_order.vectors import dot, plus, where
from lec7.ranges import POSITIVE, number
from lec7.typing import Params, PyTree, Scalar, ValueFn

Residuals = Callable[[Params], PyTree]
"""From parameters to arrays of any shapes that are to be as near 0 as can be."""


def half_square(residuals: Residuals) -> ValueFn:
    """The objective `f(x) = |r(x)|^2 / 2`, whose gradient is `J^T r`.

    Args:
        residuals: from parameters to an array, or a pytree of them.

    Returns:
        A function from parameters to a value of shape ().

    >>> float(half_square(lambda x: x - jnp.array([1.0, 2.0]))(jnp.zeros(2)))
    2.5
    """

    def value_fn(params: Params) -> jax.Array:
        r, _ = flat(residuals(params))
        return r @ r / 2

    return value_fn


def gauss_newton(residuals: Residuals) -> optax.GradientTransformationExtraArgs:
    """Newton's method for `f(x) = |r(x)|^2 / 2` with `J^T J` for the Hessian.

        p = argmin |J p + r|    the shortest, where several are

    The length of the step is found by `line_search`. Where residuals stay large or `J` loses its rank,
    `levenberg_marquardt` is the safer choice. The direction comes from the residuals, so that a transform ahead of this
    one in a chain has no say in it.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, section 10.3.

    Args:
        residuals: from parameters to arrays of any shapes; the objective is `half_square(residuals)`.

    Raises:
        InputError: from `init`, where a matrix would take more than 8 GB; in `update`, what a search can't be made of.

    >>> from lec7 import optim
    >>> r = lambda x: jnp.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    >>> f, x = half_square(r), jnp.array([-1.2, 1.0])
    >>> optim.minimize(f, x, optim.gauss_newton(r)).params.round(2).tolist()
    [1.0, 1.0]
    """
    residuals = jax.jit(residuals)

    def init(params: Params) -> tuple[()]:
        check_size("Gauss-Newton", params)
        return ()

    def direction(kept: tuple[()], g: PyTree, params: Params, value_fn: ValueFn):
        _, tree_of = flat(params)
        r, j = _linearized(residuals, params)
        # What is not finite is told by the search.
        finite = jnp.isfinite(j).all() & jnp.isfinite(r).all()
        p = jnp.linalg.lstsq(jnp.where(finite, j, 0), jnp.where(finite, -r, 0))[0]
        return tree_of(p), min(j.shape)

    return searching("Gauss-Newton", init, direction)


class Damping(NamedTuple):
    """What `levenberg_marquardt` keeps.

    `damping` [] and the factor `growth` [] by which the next failure raises it; and the largest norm that each column
    of the Jacobian had up to now, `scale` [n].
    """

    damping: jax.Array
    growth: jax.Array
    scale: jax.Array


def levenberg_marquardt(residuals: Residuals, damping: Scalar = 1e-3) -> optax.GradientTransformationExtraArgs:
    """Gauss-Newton in a region that is trusted: least squares of residuals, without a line search.

        p = argmin |J p + r|^2 + damping |D p|^2
        rho = (f(x) - f(x + p)) / (|r|^2 - |r + J p|^2) * 2
        rho > 0:    x += p;  damping *= max(1/3, 1 - (2 rho - 1)^3);  growth = 2
        otherwise:           damping *= growth;                       growth *= 2

    D has the largest norm that each column of J ever had, so that the scale of a parameter does not matter. A step that
    does not lower the value leaves the parameters as they are; each step evaluates the objective once.

    Source: Marquardt, 1963; Moré, "The Levenberg-Marquardt algorithm: implementation and theory", 1978, for D;
    Madsen, Nielsen and Tingleff, "Methods for non-linear least squares problems", 2004, for the damping.

    Args:
        residuals: from parameters to arrays of any shapes; the objective is `half_square(residuals)`.
        damping: at the start; small where the start is good.

    Raises:
        InputError: `damping` is out of range; from `init`, where a matrix would take more than 8 GB; from `update`,
            where parameters, value or function are missing or misshapen.

    >>> from lec7 import optim
    >>> r = lambda x: jnp.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    >>> f, x = half_square(r), jnp.array([-1.2, 1.0])
    >>> optim.minimize(f, x, optim.levenberg_marquardt(r)).params.round(2).tolist()
    [1.0, 1.0]
    """
    name = "Levenberg-Marquardt"
    residuals = jax.jit(residuals)
    first = number("damping", damping, POSITIVE, "a small one")

    def init(params: Params) -> Any:
        check_params(params)
        check_size(name, params)
        x, _ = flat(params)
        kept = Damping(first.astype(x.dtype), jnp.full((), 2, x.dtype), jnp.zeros_like(x))
        return SearchState(kept, nothing_found(params), name)

    def update(
        updates: PyTree,
        state: SearchState | Any,
        params: Params | None = None,
        *,
        value: Scalar | None = None,
        grad: PyTree | None = None,
        value_fn: ValueFn | None = None,
        **extra: Any,
    ) -> tuple[PyTree, Any]:
        grad = updates if grad is None else grad
        value, value_fn = checked(name, grad, params, value, value_fn, state.found.value.dtype)
        kept, (x, tree_of) = state.kept, flat(params)

        r, j = _linearized(residuals, params)
        scale = jnp.maximum(kept.scale, jnp.linalg.norm(j, axis=0))
        p = _damped_step(r, j, jnp.sqrt(kept.damping) * jnp.where(scale > 0, scale, 1))
        jp = j @ p
        # Which is (|r|^2 - |r + J p|^2) / 2 without the rounding of large residuals.
        promised = -(r @ jp) - jp @ jp / 2

        step = tree_of(p)
        f, g = jax.value_and_grad(value_fn)(plus(params, 1, step))
        fall = -change(value, f, dot(grad, step), dot(g, step))
        rho = jnp.where(promised > 0, fall / promised, -1)
        better = jnp.isfinite(f) & (rho > 1e-4)
        kept = Damping(
            kept.damping * jnp.where(better, jnp.maximum(1 / 3, 1 - (2 * rho - 1) ** 3), kept.growth),
            jnp.where(better, 2, 2 * kept.growth),
            scale,
        )
        # The damping has made it smaller than the parameters' rounding.
        hopeless = ~(p @ p > jnp.finfo(x.dtype).eps ** 2 * (x @ x))
        outcome = jnp.select([better, jnp.isfinite(value)], [Outcome.LOWER, Outcome.NO_STEP], Outcome.NOT_FINITE)
        found = Found(
            step=where(better, step, zeros(params)),
            value=jnp.where(better, f, value),
            grad=where(better, g, grad),
            step_size=better.astype(value.dtype),
            outcome=outcome.astype(jnp.int32),
            failures=jnp.where(better | ~hopeless, 0, state.found.failures + 1),
            evaluations=jnp.ones((), jnp.int32),
            products=jnp.full((), min(j.shape), jnp.int32),
        )
        return found.step, SearchState(kept, found, name)

    return optax.GradientTransformationExtraArgs(init, update)


def _damped_step(r: jax.Array, j: jax.Array, d: jax.Array) -> jax.Array:
    """The p of least `|r + J p|^2 + |d p|^2`: r is [M], J [M, n], d [n]."""
    q, triangle = jnp.linalg.qr(jnp.concatenate([j, jnp.diag(d)]))
    return solve_triangular(triangle, -q[: r.size].T @ r)


def _linearized(residuals: Residuals, params: Params) -> tuple[jax.Array, jax.Array]:
    """The residuals [M] and their derivatives by the parameters [M, n]."""
    x, tree_of = flat(params)

    def r(x: jax.Array) -> jax.Array:
        return flat(residuals(tree_of(x)))[0]

    rows = jax.eval_shape(r, x).size
    return r(x), (jax.jacfwd if x.size <= rows else jax.jacrev)(r)(x)
