"""Batch statistics of parameters that no training step has had, such as averaged ones."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import random
from lec7.errors import InputError
from lec7.models.contract import Model, Variables
from lec7.optim.finite import is_finite
from lec7.typing import Key, PyTree, wide

Arrays = list[jax.Array]

FAR = 2.0**20
"""How far a running mean is moved, to see how much of that a step keeps: beyond all that batches give."""

LEAST, MOST = 1e-3, 1 - 2.0**-18
"""What a running mean keeps is between these, or 0. What seems to keep less is bounded; what keeps more is a sum."""

CLOSE = 1e-3
"""By how much, as a part of itself, what is near a line may be off it."""


def has_statistics(state: PyTree) -> bool:
    """Whether a model's state has floating arrays, which may be running means.

    Args:
        state: of a model, `variables.state`.

    >>> has_statistics({"mean": jnp.zeros(3)}), has_statistics({})
    (True, False)
    """
    return any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(state))


def refresh_statistics(model: Model, variables: Variables, batches: PyTree, *, key: Key | None = None) -> PyTree:
    """The model's state with its running means recomputed for these parameters: the plain mean over batches.

    Batch norm's running means belong to the parameters that training went through. An average of parameters is none
    of those, and may be far off with theirs. A running mean is whatever a call in training changes by

        s = m * s + (1 - m) * (statistics of the batch)

    with a constant m in [0, 1), read off the model by calls on the same batch from several states, whichever library
    wrote it. State of any other kind stays as it is: counters, constants, the directions of spectral normalisation.
    A batch that makes NaN or infinities of a running mean does not count for it; where all do, it stays as it is too.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3.2;
    the means weigh all batches alike, as those of PyTorch's `update_bn`.

    Args:
        model: called in training.
        variables: the parameters, and the model's state as it is.
        batches: what the model sees: arrays [batches, batch, ...], as many of both as memory allows.
        key: for the noise that the model has in training, where it has any.

    Returns:
        State shaped as that of `variables`. A pure function, to be jitted and mapped.

    Raises:
        InputError: there is no batch, or the arrays of `batches` differ in how many there are.

    >>> import lec7, numpy as np
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(2, (3,), 2, rngs=rngs))
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 2)))
    >>> x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 100, 2)), jnp.float32)
    >>> refreshed = refresh_statistics(model, variables, x, key=jax.random.key(1))
    >>> hidden = x @ variables.params["linears"]["0"]["kernel"]
    >>> bool(jnp.allclose(refreshed["norms"]["0"]["mean"], hidden.mean((0, 1)), atol=1e-5))
    True
    """
    shapes = [jnp.shape(x) for x in jax.tree.leaves(batches)]
    wanted = f"batches have shapes {shapes}, expected [batches, batch, ...] of one number of batches, at least 1"
    if not all(len(shape) > 1 and shape[0] for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
        raise InputError(wanted)

    def batch(i: int | jax.Array) -> PyTree:
        return jax.tree.map(lambda x: x[i], batches)

    try:
        jax.eval_shape(lambda: model.apply(variables, batch(0), train=True, key=key))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{wanted}; the model could not be called on one of them: {error}") from error
    return refreshed(model, variables, batch, shapes[0][0], key)


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
    leaves: Arrays = jax.tree.leaves(state)
    structure = jax.tree.structure(state)

    def step(leaves: Arrays, i: jax.Array) -> Arrays:
        noise = None if key is None else random.stream(key, "model", i)
        own = Variables(params, jax.tree.unflatten(structure, leaves))
        return jax.tree.leaves(model.apply(own, batch(i), train=True, key=noise)[1])

    places = _changing(lambda leaves: step(leaves, jnp.int32(0)), leaves)
    if not places:
        return state

    def after(own: Arrays, i: jax.Array) -> Arrays:
        """What a step makes of the leaves that training changes."""
        known = dict(zip(places, own, strict=True))
        new = step([known.get(place, x) for place, x in enumerate(leaves)], i)
        return [new[place].astype(x.dtype) for place, x in known.items()]

    wanted = [leaves[place].astype(wide(leaves[place].dtype)) for place in places]
    own = [jnp.where(jnp.isfinite(x), x, 0) for x in wanted]
    good = lax.while_loop(lambda i: (i < count - 1) & ~is_finite(after(own, i)), lambda i: i + 1, jnp.int32(0))
    kept, is_mean, start = _running_means(lambda own: after(own, good), own)

    def add(i: jax.Array, sums: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
        new = after(start, i)
        finite = [jnp.all(jnp.isfinite(x)) for x in new]
        totals, counts = sums
        return (
            [total + jnp.where(whole, x, 0) for total, whole, x in zip(totals, finite, new, strict=True)],
            [counted + whole for counted, whole in zip(counts, finite, strict=True)],
        )

    zeros = [jnp.zeros_like(x) for x in own], [jnp.zeros(()) for _ in own]
    totals, counts = lax.fori_loop(0, count, add, zeros)
    for place, m, known, total, counted in zip(places, kept, is_mean, totals, counts, strict=True):
        mean = (total / jnp.maximum(counted, 1) / (1 - m)).astype(leaves[place].dtype)
        leaves[place] = jnp.where(known & (counted > 0), mean, leaves[place])
    return jax.tree.unflatten(structure, leaves)


def _running_means(after: Callable[[Arrays], Arrays], own: Arrays) -> tuple[Arrays, Arrays, Arrays]:
    """For each leaf what a step keeps of it, whether it is a running mean, and where it is to begin.

    It is one if the step is linear in it: near the state, at 0, and far off, all leaves moved at once. The far point
    alone would take what is bounded, such as a direction of length 1, for a mean that keeps nothing.

    Args:
        after: from the leaves to what one step on some batch makes of them.
        own: the leaves, finite.
    """
    here, far = zip(*lax.map(after, [jnp.stack([x, x + FAR]) for x in own]), strict=True)
    kept = [(b - a) / ((x + FAR) - x) for x, a, b in zip(own, here, far, strict=True)]
    # What hangs on no leaf at all is replaced by each batch's. It need not begin at 0, where it might divide.
    replaced = [jnp.all(a == b) for a, b in zip(here, far, strict=True)]
    decays = [jnp.all((m > LEAST) & (m < MOST)) for m in kept]
    start = [jnp.where(mean, 0, x) for mean, x in zip(decays, own, strict=True)]
    linear = [
        jnp.all(jnp.abs(a - m * x - zero) <= CLOSE * (jnp.abs(a) + jnp.abs(m * x)))
        for x, m, a, zero in zip(own, kept, here, after(start), strict=True)
    ]
    return kept, [(d & fits) | new for d, fits, new in zip(decays, linear, replaced, strict=True)], start


def _changing(step: Callable[[Arrays], Arrays], leaves: Arrays) -> list[int]:
    """Which floating leaves a step does not hand on as they are, as its program tells."""
    program = jax.make_jaxpr(step)(leaves).jaxpr
    return [
        place
        for place, (old, new) in enumerate(zip(program.invars, program.outvars, strict=True))
        if new is not old and jnp.issubdtype(leaves[place].dtype, jnp.floating)
    ]
