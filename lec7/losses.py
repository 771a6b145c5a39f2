"""Losses: from a model's outputs and a batch to named values, one for each example.

A loss gives a dict of arrays of shape [n]; the one called `"loss"` is minimized, the others are
told. Means are taken by whoever knows how many examples count: the step over its batch, an
evaluation over a whole data set.

A label that is no class is refused where it is known. In `jit`, where it can't be looked at, it makes the loss NaN.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lec7.errors import InputError, entry, short
from lec7.ranges import FRACTION, NOT_NEGATIVE, array, check, number
from lec7.typing import ArrayLike, Batch, Metrics, Scalar, is_traced

Loss = Callable[[jax.Array, Batch], Metrics]


def cross_entropy(logits: jax.Array, batch: Batch) -> Metrics:
    """Softmax cross-entropy in nats, and whether the largest logit is the label's.

    Source: CS231n, lecture 3, the softmax classifier.

    Args:
        logits: floats [n, classes].
        batch: with `"label"`, integers [n] in [0, classes); or floats [n, classes], how much of each class an example
            is, as label smoothing, mixup and cutmix make them. Accuracy is then that of the largest part.

    Returns:
        `{"loss": [n], "accuracy": [n]}`.

    Raises:
        InputError: labels are neither, or known and out of range.

    >>> import jax.numpy as jnp
    >>> out = cross_entropy(jnp.zeros((1, 10)), {"label": jnp.array([0])})
    >>> float(out["loss"][0]).__round__(4), float(out["accuracy"][0])
    (2.3026, 1.0)
    """
    logits, labels = array("logits", logits), _labels(batch)
    check_classes(labels, logits)
    return {"loss": _cross_entropy(logits, labels), "accuracy": _accuracy(logits, labels)}


def smoothed_cross_entropy(rate: Scalar) -> Loss:
    """Softmax cross-entropy with smoothed labels; `"nll"` is that with the labels as they are, for evaluation.

    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.

    Args:
        rate: epsilon, the part of a label that is spread over all classes, in [0, 1]; typically 0.1; may be traced.

    Returns:
        A loss of logits [n, classes] and of labels as `cross_entropy` has them, which gives `"loss"`, `"nll"` and
        `"accuracy"`, [n] each.

    Raises:
        InputError: `rate` is known and not in [0, 1]; or, when called, labels are neither of the two kinds.

    >>> import jax.numpy as jnp
    >>> out = smoothed_cross_entropy(0.1)(jnp.array([[3.0, 0.0]]), {"label": jnp.array([0])})
    >>> float(out["loss"][0]).__round__(4), float(out["nll"][0]).__round__(4)  # 0.05 * 3 more
    (0.1986, 0.0486)
    """
    check_smoothing(rate)

    def loss(logits: jax.Array, batch: Batch) -> Metrics:
        plain = cross_entropy(logits, batch)
        smooth = label_smoothing(_labels(batch), logits.shape[-1], rate).astype(plain["loss"].dtype)
        loss = _nan_of_none(_cross_entropy(logits, smooth), _labels(batch), logits.shape[-1])
        return {"loss": loss, "nll": plain["loss"], "accuracy": plain["accuracy"]}

    return loss


def label_smoothing(labels: jax.Array, classes: int, rate: Scalar) -> jax.Array:
    """Labels of which a part is spread over all classes alike: `(1 - rate) * one_hot(y) + rate / classes`.

    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.

    Args:
        labels: integers [n] in [0, classes), or floats [n, classes].
        classes: the number of classes.
        rate: epsilon, in [0, 1]; may be traced. With 0, labels stay what they are.

    Returns:
        Floats [n, classes], whose rows sum to what they did, 1.

    Raises:
        InputError: `rate` is known and not in [0, 1], or labels are neither, or known and out of range.

    >>> import jax.numpy as jnp
    >>> [round(float(part), 2) for part in label_smoothing(jnp.array([1]), 4, 0.2)[0]]
    [0.05, 0.85, 0.05, 0.05]
    """
    check_smoothing(rate)
    labels = array("labels", labels)
    if _are_integers(labels, 1):
        check_labels(labels, classes)
        labels = jax.nn.one_hot(labels, classes)
    elif not (jnp.issubdtype(labels.dtype, jnp.floating) and labels.ndim == 2 and labels.shape[1] == classes):
        raise InputError(
            f"labels are {labels.dtype} {list(labels.shape)}, expected integers [n], or floats [n, {classes}]"
        )
    # Optax's `smooth_labels`, written out so that a sweep's lanes round as single runs do: XLA rounds `rate / classes`
    # otherwise where it knows the rate, and, without the minimum, product and sum as one where it does not.
    spread = jnp.minimum(jnp.asarray(rate, float) * (1 / classes), 1.0)
    return ((1.0 - jnp.asarray(rate, float)) * labels + spread).astype(labels.dtype)


def sigmoid_cross_entropy(logits: jax.Array, batch: Batch) -> Metrics:
    """Cross-entropy of as many yes-or-no questions as there are logits, in nats: for examples with several labels.

    The loss is the sum over an example's questions, minus the logarithm of the chance of all answers; PyTorch's
    `BCEWithLogitsLoss` has their mean.

    Args:
        logits: floats [n, ...], of which the sigmoid is the chance of a yes.
        batch: with `"label"`, of the same shape: 0 or 1, booleans, or chances between.

    Returns:
        `{"loss": [n], "accuracy": [n]}`; the accuracy is the part of the answers that are right.

    Raises:
        InputError: labels have another shape.

    >>> import jax.numpy as jnp
    >>> out = sigmoid_cross_entropy(jnp.array([[0.0, 9.0]]), {"label": jnp.array([[1, 0]])})
    >>> float(out["loss"][0]).__round__(4), float(out["accuracy"][0])
    (9.6933, 0.0)
    """
    logits = array("logits", logits)
    labels = _answers(logits, _labels(batch))
    return {
        "loss": _summed(optax.sigmoid_binary_cross_entropy(logits, labels)),
        "accuracy": _right(logits, labels),
    }


def focal(gamma: Scalar = 2.0, alpha: Scalar | None = 0.25) -> Loss:
    """Focal loss: `-alpha_t * (1 - p_t)**gamma * log(p_t)`, summed over an example's questions.

    For rare classes: what is answered right with confidence counts little. With gamma 0 and no alpha it is
    `sigmoid_cross_entropy`. Each class is a question of its own, as in the paper, and not one answer of a softmax.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 5, where gamma is 2 and alpha 0.25.

    Args:
        gamma: how little sure answers count, at least 0; may be traced.
        alpha: weight of a yes, in [0, 1], that of a no being `1 - alpha`; None for 1 and 1; may be traced.

    Returns:
        A loss of logits [n, ...] and of `"label"`: of the same shape, 0 or 1; or, for logits [n, classes], integers [n]
        in [0, classes). It gives `"loss"` and `"accuracy"`, [n] each.

    Raises:
        InputError: a number is known and out of range; or, when called, labels have another shape.

    >>> import jax.numpy as jnp
    >>> out = focal(2.0, None)(jnp.zeros((1, 2)), {"label": jnp.array([0])})
    >>> float(out["loss"][0]).__round__(4)  # 2 * 0.25 * log(2)
    0.3466
    """
    gamma = number("gamma", gamma, NOT_NEGATIVE, "how little sure answers count, such as 2")
    if alpha is not None:
        alpha = number("alpha", alpha, FRACTION, "the weight of a yes")

    def loss(logits: jax.Array, batch: Batch) -> Metrics:
        logits, labels = array("logits", logits), _labels(batch)
        whole = _are_integers(labels, 1) and logits.ndim == 2
        if whole:
            check_classes(labels, logits)
        answers = _answers(logits, jax.nn.one_hot(labels, logits.shape[-1]) if whole else labels)
        terms = optax.sigmoid_focal_loss(logits, answers, alpha=alpha, gamma=gamma).astype(logits.dtype)
        if whole:
            loss = _nan_of_none(_summed(terms), labels, logits.shape[-1])
            return {"loss": loss, "accuracy": _accuracy(logits, labels)}
        return {"loss": _summed(terms), "accuracy": _right(logits, answers)}

    return loss


def hinge(scores: jax.Array, batch: Batch) -> Metrics:
    """The multi-class SVM's loss: `sum over j != y of max(0, s_j - s_y + 1)`.

    Optax's `multiclass_hinge_loss` has the largest term of the sum alone (Crammer and Singer, 2001).

    Source: CS231n, lecture 3, "Multiclass SVM loss"; Weston and Watkins, 1999.

    Args:
        scores: floats [n, classes].
        batch: with `"label"`, integers [n] in [0, classes).

    Returns:
        `{"loss": [n], "accuracy": [n]}`.

    Raises:
        InputError: labels are not integers [n], or known and out of range.

    >>> import jax.numpy as jnp
    >>> scores = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])  # lecture 3's cat, car and frog
    >>> [round(float(x), 1) for x in hinge(scores, {"label": jnp.array([0, 1, 2])})["loss"]]
    [2.9, 0.0, 12.9]
    """
    scores, labels = array("scores", scores), _labels(batch)
    check_classes(labels, scores, soft=False)
    right = jax.nn.one_hot(labels, scores.shape[-1], dtype=scores.dtype)
    margins = scores - jnp.sum(right * scores, axis=-1, keepdims=True) + 1
    loss = jnp.sum((1 - right) * jax.nn.relu(margins), axis=-1)
    return {"loss": _nan_of_none(loss, labels, scores.shape[-1]), "accuracy": _accuracy(scores, labels)}


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Of labels that are classes or parts of each."""
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return _nan_of_none(_softmax_cross_entropy(logits, labels), labels, logits.shape[-1])
    return optax.softmax_cross_entropy(logits, labels.astype(logits.dtype))


