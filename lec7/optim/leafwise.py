"""How the transforms apply an equation to a pytree."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lec7.ranges import DECAY, NOT_NEGATIVE, number
from lec7.typing import PyTree, Scalar


def each(equation: Callable[..., jax.Array], tree: PyTree, *rest: PyTree) -> PyTree:
    """The equation leaf by leaf; results have the dtypes of the first tree's leaves.

    >>> each(lambda v, g: 0.9 * v + g, {"w": jnp.ones(2)}, {"w": jnp.ones(2)})["w"].tolist()
    [1.899999976158142, 1.899999976158142]
    """
    return jax.tree.map(lambda x, *xs: equation(x, *xs).astype(x.dtype), tree, *rest)


def numbers(**named: Scalar) -> tuple[jax.Array, ...]:
    """Hyperparameters as arrays, so that arithmetic on them rounds the same whether they are known or traced.

    Raises:
        InputError: one is known and negative or not finite.
    """
    return tuple(number(name, given, NOT_NEGATIVE, "a small one") for name, given in named.items())


def decays(**named: Scalar) -> tuple[jax.Array, ...]:
    """Hyperparameters in [0, 1), as `numbers`.

    Raises:
        InputError: one is known and outside.
    """
    return tuple(number(name, given, DECAY, "the part that a step keeps") for name, given in named.items())


def square(g: jax.Array) -> jax.Array:
    """`g * g`; of a complex number its squared magnitude, a real one."""
    return (g * g.conj()).real if jnp.iscomplexobj(g) else g * g


def zeros(like: PyTree) -> PyTree:
    """Zeros shaped and typed as the leaves."""
    return jax.tree.map(jnp.zeros_like, like)


def real(params: PyTree, value: Any = 0.0) -> PyTree:
    """The value everywhere, shaped as the parameters, with the real dtype of complex ones."""
    return jax.tree.map(lambda x: jnp.full_like(x.real, value), params)
