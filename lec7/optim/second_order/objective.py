"""The function that is minimized, as the methods of second order see it."""

import jax
import jax.numpy as jnp

from lec7 import tree
from lec7.errors import InputError
from lec7.typing import DTypeLike, Params, PyTree, Scalar, ValueFn


def once(value_fn: ValueFn) -> ValueFn:
    """The function as it is, but that tracing it at one place serves all: for its value, its gradient, its curvature.

    Raises:
        InputError: where it is called, that it gives anything but one real floating number.

    >>> f = once(lambda x: print("traced") or x * x)
    >>> value, grad = jax.value_and_grad(f)(3.0)
    traced
    >>> float(jax.grad(jax.grad(f))(3.0))
    2.0
    """

    def number(params: Params) -> jax.Array:
        value = value_fn(params)
        is_leaf = jax.tree.structure(value) == jax.tree.structure(0)
        if not is_leaf or jnp.shape(value) or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
            given = jax.tree.map(lambda x: f"{jnp.result_type(x)}{list(jnp.shape(x))}", value)
            raise InputError(
                f"value_fn gave {given}, expected one floating number, of shape (); take a mean or a sum of several"
            )
        return value

    return jax.jit(number)


def check_params(params: Params) -> None:
    """Refuses parameters that have no real gradient.

    Raises:
        InputError: a leaf that is no array of real floating numbers, or no leaf at all.
    """
    leaves = tree.named(params)
    if not leaves:
        raise InputError("there are no parameters: expected a pytree with at least one array")
    for name, x in leaves.items():
        dtype = jnp.result_type(x)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise InputError(
                f"parameter {name or 'x'!r} is {dtype}, expected real floating numbers; "
                "split complex parameters into two, and hold others fixed"
            )


def checked(
    method: str, grads: PyTree, params: Params | None, value: Scalar | None, value_fn: ValueFn | None, dtype: DTypeLike
) -> tuple[jax.Array, ValueFn]:
    """The value in `dtype` and the function, traced once, of an `update` that needs both.

    Raises:
        InputError: parameters, value or function are missing, the value is no single number, or a gradient has
            another shape than its parameter.
    """
    if params is None or value is None or value_fn is None:
        missing = [n for n, x in {"params": params, "value": value, "value_fn": value_fn}.items() if x is None]
        raise InputError(
            f"{method} looks for its own step and has no {', no '.join(missing)}: "
            "call update(grads, state, params, value=f(params), grad=grads, value_fn=f)"
        )
    if jnp.shape(value):
        raise InputError(f"value has shape {jnp.shape(value)}, expected one number, of shape ()")
    if jax.tree.structure(grads) != jax.tree.structure(params):
        raise InputError(
            f"the gradients are {jax.tree.structure(grads)}, the parameters {jax.tree.structure(params)}; "
            "expected the same tree"
        )
    for (name, x), g in zip(tree.named(params).items(), jax.tree.leaves(grads), strict=True):
        if jnp.shape(x) != jnp.shape(g):
            raise InputError(
                f"the gradient of {name or 'x'!r} has shape {jnp.shape(g)}, expected its parameter's {jnp.shape(x)}"
            )
    return jnp.asarray(value, dtype), once(value_fn)
