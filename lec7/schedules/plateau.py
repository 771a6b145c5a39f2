"""A schedule that looks at the loss: smaller updates where it no longer comes down."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.errors import InputError
from lec7.ranges import FRACTION, FROM_ONE, INSIDE, NOT_NEGATIVE, number
from lec7.typing import Params, PyTree, Scalar


class PlateauState(NamedTuple):
    """What `reduce_on_plateau` remembers: arrays of shape (), counts in int32.

    Attributes:
        scale: what updates are multiplied by.
        best: the lowest mean so far, infinite before the first.
        bad: means in a row that were no improvement.
        cooldown: means that are still to pass before bad ones count again.
        total: sum of the values since the latest mean.
        seen: number of these values.
    """

    scale: jax.Array
    best: jax.Array
    bad: jax.Array
    cooldown: jax.Array
    total: jax.Array
    seen: jax.Array


def reduce_on_plateau(
    factor: Scalar = 0.1,
    patience: Scalar = 10,
    cooldown: Scalar = 0,
    rtol: Scalar = 1e-4,
    atol: Scalar = 0.0,
    min_scale: Scalar = 0.0,
    every: Scalar = 1,
) -> optax.GradientTransformationExtraArgs:
    """Scales updates by `factor` each time that the loss has stopped coming down.

    The loss is `value` in `update`'s extra arguments; lec7's training step gives it. The mean of each `every` values
    is judged: it is an improvement if it is below `best - rtol * |best| - atol`. When more than `patience` in a row
    were none, the scale, 1 at first, becomes `max(factor * scale, min_scale)`, from this very update on; then
    `cooldown` means pass without bad ones being counted. NaN is no improvement.

    This is what PyTorch's `ReduceLROnPlateau` does to a loss that is not negative. (Of a negative one, PyTorch takes
    values that are a little worse for improvements.) Optax's transformation of this name is one mean less patient.

    Source: lecture 7, where step decay follows plateaus of the loss by hand; PyTorch, `ReduceLROnPlateau`.

    Args:
        factor: the next scale as a part of the one before, in (0, 1).
        patience: number of means without improvement that are borne, at least 0.
        cooldown: number of means after a reduction that are not counted as bad, at least 0.
        rtol: part of the best mean by which a better one is lower, in [0, 1].
        atol: amount by which a better mean is lower, at least 0.
        min_scale: the scale never falls below it, in [0, 1].
        every: number of values in a mean, at least 1; many for losses of single batches.

    Returns:
        A transformation to put behind an optimizer, as in `optax.chain(optim.adam(1e-3), reduce_on_plateau())`.

    Raises:
        InputError: a number is known and out of range; or `update` gets no `value`.

    >>> tx = reduce_on_plateau(factor=0.5, patience=1)
    >>> state = tx.init(jnp.array(0.0))
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
    ...     update, state = tx.update(jnp.array(1.0), state, value=loss)
    ...     print(update)
    1.0
    1.0
    1.0
    0.5
    0.5
    """
    factor = number("factor", factor, INSIDE, "what a reduction multiplies by, such as 0.1")
    patience = number("patience", patience, NOT_NEGATIVE, "the number of means without improvement to bear")
    cooldown = number("cooldown", cooldown, NOT_NEGATIVE, "the number of means to pass after a reduction")
    rtol = number("rtol", rtol, FRACTION, "the part by which a better mean is lower, such as 1e-4")
    atol = number("atol", atol, NOT_NEGATIVE, "the amount by which a better mean is lower, 0 for none")
    min_scale = number("min_scale", min_scale, FRACTION, "the smallest scale, 0 for none")
    every = number("every", every, FROM_ONE, "the number of values in a mean")

    def init(params: Params) -> PlateauState:
        zero = jnp.zeros((), jnp.int32)
        best, total = jnp.asarray(jnp.inf, float), jnp.zeros((), float)
        return PlateauState(jnp.ones((), float), best, bad=zero, cooldown=zero, total=total, seen=zero)

    def judge(state: PlateauState) -> PlateauState:
        """The state after a whole mean, `total / seen`."""
        mean = state.total / state.seen
        enough = jnp.where(jnp.isinf(state.best), 0.0, rtol * jnp.abs(state.best) + atol)
        better = mean < state.best - enough
        bad = jnp.where(better | (state.cooldown > 0), 0, state.bad + 1)
        reduce = bad > patience
        return PlateauState(
            scale=jnp.where(reduce, jnp.maximum(factor * state.scale, min_scale), state.scale),
            best=jnp.where(better, mean, state.best),
            bad=jnp.where(reduce, 0, bad),
            cooldown=jnp.where(reduce, cooldown.astype(jnp.int32), jnp.maximum(state.cooldown - 1, 0)),
            total=jnp.zeros_like(state.total),
            seen=jnp.zeros_like(state.seen),
        )

    def update(
        updates: PyTree,
        state: PlateauState | Any,
        params: Params | None = None,
        *,
        value: Scalar | None = None,
        **extra: Any,
    ):
        if value is None:
            raise InputError(
                "reduce_on_plateau got no value, expected the loss; call update(updates, state, params, value=loss)"
            )
        state = state._replace(total=state.total + jnp.asarray(value, float), seen=state.seen + 1)
        whole = state.seen >= every
        state = jax.tree.map(lambda judged, waiting: jnp.where(whole, judged, waiting), judge(state), state)
        return jax.tree.map(lambda g: (state.scale * g).astype(g.dtype), updates), state

    return optax.GradientTransformationExtraArgs(init, update)
