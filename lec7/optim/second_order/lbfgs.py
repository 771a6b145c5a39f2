"""L-BFGS: the inverse Hessian from the latest few steps."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.linalg import solve_triangular

from lec7.errors import InputError
from lec7.optim.second_order.searching import curved, first_scale, searching
from lec7.optim.second_order.vectors import dot, plus, times
from lec7.typing import DTypeLike, PyTree, wide


class Pairs(NamedTuple):
    """The latest m pairs of a step and the change of the gradient along it, in a ring.

    Attributes:
        s: steps, leaves [m, *shape].
        y: changes, leaves [m, *shape].
        r: products `s_i·y_j` [m, m]; those of a younger step with an older change are not kept up.
        gamma: `s·y / y·y` of the latest pair, [].
        pairs: how many were taken in since the memory was empty, int32 [].
    """

    s: PyTree
    y: PyTree
    r: jax.Array
    gamma: jax.Array
    pairs: jax.Array


def lbfgs(
    memory: int = 10, storage: DTypeLike | None = None, curvature: Literal["skip", "damp"] = "skip"
) -> optax.GradientTransformationExtraArgs:
    r"""L-BFGS, "the" optimizer of full batches: BFGS's inverse Hessian from the latest `memory` pairs, never formed.

    With the pairs as rows of S and Y, `R = triu(S Y^T)`, `D = diag(R)` and `gamma = s·y / y·y` of the latest,

        R a = S g
        q = g - Y^T a
        R^T c = D a - gamma Y q
        p = -(gamma q + S^T c)

    which are the two loops of the textbook as two triangular systems. The length of the step is found by `line_search`.
    A pair without positive curvature is left out, or damped: `y` is drawn towards `s / gamma` until the curvature is
    a fifth of `s·s / gamma` (Powell).

    Source: lecture 7, "L-BFGS"; Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
    1989; Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices", 1994; Nocedal and Wright, "Numerical
    Optimization", 2006, procedure 18.2, for damping.

    Args:
        memory: m, pairs that are kept, at least 1; the state has 2 m + 2 times the parameters' size.
        storage: dtype of the pairs; by default the parameters', and at least float32. (On a CPU, XLA widens bfloat16
            as it works; float16 saves memory there as well.)
        curvature: what becomes of pairs without positive curvature.

    Raises:
        InputError: the memory is no int or below 1, `storage` is not floating, or another word for `curvature`; in
            `update`, what a search can't be made of.

    >>> from lec7 import optim
    >>> f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> x = jnp.array([-1.2, 1.0])
    >>> optim.minimize(f, x, optim.lbfgs()).params.round(2).tolist()
    [1.0, 1.0]
    """
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise InputError(f"memory is {memory!r}, expected the number of pairs that are kept: an int of at least 1")
    if curvature not in ("skip", "damp"):
        raise InputError(f"curvature is {curvature!r}, expected 'skip' or 'damp'")
    if storage is not None and not jnp.issubdtype(storage, jnp.floating):
        raise InputError(f"storage is {jnp.dtype(storage)}, expected a floating dtype such as jnp.float16")

    def init(params):
        def rows():
            return jax.tree.map(lambda x: jnp.zeros((memory, *x.shape), storage or wide(x.dtype)), params)

        dtype = dot(params, params).dtype
        r = jnp.zeros((memory, memory), dtype)
        return Pairs(rows(), rows(), r, jnp.ones((), dtype), jnp.zeros((), jnp.int32))

    def direction(kept, g, params, value_fn):
        by_age = (kept.pairs + jnp.arange(memory)) % memory  # the oldest first
        known = jnp.arange(memory) >= memory - kept.pairs
        r = jnp.where(known[:, None] & known[None, :], jnp.triu(kept.r[by_age][:, by_age]), 0)
        r = r + jnp.diag(jnp.where(known, 0, 1).astype(r.dtype))

        def products(rows, v):
            return jnp.where(known, _products(rows, v)[by_age], 0)

        def combination(coefficients, rows):
            return _combination(jnp.zeros_like(coefficients).at[by_age].set(coefficients), rows)

        gamma = jnp.where(kept.pairs > 0, kept.gamma, first_scale(g))
        a = solve_triangular(r, products(kept.s, g))
        q = plus(g, -1, combination(a, kept.y))
        c = solve_triangular(r, jnp.diag(r) * a - gamma * products(kept.y, q), trans=1)
        return times(-1, plus(times(gamma, q), 1, combination(c, kept.s))), 0

    def learn(kept, s, y):
        if curvature == "damp":
            y = _damped(s, y, kept.gamma)
        sy, yy, curves = curved(s, y)
        i = kept.pairs % memory

        def put(rows, v):
            row = jnp.where(curves, v.astype(rows.dtype), lax.dynamic_index_in_dim(rows, i, keepdims=False))
            return lax.dynamic_update_index_in_dim(rows, row, i, 0)

        rows_s, rows_y = jax.tree.map(put, kept.s, s), jax.tree.map(put, kept.y, y)
        column = jnp.where(curves, _products(rows_s, y), kept.r[:, i])
        return Pairs(
            rows_s,
            rows_y,
            kept.r.at[:, i].set(column),
            jnp.where(curves, sy / yy, kept.gamma),
            kept.pairs + curves,
        )

    def forget(kept, now):
        return kept._replace(pairs=jnp.where(now, 0, kept.pairs))

    return searching("L-BFGS", init, direction, learn, forget)


def _products(rows: PyTree, v: PyTree) -> jax.Array:
    """Each row times a vector: [m]."""

    def of_leaf(rows, v):
        if rows.dtype != v.dtype:  # a row at a time: XLA would widen all of them at once
            return lax.map(lambda row: dot(row, v), rows)
        return jnp.einsum("mi,i->m", rows.reshape(len(rows), -1), v.reshape(-1), precision="highest")

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, rows, v)), start=jnp.zeros((), jnp.float32))


def _combination(coefficients: jax.Array, rows: PyTree) -> PyTree:
    """The rows' sum with coefficients [m], a vector in float32 or wider."""

    def of_leaf(rows):
        if rows.dtype != coefficients.dtype:
            start = jnp.zeros(rows.shape[1:], coefficients.dtype)
            return lax.fori_loop(0, len(rows), lambda i, total: plus(total, coefficients[i], rows[i]), start)
        flat = rows.reshape(len(rows), -1)
        return jnp.einsum("m,mi->i", coefficients, flat, precision="highest").reshape(rows.shape[1:])

    return jax.tree.map(of_leaf, rows)


def _damped(s: PyTree, y: PyTree, gamma: jax.Array) -> PyTree:
    """`theta y + (1 - theta) s / gamma`, whose curvature along s is a fifth of `s·s / gamma`, where y has none."""
    sy, curvature = dot(s, y), dot(s, s) / gamma
    _, _, curves = curved(s, y)
    theta = jnp.where(curves, 1, 0.8 * curvature / (curvature - sy))
    return plus(times(theta, y), (1 - theta) / gamma, s)
