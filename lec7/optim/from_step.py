"""An optimizer that begins later than the others."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.optim.leafwise import zeros
from lec7.ranges import WHOLE, number
from lec7.typing import PyTree, Scalar


class FromStepState(NamedTuple):
    """Steps seen (int32 array of shape ()), and the optimizer's own state, which waits until its first step."""

    t: jax.Array
    inner: PyTree


def from_step(first: Scalar, optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The optimizer from a step on: until then it moves nothing and learns nothing, and its own steps count from there.

    For gradual unfreezing, as a member of `groups`: `{"head/.*": adam(1e-3), ".*": from_step(100, adam(1e-4))}`.
    Gradients are computed from the beginning on: what stays frozen for good is `frozen()`.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning", 2018, section 3.3 (gradual unfreezing).

    Args:
        first: the step of its first update, counted from 0; may be traced.
        optimizer: any Optax transformation.

    Raises:
        InputError: `first` is known and no whole number of at least 0.

    >>> tx = from_step(1, optax.sgd(1.0))
    >>> update, state = tx.update(jnp.array(2.0), tx.init(jnp.array(0.0)))
    >>> float(update), float(tx.update(jnp.array(2.0), state)[0])
    (0.0, -2.0)
    """
    first = number("first", first, WHOLE, "the step of the first update")
    tx = optax.with_extra_args_support(optimizer)

    def init(params):
        return FromStepState(jnp.zeros((), jnp.int32), tx.init(params))

    def update(updates, state, params=None, **extra):
        moved, inner = tx.update(updates, state.inner, params, **extra)
        begun = state.t >= first

        def chosen(new, old):
            return jax.tree.map(lambda a, b: jnp.where(begun, a, b), new, old)

        return chosen(moved, zeros(moved)), FromStepState(state.t + 1, chosen(inner, state.inner))

    return optax.GradientTransformationExtraArgs(init, update)
