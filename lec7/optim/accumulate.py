"""Gradients of several micro-batches summed to one step: a batch larger than memory."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.optim.apply import Applying, apply_gradients, no_updates
from lec7.ranges import check_count
from lec7.typing import Params, PyTree, Scalar, wide


class AccumulateState(NamedTuple):
    """Micro-batches since the latest step (int32 [], below k), their summed gradients and values, the inner state.

    `total` is shaped as the parameters and `value` has shape (), both in float32 or wider. At `i = 0` they
    still hold the sums of the step that was: the next micro-batch starts afresh, and spares a pass of zeros.
    """

    holds_back_steps = True

    i: jax.Array
    total: PyTree
    value: jax.Array
    inner: PyTree


def accumulate(tx: optax.GradientTransformation, k: int) -> Applying:
    """Takes k steps on micro-batches that equal one step of `tx` on all their examples, to rounding.

        total = g + (total if i > 0 else 0)
        every k-th time: tx.update(total / k)

    The first k - 1 steps leave the parameters and the inner state as they are, averages inside of `tx`
    included; `tx` runs once in k steps. Through `apply_gradients` the others read the gradients and the
    total and write the total, and nothing else. (Where a `vmap` gives each lane its own state, a condition
    becomes a choice between two results, so that `tx` is computed at each step; what comes out is the same.)

    `tx` gets the mean gradient, in the gradients' dtype; as extra arguments `value`, the mean of the values,
    and `grad`, the mean gradient again, each where it was given; others as they are at the k-th step. A
    `value_fn` knows the latest micro-batch alone, so that a line search belongs around big batches only.

    Args:
        tx: any Optax transformation.
        k: micro-batches of a step, at least 1.

    Raises:
        InputError: `k` is no int, or below 1.

    >>> tx = accumulate(optax.sgd(1.0), 2)
    >>> x = jnp.array(0.0)
    >>> state = tx.init(x)
    >>> x, state = apply_gradients(tx, jnp.array(1.0), state, x)
    >>> float(x)
    0.0
    >>> x, state = apply_gradients(tx, jnp.array(3.0), state, x)
    >>> float(x)
    -2.0
    """
    check_count("k", k, "the number of micro-batches of a step")
    tx = optax.with_extra_args_support(tx)

    def init(params: Params) -> AccumulateState:
        total = jax.tree.map(lambda x: jnp.zeros(x.shape, wide(x.dtype)), params)
        return AccumulateState(jnp.zeros((), jnp.int32), total, jnp.zeros((), float), tx.init(params))

    def sums(grads: PyTree, state: AccumulateState, value: Scalar | None) -> AccumulateState:
        """The state with one micro-batch more; the inner state as it was."""

        def plus(total: jax.Array, x: jax.Array | float) -> jax.Array:
            return (jnp.where(state.i == 0, 0, total) + x).astype(total.dtype)

        # Outside of the condition: inside, XLA would not sum in place.
        total = jax.tree.map(plus, state.total, grads)
        return AccumulateState((state.i + 1) % k, total, plus(state.value, 0 if value is None else value), state.inner)

    def means(state: AccumulateState, grads: PyTree, extra: dict[str, Any]) -> tuple[PyTree, dict[str, Any]]:
        """The mean gradient, and the extra arguments that belong to it."""
        g = jax.tree.map(lambda total, g: (total / k).astype(g.dtype), state.total, grads)
        if extra.get("value") is not None:
            extra = extra | {"value": (state.value / k).astype(jnp.result_type(extra["value"]))}
        if extra.get("grad") is not None:
            extra = extra | {"grad": g}
        return g, extra

    def update(
        grads: PyTree, state: AccumulateState, params: Params | None = None, **extra: Any
    ) -> tuple[PyTree, AccumulateState]:
        state = sums(grads, state, extra.get("value"))

        def step():
            g, known = means(state, grads, extra)
            return tx.update(g, state.inner, params, **known)

        updates, inner = jax.lax.cond(state.i == 0, step, lambda: (no_updates(step), state.inner))
        return updates, state._replace(inner=inner)

    def apply(grads: PyTree, state: AccumulateState, params: Params, **extra: Any) -> tuple[Params, AccumulateState]:
        state = sums(grads, state, extra.get("value"))

        def step():
            g, known = means(state, grads, extra)
            return apply_gradients(tx, g, state.inner, params, **known)

        # The parameters go through the condition, so that a step that waits neither reads nor writes them.
        params, inner = jax.lax.cond(state.i == 0, step, lambda: (params, state.inner))
        return params, state._replace(inner=inner)

    return Applying(init, update, apply)
