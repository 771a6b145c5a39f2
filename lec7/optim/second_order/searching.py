"""How a direction becomes a gradient transformation that searches along it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lec7.optim.second_order.line_search import Found, nothing_found, search
from lec7.optim.second_order.objective import check_params, checked
from lec7.optim.second_order.vectors import dot, minus, times
from lec7.typing import Params, PyTree, Scalar, ValueFn

Kept = TypeVar("Kept")
"""What a method keeps of the curvature."""

Direction = Callable[[Kept, PyTree, Params, ValueFn], tuple[PyTree, jax.Array | int]]
"""From what is kept, a gradient, the parameters and the objective to where to go, and the products that took."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchState:
    """What the method keeps of the curvature, the latest step, and the method's name."""

    kept: Any
    found: Found
    name: str = field(metadata={"static": True})


def searching(
    name: str,
    init: Callable[[Params], Kept],
    direction: Direction[Kept],
    learn: Callable[[Kept, PyTree, PyTree], Kept] = lambda kept, step, change: kept,
    forget: Callable[[Kept, jax.Array], Kept] = lambda kept, now: kept,
) -> optax.GradientTransformationExtraArgs:
    """The transformation whose updates are steps along a method's direction, of a length that `line_search` finds.

    Where the direction does not lead down, or the step before led nowhere, it goes down the gradient instead,
    and the method forgets what it has learned.

    Args:
        name: what the method is called in tables and messages.
        init: from the parameters to what the method keeps.
        direction: from what is kept, the incoming gradient, the parameters and the objective to a direction shaped as
            the parameters, 0 where nothing is known, and to the number of products of the curvature with a vector
            that it took.
        learn: from what is kept, a step and the change of the gradient along it to what is kept.
        forget: what is kept, empty again where the second argument is true.

    Raises:
        InputError: in `update`, there are no parameters or no objective, or its value is no single number.

    >>> tx = searching("steepest descent", lambda x: (), lambda kept, g, x, f: (-g, 0))
    >>> f = lambda x: jnp.sum((x - 3.0) ** 2)
    >>> x = jnp.zeros(2)
    >>> step, state = tx.update(jax.grad(f)(x), tx.init(x), x, value=f(x), value_fn=f)
    >>> (x + step).round(2).tolist()
    [3.0, 3.0]
    """

    def start(params: Params) -> Any:
        check_params(params)
        return SearchState(init(params), nothing_found(params), name)

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
        p, products = direction(state.kept, updates, params, value_fn)
        slope = dot(grad, p)
        # Also where the slope is no number, or 0, as that of an empty memory is.
        restart = (state.found.failures > 0) | ~((slope > -jnp.inf) & (slope < 0))
        p, slope = lax.cond(restart, lambda: steepest(grad), lambda: (p, slope))
        found = search(value_fn, params, value, grad, p, slope)
        kept = learn(forget(state.kept, restart), found.step, minus(found.grad, grad))
        failures = jnp.where(found.failures > 0, state.found.failures + 1, 0)
        found = found._replace(failures=failures, products=jnp.asarray(products, jnp.int32))
        return found.step, SearchState(kept, found, name)

    return optax.GradientTransformationExtraArgs(start, update)


def steepest(grad: PyTree) -> tuple[PyTree, jax.Array]:
    """Down the gradient, by a length of 1 at most; and the slope that way.

    >>> [x.tolist() for x in steepest(jnp.array([4.0]))]
    [[-1.0], -4.0]
    """
    squared = dot(grad, grad)
    scale = 1 / jnp.maximum(1, jnp.sqrt(squared))
    return times(-scale, grad), -scale * squared


def curved(s: PyTree, y: PyTree) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`s·y` and `y·y` of a step and the gradient's change, and whether the curvature along it is positive."""
    sy, yy, ss = dot(s, y), dot(y, y), dot(s, s)
    return sy, yy, sy > jnp.finfo(sy.dtype).eps * jnp.sqrt(ss * yy)