@jax.custom_jvp
def _softmax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Optax's, with its derivative written out: the softmax less the one-hot label.

    Left to itself, XLA fuses the scatter that differentiation makes, and rounds it otherwise in a program of
    many runs than in that of one; so a sweep's lanes would not be the single runs, bit for bit. For the same reason
    the softmax is no quotient: with the exponential last, no product is left that a sum after it may swallow.
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@_softmax_cross_entropy.defjvp
def _(primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    logits, labels = primals
    error = jnp.exp(jax.nn.log_softmax(logits)) - jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return _softmax_cross_entropy(logits, labels), jnp.sum(error * tangents[0], axis=-1)


def squared_error(outputs: jax.Array, batch: Batch) -> Metrics:
    """Half the squared distance between outputs and `batch["target"]`.

    Args:
        outputs: floats [n, ...].
        batch: with `"target"`, floats of the same shape.

    Returns:
        `"loss"` [n]: the sum over an example's axes.

    Raises:
        InputError: they have other shapes; [n] and [n, 1] are not the same.

    >>> import jax.numpy as jnp
    >>> squared_error(jnp.array([[1.0, 3.0]]), {"target": jnp.array([[1.0, 1.0]])})["loss"].tolist()
    [2.0]
    """
    outputs, target = array("outputs", outputs), array("target", entry(batch, "target"))
    if outputs.shape != target.shape or not outputs.ndim:
        raise InputError(
            f"the targets are {short(target)}, the outputs {short(outputs)}, expected the same shape [n, ...]; "
            "make [n, 1] of [n] by x[:, None]"
        )
    error = (outputs - target).reshape(len(outputs), -1)
    return {"loss": 0.5 * jnp.sum(error**2, axis=1)}


def check_classes(labels: jax.Array, logits: jax.Array, soft: bool = True) -> None:
    """Refuses labels that are neither a class nor, where these can be used, a part of each class for an example.

    Raises:
        InputError: as the message says.

    >>> import jax.numpy as jnp
    >>> check_classes(jnp.zeros(8), jnp.zeros((8, 10)))
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: labels are float32 [8] for logits [8, 10], expected integers [8], or floats [8, 10] ...
    """
    n, classes = list(logits.shape[:-1]), list(logits.shape)
    hard = jnp.issubdtype(labels.dtype, jnp.integer) and list(labels.shape) == n
    parts = jnp.issubdtype(labels.dtype, jnp.floating) and list(labels.shape) == classes
    if not (hard or (soft and parts)):
        also = f", or floats {classes} with a part of each class" if soft else ""
        raise InputError(
            f"labels are {labels.dtype} {list(labels.shape)} for logits {classes}, expected integers {n}{also}"
        )
    if hard:
        check_labels(labels, logits.shape[-1])


def check_labels(labels: ArrayLike, classes: int) -> None:
    """Refuses labels that are known and outside of [0, classes).

    >>> check_labels(np.array([0, 9, 10]), classes=10)
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: labels go from 0 to 10, expected 0 to 9 for 10 classes; the first bad one is row 2
    """
    if is_traced(labels):
        return
    labels = np.asarray(labels)
    bad = np.argwhere((labels < 0) | (labels >= classes))
    if len(bad):
        raise InputError(
            f"labels go from {labels.min()} to {labels.max()}, expected 0 to {classes - 1} for {classes} classes; "
            f"the first bad one is row {bad[0, 0]}"
        )


def check_smoothing(rate: Scalar) -> None:
    """Refuses a part of a label that is known and not in [0, 1]."""
    check("rate", rate, FRACTION, "the part of a label that is spread over all classes")


def _labels(batch: Batch) -> jax.Array:
    return array("labels", entry(batch, "label"))


def _nan_of_none(values: jax.Array, labels: jax.Array, classes: int) -> jax.Array:
    """Values for each example, and NaN where the label, if it is a whole number, is no class.

    A sum, which leaves the gradient's program as it is: with a choice in it, a sweep's lanes would round otherwise.
    """
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        return values
    return values + jnp.where((labels >= 0) & (labels < classes), 0, jnp.nan).astype(values.dtype)


def _are_integers(labels: jax.Array, axes: int) -> bool:
    return jnp.issubdtype(labels.dtype, jnp.integer) and labels.ndim == axes


def _accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the largest logit is the label's, or that of the label's largest part."""
    wanted = labels if jnp.issubdtype(labels.dtype, jnp.integer) else jnp.argmax(labels, -1)
    return (jnp.argmax(logits, -1) == wanted).astype(logits.dtype)


def _answers(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Labels of yes-or-no questions in the logits' dtype; refuses those of another shape."""
    if labels.shape != logits.shape:
        raise InputError(
            f"labels are {labels.dtype} {list(labels.shape)}, expected the shape of the logits, {list(logits.shape)}: "
            "0 or 1 for each"
        )
    return labels.astype(logits.dtype)


def _right(logits: jax.Array, answers: jax.Array) -> jax.Array:
    """The part of the answers that are right, for each example."""
    same = ((logits > 0) == (answers > 0.5)).astype(logits.dtype)
    return jnp.mean(same.reshape(len(logits), -1), axis=1)


def _summed(terms: jax.Array) -> jax.Array:
    """The sum of each example's terms."""
    return jnp.sum(terms.reshape(len(terms), -1), axis=1)


__all__ = [
    "cross_entropy",
    "focal",
    "hinge",
    "label_smoothing",
    "sigmoid_cross_entropy",
    "smoothed_cross_entropy",
    "squared_error",
]
