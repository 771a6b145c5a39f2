"""What several models say together."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from lec7.errors import InputError, nearest
from lec7.typing import PyTree, wide

How = Literal["probabilities", "logits", "vote", "outputs"]
"""What is averaged of several answers."""


def together(outputs: PyTree, how: How = "probabilities", weights: jax.Array | None = None) -> PyTree:
    """The outputs of an ensemble from those of its members.

        probabilities    log of the mean of softmax(logits): the lecture's "average their results"
        logits           log of softmax(mean of the logits): the geometric mean of the probabilities
        vote             log of each class's part of the votes; -inf where there is none
        outputs          the mean of the outputs, for models that are no classifiers

    The first three are logits again, and `softmax` of them are the ensemble's probabilities: a loss takes them as it
    takes those of a single model.

    Source: lecture 7, "Model Ensembles".

    Args:
        outputs: floats [members, n, ...]; the last axis is over classes but for `"outputs"`, which may be a pytree of
            such arrays, and is averaged leaf by leaf.
        how: one of the above.
        weights: how much each member counts, [members], not negative and not all 0; by default all alike.

    Returns:
        Floats [n, ...], float32 or wider: so they are averaged, whatever the members are computed in.

    Raises:
        InputError: there is no such way, or it is none for these outputs.

    >>> logits = jnp.log(jnp.array([[[0.5, 0.5]], [[0.9, 0.1]]]))
    >>> [round(float(p), 2) for p in jnp.exp(together(logits))[0]]
    [0.7, 0.3]
    >>> [round(float(p), 2) for p in jnp.exp(together(logits, "logits"))[0]]
    [0.75, 0.25]
    """
    check_how(how)
    if how == "outputs":
        return jax.tree.map(lambda leaf: _mean(*_weighed(leaf, weights)), outputs)
    if not hasattr(outputs, "ndim"):
        raise InputError(
            f"the model's outputs are a {type(outputs).__name__}, expected one array of logits for {how!r}; "
            "say how='outputs' for the mean of each array, or give a model whose outputs are the logits"
        )
    outputs, w = _weighed(outputs, weights)
    if how == "probabilities":
        # A member that does not count may hold anything.
        return jax.nn.logsumexp(jnp.where(w > 0, jax.nn.log_softmax(outputs) + jnp.log(w), -jnp.inf), axis=0)
    if how == "vote":
        outputs = jax.nn.one_hot(jnp.argmax(outputs, axis=-1), outputs.shape[-1], dtype=outputs.dtype)
    mean = _mean(outputs, w)
    return jax.nn.log_softmax(mean) if how == "logits" else jnp.log(mean)


def check_how(how: str) -> None:
    """Refuses a way that there is not."""
    if how not in get_args(How):
        raise InputError(
            f"how is {how!r}{nearest(str(how), get_args(How))}, expected one of {', '.join(map(repr, get_args(How)))}"
        )


def _weighed(outputs: jax.Array, weights: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Outputs in float32 or wider, and weights [members, 1, ...] whose sum is 1."""
    outputs = outputs.astype(wide(outputs.dtype))
    w = jnp.ones(len(outputs)) if weights is None else jnp.asarray(weights, float)
    return outputs, (w / jnp.sum(w)).astype(outputs.dtype).reshape(-1, *[1] * (outputs.ndim - 1))


def _mean(outputs: jax.Array, w: jax.Array) -> jax.Array:
    """The mean over members, of which one that does not count may hold anything."""
    return jnp.sum(jnp.where(w > 0, w * outputs, 0), axis=0)
