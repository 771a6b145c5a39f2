"""Steps whose gradient is NaN or infinite are passed over and counted; too many in a row stop the run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lec7 import tree
from lec7.optim.apply import Applying, apply_gradients, no_updates
from lec7.ranges import NOT_NEGATIVE, check
from lec7.typing import Params, PyTree


class SkipState(NamedTuple):
    """Steps skipped in a row and in all, how many in a row are allowed (int32 arrays of shape ()), the inner state.

    Once `in_row` is beyond the limit it stays there, since whoever looks may look once in many steps.
    """

    holds_back_steps = True

    in_row: jax.Array
    total: jax.Array
    limit: jax.Array
    inner: PyTree


class TooManySkipped(Exception):
    """The gradient was NaN or infinite for more steps in a row than allowed.

    Args:
        in_row: steps skipped one after another.
        total: steps skipped since training began.
        limit: how many in a row were allowed.
    """

    def __init__(self, in_row: int, total: int, limit: int):
        self.in_row, self.total, self.limit = in_row, total, limit
        super().__init__(
            f"the gradient or the loss was NaN or infinite for {in_row} steps in a row, and {limit} are allowed "
            f"({total} skipped in all); the parameters are those of the last finite step. "
            "A lower learning rate, a longer warm-up or clipped gradients may help, if it isn't the data"
        )


def skip_nonfinite(tx: optax.GradientTransformation, limit: int | jax.Array) -> Applying:
    """`tx`, but a NaN or an infinity anywhere in the gradient, or in `value` where given, skips the step.

    A skipped step leaves the parameters and the inner state as they are, bit for bit, and is counted. `limit`
    stops nothing by itself, since compiled code can't raise: the loop calls `check_skipped` on the host.

    Args:
        tx: any Optax transformation.
        limit: how many skipped steps in a row are allowed; may be traced.

    Raises:
        InputError: `limit` is known and negative.

    >>> tx = skip_nonfinite(optax.sgd(1.0), limit=0)
    >>> x = jnp.array(2.0)
    >>> x, state = apply_gradients(tx, jnp.array(jnp.nan), tx.init(x), x)
    >>> float(x), int(state.total)
    (2.0, 1)
    >>> check_skipped(state)
    Traceback (most recent call last):
    ...
    lec7.optim.finite.TooManySkipped: the gradient or the loss was NaN or infinite for 1 steps in a row, ...
    """
    check("limit", limit, NOT_NEGATIVE, "how many skipped steps in a row are allowed")
    limit = jnp.asarray(limit, jnp.int32)
    tx = optax.with_extra_args_support(tx)

    def init(params: Params) -> SkipState:
        # Two arrays: a state that is donated shares no memory within.
        in_row, total = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return SkipState(in_row, total, limit, tx.init(params))

    def counted(state: SkipState, finite: jax.Array, inner: PyTree) -> SkipState:
        skip = (~finite).astype(jnp.int32)
        in_row = jnp.where(finite & (state.in_row <= state.limit), 0, state.in_row + skip)
        return SkipState(in_row, state.total + skip, state.limit, inner)

    def update(grads: PyTree, state: SkipState, params: Params | None = None, **extra: Any) -> tuple[PyTree, SkipState]:
        def step():
            return tx.update(grads, state.inner, params, **extra)

        finite = is_finite((grads, extra.get("value")))
        updates, inner = jax.lax.cond(finite, step, lambda: (no_updates(step), state.inner))
        return updates, counted(state, finite, inner)

    def apply(grads: PyTree, state: SkipState, params: Params, **extra: Any) -> tuple[Params, SkipState]:
        def step():
            return apply_gradients(tx, grads, state.inner, params, **extra)

        finite = is_finite((grads, extra.get("value")))
        params, inner = jax.lax.cond(finite, step, lambda: (params, state.inner))
        return params, counted(state, finite, inner)

    return Applying(init, update, apply)


def is_finite(numbers: PyTree) -> jax.Array:
    """Whether none of the numbers is NaN or infinite: a bool array of shape ().

    >>> bool(is_finite({"a": jnp.ones(3), "b": jnp.array([1.0, jnp.inf])}))
    False
    """
    finite = [jnp.isfinite(x).all() for x in jax.tree.leaves(numbers)]
    return jnp.stack(finite).all() if finite else jnp.array(True)


def skipped(opt_state: PyTree) -> SkipState | None:
    """The counters of `skip_nonfinite` in an optimizer's state, wherever they sit; None where there are none.

    Of several it is the first, the outer one before those inside of it.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    >>> int(skipped(skip_nonfinite(optax.sgd(0.1), limit=5).init(jnp.ones(2))).total)
    0
    """
    return next(iter(tree.nodes(opt_state, SkipState)), None)


def check_skipped(opt_state: PyTree) -> None:
    """Stops the run where too many steps in a row were skipped. Call it on the host, between dispatches.

    Args:
        opt_state: state of an optimizer, chained and nested in any way; lanes of a sweep are looked at one by one.

    Raises:
        TooManySkipped: more steps in a row than the state's limit.

    >>> tx = skip_nonfinite(optax.sgd(0.1), limit=0)
    >>> x = jnp.array(1.0)
    >>> _, state = tx.update(jnp.array(jnp.nan), tx.init(x), x)
    >>> check_skipped(state)
    Traceback (most recent call last):
    ...
    lec7.optim.finite.TooManySkipped: ...
    """
    for state in tree.nodes(opt_state, SkipState):
        counters = (np.ravel(x) for x in jax.device_get((state.in_row, state.total, state.limit)))
        for in_row, total, limit in zip(*counters, strict=True):
            if in_row > limit:
                raise TooManySkipped(int(in_row), int(total), int(limit))
