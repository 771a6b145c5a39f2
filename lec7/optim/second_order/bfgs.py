"""BFGS: the inverse Hessian from all steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.optim.second_order.dense import check_size, flat
from lec7.optim.second_order.searching import curved, searching
from lec7.typing import Params, PyTree, ValueFn


class InverseHessian(NamedTuple):
    """The approximation `h` [n, n], and how many pairs it was made of, int32 []."""

    h: jax.Array
    pairs: jax.Array


def bfgs() -> optax.GradientTransformationExtraArgs:
    """BFGS: an approximation of the inverse Hessian, improved by each step, at a cost of O(n^2).

        p = -H g
        s = a p,  y = g(x + s) - g(x)
        H += (s·y + y·Hy) / (s·y)^2 s s^T - (Hy s^T + s (Hy)^T) / s·y

    `a` is found by `line_search`. The first pair takes `H = s·y / y·y I` for granted. A pair without positive curvature
    is left out.

    Source: lecture 7, "BFGS"; Nocedal and Wright, "Numerical Optimization", 2006, algorithm 6.1 and equation 6.20.

    Raises:
        InputError: from `init`, where the matrix would take more than 8 GB.

    >>> from lec7 import optim
    >>> f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> x = jnp.array([-1.2, 1.0])
    >>> optim.minimize(f, x, optim.bfgs()).params.round(2).tolist()
    [1.0, 1.0]
    """

    def init(params: Params) -> InverseHessian:
        check_size("BFGS", params)
        x, _ = flat(params)
        return InverseHessian(jnp.zeros((x.size, x.size), x.dtype), jnp.zeros((), jnp.int32))

    def direction(kept: InverseHessian, g: PyTree, params: Params, value_fn: ValueFn):
        g, tree_of = flat(g)
        return tree_of(jnp.where(kept.pairs > 0, -(kept.h @ g), 0)), 0

    def learn(kept: InverseHessian, s: PyTree, y: PyTree) -> InverseHessian:
        (s, _), (y, _) = flat(s), flat(y)
        sy, yy, curves = curved(s, y)
        h = jnp.where(kept.pairs > 0, kept.h, sy / yy * jnp.eye(s.size, dtype=s.dtype))
        hy = jnp.where(kept.pairs > 0, kept.h @ y, sy / yy * y)
        h = h + (sy + y @ hy) / sy**2 * jnp.outer(s, s) - (jnp.outer(hy, s) + jnp.outer(s, hy)) / sy
        return InverseHessian(jnp.where(curves, h, kept.h), kept.pairs + curves)

    def forget(kept: InverseHessian, now: jax.Array) -> InverseHessian:
        return kept._replace(pairs=jnp.where(now, 0, kept.pairs))

    return searching("BFGS", init, direction, learn, forget)
