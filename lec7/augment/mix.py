"""Mixtures of the examples of a batch, labels included."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lec7 import random
from lec7.augment.pipeline import Pipeline
from lec7.augment.targets import TARGETS
from lec7.errors import InputError, entry, short
from lec7.ranges import POSITIVE, check
from lec7.typing import Batch, Key, Scalar

Mix = Callable[[Key, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""From a key, images [n, height, width, channels] and labels [n, classes] to others of the same shapes."""


def mixup(alpha: Scalar = 0.2) -> Mix:
    """Each image blended with another of the batch, and its label in the same proportion.

        x = lam x_i + (1 - lam) x_j,   y = lam y_i + (1 - lam) y_j,   lam ~ Beta(alpha, alpha)

    Each example has a `lam` and a partner of its own; the partners are the batch in another order.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Args:
        alpha: 0 would be no mixture, and 1 any with the same chance; may be traced.

    Returns:
        A function of a key, images (bytes or floats; the dtype stays), and labels, floats [n, classes].

    Raises:
        InputError: `alpha` is known and not more than 0; when used, labels that are no floats [n, classes].

    >>> import jax, jax.numpy as jnp
    >>> images, labels = jnp.zeros((4, 2, 2, 1)), jax.nn.one_hot(jnp.arange(4), 10)
    >>> mixed, soft = mixup(0.2)(jax.random.key(0), images, labels)
    >>> mixed.shape, soft.sum(1).round(3).tolist()
    ((4, 2, 2, 1), [1.0, 1.0, 1.0, 1.0])
    """
    check("alpha", alpha, POSITIVE, "how even the mixtures are")

    def mix(key: Key, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        _check_labels(images, labels)
        lam, partner = _drawn(key, alpha, len(images))
        share = lam.reshape(-1, 1, 1, 1)
        mixed = share * images + (1 - share) * images[partner]
        if images.dtype == jnp.uint8:
            mixed = jnp.round(mixed)
        return mixed.astype(images.dtype), _blended(labels, labels[partner], lam)

    return mix


def cutmix(alpha: Scalar = 1.0) -> Mix:
    """A rectangle of each image from another of the batch, and its label in proportion to the pixels.

    The rectangle has the image's shape and a part `1 - lam` of its area, `lam ~ Beta(alpha, alpha)`; its centre is
    anywhere, and what lies beyond the image is cut off. Each example has a rectangle and a partner of its own.

    Source: Yun et al., "CutMix", 2019.

    Args:
        alpha: of the Beta distribution; may be traced.

    Returns:
        A function as that of `mixup`.

    Raises:
        InputError: as of `mixup`.

    >>> import jax, jax.numpy as jnp
    >>> images, labels = jnp.arange(2.0).reshape(2, 1, 1, 1) * jnp.ones((2, 8, 8, 1)), jnp.eye(2)
    >>> mixed, soft = cutmix()(jax.random.key(0), images, labels)
    >>> bool(jnp.allclose(mixed.mean((1, 2, 3)), soft[:, 1]))
    True
    """
    check("alpha", alpha, POSITIVE, "how large the rectangles are")

    def mix(key: Key, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        _check_labels(images, labels)
        n, height, width, _ = images.shape
        lam, partner = _drawn(key, alpha, n)
        side = jnp.sqrt(1 - lam)

        def span(name: str, size: int) -> jax.Array:
            middle = jnp.floor(jax.random.uniform(random.stream(key, name), (n,)) * size)
            half = jnp.floor(side * size) / 2
            start, end = jnp.floor(middle - half), jnp.floor(middle + half)
            places = jnp.arange(size)[None, :]
            return (places >= start[:, None]) & (places < end[:, None])

        inside = span("row", height)[:, :, None] & span("column", width)[:, None, :]
        kept = 1 - inside.mean((1, 2), dtype=jnp.float32)
        return jnp.where(inside[..., None], images[partner], images), _blended(labels, labels[partner], kept)

    return mix


def on_batch(
    pipeline: Pipeline | None, mix: Mix | None = None, classes: int | None = None
) -> Callable[[Key, Batch], Batch]:
    """What `Experiment(augment=...)` and `train.make_step(augment=...)` take: a pipeline for `batch["image"]`.

    Args:
        pipeline: done to each image with a key of its own, and to what the batch has of `"mask"`, `"boxes"` and
            `"keypoints"`; `None` for a mixture alone.
        mix: `mixup` or `cutmix`, done to the batch afterwards; labels become floats [n, classes].
        classes: how many there are, for labels that are integers.

    Raises:
        InputError: no pipeline; when used, a batch without images, a mixture without labels, or of integers without
            `classes`.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> batch = {"image": jnp.zeros((4, 8, 8, 1)), "label": jnp.arange(4)}
    >>> new = on_batch(augment.pipeline(augment.mirror()), mixup(), classes=10)(jax.random.key(0), batch)
    >>> new["image"].shape, new["label"].shape
    ((4, 8, 8, 1), (4, 10))
    """
    if pipeline is not None and not isinstance(pipeline, Pipeline):
        raise InputError(
            f"{short(pipeline)} is no pipeline; expected augment.pipeline(...), or None ahead of a mixture alone: "
            "on_batch(None, mixup(0.2))"
        )

    def augmented(key: Key, batch: Batch) -> Batch:
        new = dict(batch)
        images = entry(batch, "image")
        if pipeline is not None:
            keys = jax.random.split(random.stream(key, "pipeline"), len(images))
            targets = {name: batch[name] for name in TARGETS if name in batch}
            new["image"], followed = pipeline(keys, images, targets)
            new |= followed
        if mix is not None:
            labels = jnp.asarray(entry(batch, "label", "a mixture is one of labels, too"))
            if labels.ndim == 1:
                if classes is None:
                    raise InputError(
                        "labels that are integers can't be mixed; say how many classes there are: classes=10"
                    )
                labels = jax.nn.one_hot(labels, classes)
            new["image"], new["label"] = mix(random.stream(key, "mix"), new["image"], labels)
        return new

    return augmented


def _drawn(key: Key, alpha: Scalar, n: int) -> tuple[jax.Array, jax.Array]:
    """How much of each example is left, and which one is mixed with it."""
    lam = jax.random.beta(random.stream(key, "lam"), alpha, alpha, (n,))
    return lam, jax.random.permutation(random.stream(key, "partner"), n)


def _blended(labels: jax.Array, others: jax.Array, lam: jax.Array) -> jax.Array:
    return lam[:, None] * labels + (1 - lam[:, None]) * others


def _check_labels(images: jax.Array, labels: jax.Array) -> None:
    if labels.ndim != 2 or len(labels) != len(images) or not jnp.issubdtype(labels.dtype, jnp.floating):
        raise InputError(
            f"the labels are {labels.dtype}{list(labels.shape)} of {len(images)} images, expected floats [n, classes]: "
            "jax.nn.one_hot(labels, classes)"
        )
