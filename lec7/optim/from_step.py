"""An optimizer that begins later than the others."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.optim.leafwise import zeros
from lec7.ranges import WHOLE, number
from lec7.typing import Params, PyTree, Scalar


class FromStepState(NamedTuple):
    """Steps seen (int32 array of shape ()), and the optimizer's own state, which waits until its first step."""

    t: jax.Array
    inner: PyTree


def from_step(tx: optax.GradientTransformation, first: Scalar) -> optax.GradientTransformationExtraArgs:
    """The optimizer from a step on: until then it moves nothing and learns nothing, and its own steps count from there.

    For gradual unfreezing, as a member of `groups`: `{"head/.*": adam(1e-3), ".*": from_step(adam(1e-4), 100)}`.
    Gradients are computed from the beginning on: what stays frozen for good is `frozen()`.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning", 2018, section 3.3 (gradual unfreezing).

    Args:
        tx: any Optax transformation.
        first: the step of its first update, counted from 0; may be traced.

    Raises:
        InputError: `first` is known and no whole number of at least 0.

    >>> tx = from_step(optax.sgd(1.0), 1)
    >>> update, state = tx.update(jnp.array(2.0), tx.init(jnp.array(0.0)))
    >>> float(update), float(tx.update(jnp.array(2.0), state)[0])
    (0.0, -2.0)
    """
    first = number("first", first, WHOLE, "the step of the first update")
    tx = optax.with_extra_args_support(tx)

    def init(params: Params) -> FromStepState:
        return FromStepState(jnp.zeros((), jnp.int32), tx.init(params))

    def update(updates: PyTree, state: FromStepState | Any, params: Params | None = None, **extra: Any):
        moved, inner = tx.update(updates, state.inner, params, **extra)
        begun = state.t >= first

        def chosen(new: PyTree, old: PyTree) -> PyTree:
            return jax.tree.map(lambda a, b: jnp.where(begun, a, b), new, old)

        return chosen(moved, zeros(moved)), FromStepState(state.t + 1, chosen(inner, state.inner))

    return optax.GradientTransformationExtraArgs(init, update)
