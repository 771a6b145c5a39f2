"""Parameters as one vector, for methods that keep a matrix."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from lec7.errors import InputError
from lec7.typing import Params, PyTree, wide

MOST_BYTES = 8e9
"""Of one matrix."""


def flat(params: PyTree) -> tuple[jax.Array, Callable[[jax.Array], PyTree]]:
    """The leaves as one vector [n] in float32 or wider, and the way back.

    >>> x, tree_of = flat({"a": jnp.ones(2), "b": jnp.zeros((1, 1))})
    >>> x.tolist(), tree_of(x)["b"].shape
    ([1.0, 1.0, 0.0], (1, 1))
    """
    x, tree_of = ravel_pytree(params)
    return x.astype(wide(x.dtype)), lambda v: tree_of(v.astype(x.dtype))


def check_size(method: str, params: Params) -> None:
    """Refuses more parameters than a matrix can be kept for.

    Raises:
        InputError: the matrix would take more than `MOST_BYTES`.
    """
    leaves = jax.tree.leaves(params)
    n = sum(x.size for x in leaves)
    size = n**2 * wide(jnp.result_type(*leaves)).itemsize
    if size > MOST_BYTES:
        raise InputError(
            f"{method} keeps a matrix of {n:,} x {n:,} numbers for {n:,} parameters, {size / 1e9:,.0f} GB, "
            f"expected at most {MOST_BYTES / 1e9:.0f}; use optim.lbfgs() or optim.newton_cg()"
        )
