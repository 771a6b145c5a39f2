"""Pytrees of parameters as vectors."""

import jax
import jax.numpy as jnp
from jax import lax

from lec7.typing import PyTree, wide


def dot(a: PyTree, b: PyTree) -> jax.Array:
    """The inner product of two trees of one structure, summed in float32 or wider; shape ().

    >>> float(dot({"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([3.0, 4.0])}))
    11.0
    """
    return sum(jax.tree.leaves(jax.tree.map(_dot, a, b)), start=jnp.zeros((), jnp.float32))


def plus(x: PyTree, a: jax.Array | float, p: PyTree) -> PyTree:
    """`x + a * p`, in the dtypes of x.

    >>> plus({"w": jnp.array(1.0)}, 2.0, {"w": jnp.array(3.0)})["w"].tolist()
    7.0
    """
    return jax.tree.map(lambda x, p: (x + a * p.astype(wide(p.dtype))).astype(x.dtype), x, p)


def times(a: jax.Array | float, p: PyTree) -> PyTree:
    """`a * p`, in the dtypes of p."""
    return jax.tree.map(lambda p: (a * p.astype(wide(p.dtype))).astype(p.dtype), p)


def minus(a: PyTree, b: PyTree) -> PyTree:
    """`a - b`, in float32 or wider."""
    return jax.tree.map(lambda a, b: a.astype(wide(a.dtype)) - b.astype(wide(b.dtype)), a, b)


def where(condition: jax.Array, a: PyTree, b: PyTree) -> PyTree:
    """The one tree or the other, in the dtypes of the second."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b).astype(b.dtype), a, b)


def largest(g: PyTree) -> jax.Array:
    """The magnitude of the largest entry, shape (); NaN where there is one, and 0 of nothing.

    >>> float(largest({"w": jnp.array([1.0, -3.0]), "empty": jnp.zeros(0)}))
    3.0
    """
    return jnp.stack([jnp.max(jnp.abs(g).astype(wide(g.dtype)), initial=0) for g in jax.tree.leaves(g)]).max(initial=0)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    dtype = wide(jnp.promote_types(a.dtype, b.dtype))
    return jnp.vdot(a.astype(dtype), b.astype(dtype), precision=lax.Precision.HIGHEST)
