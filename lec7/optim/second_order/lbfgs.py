"""L-BFGS: the inverse Hessian from the latest few steps."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lec7.errors import InputError
from lec7.optim.second_order.searching import curved, searching
from lec7.optim.second_order.vectors import dot, plus, times
from lec7.ranges import check_count
from lec7.typing import DTypeLike, Params, PyTree, ValueFn, wide


class Pairs(NamedTuple):
    """What the latest m pairs of a step and the change of the gradient along it amount to, in a ring.

    Attributes:
        t: steps, less what younger pairs know better, leaves [m, *shape].
        y: changes of the gradient, leaves [m, *shape].
        rho: `1 / s·y` of each pair, 0 where there is none, [m].
        gamma: `s·y / y·y` of the latest pair, 0 while there is none, [].
        pairs: how many were taken in since the memory was empty, int32 [].
    """

    t: PyTree
    y: PyTree
    rho: jax.Array
    gamma: jax.Array
    pairs: jax.Array


def lbfgs(
    memory: int = 10, storage: DTypeLike | None = None, curvature: Literal["skip", "damp"] = "skip"
) -> optax.GradientTransformationExtraArgs:
    r"""L-BFGS, "the" optimizer of full batches: BFGS's inverse Hessian from the latest `memory` pairs, never formed.

    The textbook's first loop goes over the pairs from the youngest to the oldest, `a_i = rho_i s_i·(g - sum of a_j y_j
    of younger j)` with `rho = 1 / s·y`. That is `a = rho T g`, where the rows of T are the steps less what younger
    pairs took from them, which each new pair does once and for all:

        t_i -= rho (t_i·y) s

    The rows lie in any order, for the second loop is the transpose of the first:

        a = rho T g
        q = g - Y^T a
        p = -(gamma q + T^T (a - gamma rho Y q)),   gamma = s·y / y·y of the latest pair

    The length of the step is found by `line_search`.
    A pair without positive curvature is left out, or damped: `y` is drawn towards `s / gamma` until the curvature is
    a fifth of `s·s / gamma` (Powell).

    Source: lecture 7, "L-BFGS"; Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
    1989; Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices", 1994; Nocedal and Wright, "Numerical
    Optimization", 2006, procedure 18.2, for damping.

    Args:
        memory: m, pairs that are kept, at least 1; the state has 2 m + 2 times the parameters' size.
        storage: dtype of the pairs; by default the parameters', and at least float32. (On a CPU, XLA widens bfloat16
            as it works; float16 saves memory there as well, but holds nothing beyond 65,504 or below 6e-8.)
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
    check_count("memory", memory, "the number of pairs that are kept")
    if curvature not in ("skip", "damp"):
        raise InputError(f"curvature is {curvature!r}, expected 'skip' or 'damp'")
    if storage is not None and not jnp.issubdtype(storage, jnp.floating):
        raise InputError(f"storage is {jnp.dtype(storage)}, expected a floating dtype such as jnp.float16")

    def init(params: Params) -> Pairs:
        def rows():
            return jax.tree.map(lambda x: jnp.zeros((memory, *x.shape), storage or wide(x.dtype)), params)

        dtype = dot(params, params).dtype
        return Pairs(rows(), rows(), jnp.zeros(memory, dtype), jnp.zeros((), dtype), jnp.zeros((), jnp.int32))

    def direction(kept: Pairs, g: PyTree, params: Params, value_fn: ValueFn):
        a = kept.rho * _products(kept.t, g)
        q = plus(g, -1, _combination(a, kept.y))
        b = a - kept.gamma * kept.rho * _products(kept.y, q)
        return times(-1, plus(times(kept.gamma, q), 1, _combination(b, kept.t))), 0

    def learn(kept: Pairs, s: PyTree, y: PyTree) -> Pairs:
        if curvature == "damp":
            y = _damped(s, y, jnp.where(kept.pairs > 0, kept.gamma, 1))
        sy, yy, curves = curved(s, y)
        i = kept.pairs % memory
        new = curves & (jnp.arange(memory) == i)
        # A row that was forgotten becomes 0, so that it brings no NaN into a sum.
        stays = (kept.rho > 0) & ~new
        c = jnp.where(new, 1, jnp.where(stays & curves, -_products(kept.t, y) / sy, 0))

        def carried(t: jax.Array, s: jax.Array) -> jax.Array:
            row = jax.vmap(lambda stays, t, c: jnp.where(stays, t, 0) + c * s.astype(wide(s.dtype)))
            return row(stays, t, c).astype(t.dtype)

        def put(rows: jax.Array, v: jax.Array) -> jax.Array:
            row = jnp.where(curves, v.astype(rows.dtype), lax.dynamic_index_in_dim(rows, i, keepdims=False))
            return lax.dynamic_update_index_in_dim(rows, row, i, 0)

        return Pairs(
            jax.tree.map(carried, kept.t, s),
            jax.tree.map(put, kept.y, y),
            jnp.where(new, 1 / sy, kept.rho),
            jnp.where(curves, sy / yy, kept.gamma),
            kept.pairs + curves,
        )

    def forget(kept: Pairs, now: jax.Array) -> Pairs:
        rho, gamma, pairs = (jnp.where(now, 0, x) for x in (kept.rho, kept.gamma, kept.pairs))
        return kept._replace(rho=rho, gamma=gamma, pairs=pairs)

    return searching("L-BFGS", init, direction, learn, forget)


def _products(rows: PyTree, v: PyTree) -> jax.Array:
    """Each row times a vector: [m]."""

    def of_leaf(rows: jax.Array, v: jax.Array) -> jax.Array:
        if rows.dtype != v.dtype:  # a row at a time: XLA would widen all of them at once
            return lax.map(lambda row: dot(row, v), rows)
        return jnp.einsum("mi,i->m", rows.reshape(len(rows), -1), v.reshape(-1), precision="highest")

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, rows, v)), start=jnp.zeros((), jnp.float32))


def _combination(coefficients: jax.Array, rows: PyTree) -> PyTree:
    """The rows' sum with coefficients [m], a vector in float32 or wider."""

    def of_leaf(rows: jax.Array) -> jax.Array:
        if rows.dtype != coefficients.dtype:
            start = jnp.zeros(rows.shape[1:], coefficients.dtype)
            return lax.fori_loop(0, len(rows), lambda i, total: plus(total, coefficients[i], rows[i]), start)
        flat = rows.reshape(len(rows), -1)
        return jnp.einsum("m,mi->i", coefficients, flat, precision="highest").reshape(rows.shape[1:])

    return jax.tree.map(of_leaf, rows)


def _damped(s: PyTree, y: PyTree, gamma: jax.Array) -> PyTree:
    """`theta y + (1 - theta) s / gamma`, whose curvature along s is a fifth of `s·s / gamma`, where y has none."""
    sy, _, curves = curved(s, y)
    curvature = dot(s, s) / gamma
    theta = jnp.where(curves, 1, 0.8 * curvature / (curvature - sy))
    return plus(times(theta, y), (1 - theta) / gamma, s)
