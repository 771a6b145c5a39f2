"""Batch statistics of parameters that no training step has had, such as averaged ones."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import random
from lec7.models.contract import Model, Variables
from lec7.optim.finite import is_finite
from lec7.typing import Key, Params, PyTree

FAR = 2.0**20
"""A value that a running mean is set to, to see how much of it a step keeps: far from all that batches give."""


def has_statistics(state: PyTree) -> bool:
    """Whether a model's state has floating arrays, which may be running means."""
    return any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(state))


def refresh_statistics(model: Model, params: Params, state: PyTree, batches: PyTree, key: Key | None = None) -> PyTree:
    """The model's state with its running means recomputed for these parameters: the plain mean over batches.

    Batch norm's running means belong to the parameters that training went through. An average of parameters is none
    of those, and may be far off with theirs. A running mean is whatever a call in training changes by

        s = m * s + (1 - m) * (statistics of the batch)

    with a constant m in [0, 1), read off the model by two calls on the same batch, whichever library wrote it. State
    of any other kind stays as it is. Batches that give NaN or infinities do not count, as in `optim.skip_nonfinite`.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3.2;
    the means weigh all batches alike, as those of PyTorch's `update_bn`.

    Args:
        model: called in training.
        params: the parameters.
        state: the model's state.
        batches: what the model sees: arrays [batches, batch, ...], as many of both as memory allows.
        key: for the noise that the model has in training, where it has any.

    Returns:
        State shaped as `state`. A pure function, to be jitted and mapped.

    >>> import lec7, numpy as np
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(2, (3,), 2, rngs=rngs))
    >>> params, state = model.init(jax.random.key(0), jnp.zeros((1, 2)))
    >>> x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 100, 2)), jnp.float32)
    >>> refreshed = refresh_statistics(model, params, state, x, jax.random.key(1))
    >>> hidden = x @ params["linears"]["0"]["kernel"]
    >>> bool(jnp.allclose(refreshed["norms"]["0"]["mean"], hidden.mean((0, 1)), atol=1e-5))
    True
    """
    count = len(jax.tree.leaves(batches)[0])
    return refreshed(model, Variables(params, state), lambda i: jax.tree.map(lambda x: x[i], batches), count, key)


def refreshed(
    model: Model, variables: Variables, batch: Callable[[jax.Array], Any], count: int, key: Key | None = None
) -> PyTree:
    """`refresh_statistics`, of batches that are drawn when their turn comes.

    Args:
        model: called in training.
        variables: its arrays.
        batch: from a number in [0, count), traced, to what the model sees.
        count: number of batches.
        key: for the noise of training.
    """
    params, state = variables

    def after(state, i):
        noise = None if key is None else random.stream(key, "model", i)
        return model.apply(Variables(params, state), batch(i), train=True, key=noise)[1]

    def floating(of_leaf: Callable[..., jax.Array], first: PyTree, *rest: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x, *xs: of_leaf(x, *xs) if jnp.issubdtype(x.dtype, jnp.floating) else x, first, *rest
        )

    zero, far = (floating(lambda x, value=value: jnp.full_like(x, value), state) for value in (0.0, FAR))
    good = lax.while_loop(lambda i: (i < count - 1) & ~is_finite(after(zero, i)), lambda i: i + 1, jnp.int32(0))
    kept = floating(lambda a, b: (b - a) / FAR, after(zero, good), after(far, good))
    is_mean = floating(lambda m: (m >= 0) & (m < 1), kept)
    start = floating(lambda x, mean: jnp.where(mean, 0, x), state, is_mean)

    def add(i, sums):
        total, counted = sums
        new = after(start, i)
        finite = is_finite(new)
        return floating(lambda total, x: total + jnp.where(finite, x, 0), total, new), counted + finite

    total, counted = lax.fori_loop(0, count, add, (floating(jnp.zeros_like, state), jnp.zeros(())))
    means = floating(lambda total, m: total / counted / (1 - m), total, kept)
    return floating(lambda x, mean, known: jnp.where(known, mean, x), state, means, is_mean)
