"""How good probabilities are, and how much members differ."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lec7 import data
from lec7.errors import InputError, entry
from lec7.losses import check_labels
from lec7.models import How, Model, together
from lec7.train import image
from lec7.train.evaluate import make_evaluate_members
from lec7.typing import ArrayLike, Batch, Device, Metrics, wide

BINS = 15
SCORES = ("nll", "brier", "ece", "disagreement")
"""Figures beside the accuracy."""


def scores(probabilities: jax.Array, labels: ArrayLike) -> Metrics:
    """How good probabilities are, in four figures.

        accuracy    part of the examples whose most probable class is theirs
        nll         -log p of their class, in nats
        brier       sum over classes of (p - [it is theirs])**2, from 0 to 2
        ece         expected calibration error: by how much the probability of the most probable class is off from the
                    part that is right, in bins of that probability, weighed by their examples

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3, with 15 bins of equal width;
    Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.

    Args:
        probabilities: floats [n, classes] that sum to 1.
        labels: integers [n] in [0, classes).

    Returns:
        Means over the examples, arrays of shape ().

    Raises:
        InputError: probabilities and labels are not shaped so, or a label is known and out of range.

    >>> got = scores(jnp.array([[0.8, 0.2], [0.6, 0.4]]), jnp.array([0, 1]))
    >>> {name: round(float(value), 3) for name, value in got.items()}
    {'accuracy': 0.5, 'brier': 0.4, 'nll': 0.57, 'ece': 0.4}
    """
    p, labels = _wide(probabilities), jnp.asarray(labels)
    if p.ndim != 2 or labels.shape != p.shape[:1] or not len(p) or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(
            f"probabilities have shape {p.shape} and labels are {labels.dtype}{list(labels.shape)}, expected "
            "probabilities [n, classes] and n integer labels, at least one"
        )
    check_labels(labels, p.shape[1])
    return _finished(jax.tree.map(lambda row: jnp.mean(row, axis=0), _rows(jnp.log(p), labels)))


def make_scores(
    model: Model,
    how: How = "probabilities",
    inputs: Callable[[Batch], Any] = image,
    batch_size: int = 500,
    chunk: int | None = 1,
    devices: Sequence[Device] = (),
) -> Callable[[Any, data.Source], tuple[Metrics, Metrics]]:
    """The function that tells the `scores` of an ensemble, and of each member, on every example of a source once.

    Args:
        model: called in testing.
        how: how results of the members become one, see `models.together`.
        inputs: what the model sees of a batch.
        batch_size: examples at a time; has no influence on the result but by rounding.
        chunk: members side by side, see `train.lanes`.
        devices: what the members are dealt out to, see `train.lanes`.

    Returns:
        A pure function `(members, source) -> (joint, each)` of variables with a leading axis of members: arrays of
        shape () for all together, `"disagreement"` among them, and [members] for each. Disagreement is the chance
        that two different members, drawn at random, take an example for different classes.

    Raises:
        InputError: the function gets a source without labels.

    >>> from lec7.models import Variables
    >>> def apply(variables, x, *, train, key=None):
    ...     return x * variables.params, {}
    >>> model = Model(lambda key, inputs: Variables({}, {}), apply)
    >>> source = data.ArraySource({"image": jnp.eye(2), "label": jnp.array([0, 1])})
    >>> joint, each = jax.eval_shape(make_scores(model), Variables(jnp.array([1.0, -1.0]), {}), source)
    >>> joint["accuracy"].shape, each["accuracy"].shape
    ((), (2,))
    """
    means = make_evaluate_members(model, score_rows(how), inputs, batch_size, chunk, devices)
    return lambda members, source: finished(*means(members, source))


def score_rows(how: How = "probabilities") -> Callable[..., tuple[Metrics, Metrics]]:
    """What the scores are means of: rows for `train.make_evaluate_members`, whose means `finished` makes scores of.

    Of members that weigh p_i, and of which a part s_c of the weights says class c, two different ones disagree with
    probability `(1 - sum of s_c**2) / (1 - sum of p_i**2)`.
    """

    def rows(outputs: jax.Array, batch: Batch, weights: jax.Array | None = None) -> tuple[Metrics, Metrics]:
        outputs, labels = _wide(outputs), entry(batch, "label", "scores are of a class for each example")
        w = jnp.ones(len(outputs)) if weights is None else weights
        same, part = jnp.sum((w / jnp.sum(w)) ** 2), jnp.exp(together(outputs, "vote", weights))
        differ = (1 - jnp.sum(part**2, axis=-1)) / jnp.where(same < 1, 1 - same, 1)
        joint = _rows(together(outputs, how, weights), labels) | {"disagreement": differ}
        each = jax.vmap(lambda logits: _rows(jax.nn.log_softmax(logits), labels), out_axes=1)(outputs)
        return joint, each

    return rows


def finished(joint: Metrics, each: Metrics) -> tuple[Metrics, Metrics]:
    """The scores of all together and of each, from the means of `score_rows`."""
    return _finished(joint), jax.vmap(_finished)(each)


def _wide(outputs: jax.Array) -> jax.Array:
    """In float32 or wider: bfloat16 tells two probabilities near 1 apart by no less than 0.004."""
    outputs = jnp.asarray(outputs)
    return outputs.astype(wide(outputs.dtype))


def _rows(log_p: jax.Array, labels: jax.Array) -> Metrics:
    """Values for each example, from logs of probabilities [n, classes]."""
    p, right = jnp.exp(log_p), jax.nn.one_hot(labels, log_p.shape[-1], dtype=log_p.dtype)
    confidence = jnp.max(p, axis=-1)
    correct = (jnp.argmax(p, axis=-1) == labels).astype(p.dtype)
    bin = jnp.clip(jnp.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(jnp.int32)  # (b / BINS, (b + 1) / BINS]
    return {
        "accuracy": correct,
        "nll": -jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0],
        "brier": jnp.sum((p - right) ** 2, axis=-1),
        "gap": jax.nn.one_hot(bin, BINS, dtype=p.dtype) * (correct - confidence)[:, None],
    }


def _finished(means: Metrics) -> Metrics:
    """The scores of means over examples: in each bin, the gaps of its examples have cancelled each other."""
    rest = {name: value for name, value in means.items() if name != "gap"}
    return rest | {"ece": jnp.sum(jnp.abs(means["gap"]))}
