"""Losses: from a model's outputs and a batch to named values, one for each example.

A loss gives a dict of arrays of shape [n]; the one called `"loss"` is minimised, the others are
told. Means are taken by whoever knows how many examples count: the step over its batch, an
evaluation over a whole data set.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from lec7.typing import Batch, Metrics

Loss = Callable[[jax.Array, Batch], Metrics]


def cross_entropy(logits: jax.Array, batch: Batch) -> Metrics:
    """Softmax cross-entropy in nats, and whether the largest logit is the label's.

    Args:
        logits: floats [n, classes].
        batch: with `"label"`, integers [n] in [0, classes).

    Returns:
        `{"loss": [n], "accuracy": [n]}`.

    >>> import jax.numpy as jnp
    >>> out = cross_entropy(jnp.zeros((1, 10)), {"label": jnp.array([0])})
    >>> float(out["loss"][0]).__round__(4), float(out["accuracy"][0])
    (2.3026, 1.0)
    """
    labels = batch["label"]
    return {
        "loss": _softmax_cross_entropy(logits, labels),
        "accuracy": (jnp.argmax(logits, -1) == labels).astype(logits.dtype),
    }


@jax.custom_jvp
def _softmax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Optax's, with its derivative written out: the softmax less the one-hot label.

    Left to itself, XLA fuses the scatter that differentiation makes, and rounds it otherwise in a program of
    many runs than in that of one; so a sweep's lanes would not be the single runs, bit for bit. For the same reason
    the softmax is no quotient: with the exponential last, no product is left that a sum after it may swallow.
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@_softmax_cross_entropy.defjvp
def _(primals, tangents):
    logits, labels = primals
    error = jnp.exp(jax.nn.log_softmax(logits)) - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return _softmax_cross_entropy(logits, labels), jnp.sum(error * tangents[0], axis=-1)


def squared_error(outputs: jax.Array, batch: Batch) -> Metrics:
    """Half the squared distance between outputs and `batch["target"]`, both [n, ...].

    >>> import jax.numpy as jnp
    >>> squared_error(jnp.array([[1.0, 3.0]]), {"target": jnp.array([[1.0, 1.0]])})["loss"].tolist()
    [2.0]
    """
    error = (outputs - batch["target"]).reshape(len(outputs), -1)
    return {"loss": 0.5 * jnp.sum(error**2, axis=1)}
