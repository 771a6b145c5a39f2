"""From gradients to new parameters, for transforms that can do better than "update, then add".

Most transforms say what to add. Some know the new parameters themselves: a master copy that is rounded, or
a step that leaves everything where it is and need not read it. They bring a method `apply` as well.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lec7.typing import Params, PyTree


class Applying(optax.GradientTransformationExtraArgs):
    """A transform with a method `apply(grads, state, params, **extra) -> (params, state)`.

    `apply` gives what `update` and `optax.apply_updates` give, with less memory read or with less rounding.
    Inside of `optax.chain` and the like it is an ordinary transform, whose `update` is called.
    """

    apply: Callable[..., tuple[Params, PyTree]]

    def __new__(cls, init: Callable[..., Any], update: Callable[..., Any], apply: Callable[..., Any]):
        """Attaches `apply`."""
        self = super().__new__(cls, init, update)
        self.apply = apply
        return self


def apply_gradients(
    optimizer: optax.GradientTransformation, grads: PyTree, opt_state: PyTree, params: Params, **extra: Any
) -> tuple[Params, PyTree]:
    """The parameters and the optimizer's state after one step: what a training step calls.

    Args:
        optimizer: any Optax transformation, or an `Applying`.
        grads: gradients, shaped as `params`.
        opt_state: the optimizer's state.
        params: the parameters.
        **extra: handed to the optimizer where it takes extra arguments (`value`, `grad`, `value_fn`).

    Returns:
        New parameters, shaped and typed as `params`, and the new state.

    >>> tx = optax.sgd(0.1)
    >>> x = jnp.array(1.0)
    >>> x, state = apply_gradients(tx, 2 * x, tx.init(x), x)
    >>> round(float(x), 6)
    0.8
    """
    if isinstance(optimizer, Applying):
        return optimizer.apply(grads, opt_state, params, **extra)
    updates, opt_state = optax.with_extra_args_support(optimizer).update(grads, opt_state, params, **extra)
    return optax.apply_updates(params, updates), opt_state


def no_updates(update: Callable[[], tuple[PyTree, PyTree]]) -> PyTree:
    """Zeros shaped and typed as the updates that `update()` would give; nothing of it is run.

    >>> float(no_updates(lambda: (jnp.float32(3.0), ())))
    0.0
    """
    updates, _ = jax.eval_shape(update)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), updates)
