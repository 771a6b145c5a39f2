"""The replicas of a step that `train.pmap` runs, one on each device, and what they have to agree on.

All of this is nothing where no axis is called `AXIS`: a step is written once, and what runs it decides.
"""

import jax
import jax.numpy as jnp
from jax import lax

from lec7.typing import Key, PyTree

AXIS = "replica"
"""What the axis of replicas is called, for collectives of one's own: `lax.pmean(x, lec7.replicas.AXIS)`."""


def are_there() -> bool:
    """Whether what is being traced is one of several replicas.

    >>> bool(are_there()), jax.vmap(lambda x: x + are_there(), axis_name=AXIS)(jnp.zeros(2)).tolist()
    (False, [1.0, 1.0])
    """
    try:
        lax.axis_index(AXIS)
    except NameError:  # JAX's, for an axis that is not bound
        return False
    return True


def mean(values: PyTree) -> PyTree:
    """The mean over replicas of each floating array; others, which replicas have in common, as they are.

    Args:
        values: a pytree of arrays.

    Returns:
        The same shapes.

    >>> jax.vmap(mean, axis_name=AXIS)(jnp.array([1.0, 3.0])).tolist()
    [2.0, 2.0]
    """
    if not are_there():
        return values
    return jax.tree.map(lambda x: lax.pmean(x, AXIS) if jnp.issubdtype(x.dtype, jnp.floating) else x, values)


def shared(params: PyTree) -> PyTree:
    """The parameters, which replicas have in common: the gradient with respect to them is the mean over replicas.

    It is defined for reverse mode alone: optimizers that ask for products with the curvature are for `train.sharded`.

    Args:
        params: a pytree of arrays.

    Returns:
        The same arrays.

    >>> def slope(x):
    ...     return jax.grad(lambda w: shared(w) * x)(1.0)
    >>> jax.vmap(slope, axis_name=AXIS)(jnp.array([1.0, 3.0])).tolist()
    [2.0, 2.0]
    """
    return _shared(params) if are_there() else params


@jax.custom_vjp
def _shared(params: PyTree) -> PyTree:
    return params


_shared.defvjp(lambda params: (params, None), lambda _, cotangents: (lax.pmean(cotangents, AXIS),))


def own(key: Key) -> Key:
    """The key of this replica, from one that they have in common.

    Args:
        key: the same on all.

    Returns:
        A key that differs from replica to replica; where there are none, the same.

    >>> keys = jax.vmap(lambda _: own(jax.random.key(0)), axis_name=AXIS)(jnp.zeros(2))
    >>> bool(keys[0] == keys[1])
    False
    """
    return jax.random.fold_in(key, lax.axis_index(AXIS)) if are_there() else key


def own_rows(rows: jax.Array) -> jax.Array:
    """This replica's part of the rows of a batch, an array [batch, ...] of which the replicas divide the length.

    Args:
        rows: of the whole batch, [batch, ...].

    Returns:
        [batch / replicas, ...]; where there are none, all.

    >>> jax.vmap(lambda _: own_rows(jnp.arange(6)), axis_name=AXIS)(jnp.zeros(2)).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    if not are_there():
        return rows
    size = len(rows) // lax.axis_size(AXIS)
    return lax.dynamic_slice_in_dim(rows, lax.axis_index(AXIS) * size, size)


__all__ = ["are_there", "mean", "own", "own_rows", "shared"]
