"""Newton's method: with the Hessian itself, and with its products alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lec7.optim.second_order.dense import check_size, flat
from lec7.optim.second_order.searching import searching
from lec7.optim.second_order.vectors import dot, plus, times
from lec7.ranges import INSIDE, NOT_NEGATIVE, WHOLE_FROM_ONE, check, number
from lec7.typing import Params, PyTree, Scalar, ValueFn


def newton(damping: Scalar = 0.0) -> optax.GradientTransformationExtraArgs:
    """Newton's method for small n: the Hessian is formed and decomposed at each step, at a cost of O(n^3).

        H = V diag(w) V^T
        p = -V diag(1 / (|w| + damping)) V^T g

    Where the curvature is positive and `damping` 0 this is `-H^-1 g`. Where it is negative, as around a saddle point,
    the direction leads away from the saddle and not into it. Curvatures that rounding can't tell from 0 count as the
    smallest that it can. The length of the step is found by `line_search`.

    Source: lecture 7, "Second-Order Optimization"; Dauphin et al., "Identifying and attacking the saddle point problem
    in high-dimensional non-convex optimization", 2014, for the magnitudes.

    Args:
        damping: is added to the curvatures' magnitudes; shortens steps along flat directions.

    Raises:
        InputError: `damping` is out of range; from `init`, where the matrix would take more than 8 GB.

    >>> from lec7 import optim
    >>> f = lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4  # a saddle at 0, a minimum at (0, sqrt(1/2))
    >>> x = jnp.array([1.0, 0.1])
    >>> optim.minimize(f, x, optim.newton()).params.round(2).tolist()
    [0.0, 0.7099999785423279]
    """
    check("damping", damping, NOT_NEGATIVE, "what is added to the curvatures' magnitudes")

    def init(params: Params) -> tuple[()]:
        check_size("Newton's method", params)
        return ()

    def direction(kept: tuple[()], g: PyTree, params: Params, value_fn: ValueFn):
        (x, tree_of), (g, _) = flat(params), flat(g)
        hessian = jax.hessian(lambda x: value_fn(tree_of(x)))(x)
        finite = jnp.isfinite(hessian).all()
        w, v = jnp.linalg.eigh(jnp.where(finite, hessian, jnp.eye(x.size, dtype=x.dtype)))
        size = jnp.abs(w)
        least = x.size * jnp.finfo(x.dtype).eps * jnp.max(size, initial=jnp.finfo(x.dtype).tiny)
        return tree_of(-v @ ((v.T @ g) / (jnp.maximum(size, least) + damping))), x.size

    return searching("Newton", init, direction)


class _Descent(NamedTuple):
    """Conjugate gradients on `H z = -g`: the solution, the residual `H z + g` and its square, the next direction."""

    z: PyTree
    r: PyTree
    rr: jax.Array
    d: PyTree
    products: jax.Array
    ended: jax.Array


def newton_cg(forcing: Scalar = 0.1, most_products: int | jax.Array = 200) -> optax.GradientTransformationExtraArgs:
    """Newton's method without the Hessian: conjugate gradients on its products, ended early.

    `H z = -g` is solved until `|H z + g| <= min(forcing, sqrt(|g|)) |g|`, so that far from the minimum few products are
    spent, and near it steps become Newton's. Where the curvature along a conjugate direction is negative, the solution
    ends with a part along it, as long as if the curvature were positive, but no longer than all before: that leads
    down, and away from a saddle. A product costs one to two gradients. The length of the step is found by
    `line_search`.

    Source: Dembo and Steihaug, "Truncated-Newton algorithms for large-scale unconstrained optimization", 1983;
    Nocedal and Wright, "Numerical Optimization", 2006, algorithm 7.1.

    Args:
        forcing: part of the gradient that may be left at most, in (0, 1).
        most_products: products of a step at most.

    Raises:
        InputError: a number is out of range; in `update`, what a search can't be made of.

    >>> from lec7 import optim
    >>> f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> x = jnp.array([-1.2, 1.0])
    >>> optim.minimize(f, x, optim.newton_cg()).params.round(2).tolist()
    [1.0, 1.0]
    """
    check("most_products", most_products, WHOLE_FROM_ONE, "how many products of a step are enough")
    eta = number("forcing", forcing, INSIDE, "the part of the gradient that may be left")

    def direction(kept: tuple[()], g: PyTree, params: Params, value_fn: ValueFn):
        # The products share the pass through the objective at these parameters.
        _, product = jax.linearize(jax.grad(value_fn), params)
        gg = dot(g, g)
        enough = gg * jnp.minimum(eta, jnp.sqrt(jnp.sqrt(gg))) ** 2

        def step(s: _Descent) -> _Descent:
            hd = product(s.d)
            curvature = dot(s.d, hd)
            # Also where it is NaN.
            curves = curvature > jnp.finfo(curvature.dtype).eps * dot(s.d, s.d)
            a = jnp.where(curvature == 0, 0, s.rr / jnp.abs(curvature))
            # Without positive curvature no farther than up to here.
            most = jnp.where(s.products > 0, jnp.sqrt(dot(s.z, s.z) / dot(s.d, s.d)), jnp.inf)
            a = jnp.where(curves, a, jnp.minimum(a, most))
            z, r = plus(s.z, a, s.d), plus(s.r, a, hd)
            rr = dot(r, r)
            d = plus(times(-1, r), rr / s.rr, s.d)
            products = s.products + 1
            ended = ~curves | (rr <= enough) | (products >= most_products)
            return _Descent(z, r, rr, d, products, ended)

        zero = times(0, g)
        first = _Descent(zero, g, gg, times(-1, g), jnp.zeros((), jnp.int32), ~(gg > 0))
        last = lax.while_loop(lambda s: ~s.ended, step, first)
        return last.z, last.products

    return searching("Newton-CG", lambda params: (), direction)
