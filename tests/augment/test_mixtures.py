"""Mixtures of a batch's examples: what is mixed, in which proportion, and with draws of whose own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lec7 import augment
from lec7.errors import InputError

N = 2000
SPREAD = jnp.arange(N, dtype=jnp.float32).reshape(N, 1, 1, 1) * jnp.ones((1, 2, 2, 1))
"""Images that show which example they are."""


def test_mixup_blends_images_and_labels_of_two_examples_alike(key):
    labels = jax.nn.one_hot(jnp.arange(N), N)
    images, soft = jax.jit(augment.mixup(1.0))(key, SPREAD, labels)
    np.testing.assert_allclose(images[:, 0, 0, 0], np.asarray(soft) @ np.arange(N), rtol=1e-4, atol=0.1)
    own = np.asarray(soft)[np.arange(N), np.arange(N)]
    assert np.all((np.asarray(soft) > 0).sum(1) <= 2)
    # But for those that are their own partners.
    assert stats.kstest(own[own < 1], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 2.0])
def test_mixup_s_proportions_are_those_of_the_beta_distribution(alpha, key):
    _, soft = augment.mixup(alpha)(key, SPREAD, jax.nn.one_hot(jnp.arange(N), N))
    own = np.diag(np.asarray(soft))
    assert stats.kstest(own[own < 1], stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_cutmix_takes_a_rectangle_and_labels_go_by_its_pixels(key):
    n, size = 200, 16
    images = jnp.arange(n, dtype=jnp.float32).reshape(n, 1, 1, 1) * jnp.ones((1, size, size, 3))
    mixed, soft = jax.jit(augment.cutmix(1.0))(key, images, jax.nn.one_hot(jnp.arange(n), n))
    shares = []
    for i, (image, label) in enumerate(zip(np.asarray(mixed), np.asarray(soft), strict=True)):
        other = image[..., 0] != i
        rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
        if len(rows):
            assert other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert len(np.unique(image[other])) == 1
        assert label[i] == pytest.approx(1 - other.mean(), abs=1e-6)
        assert label.sum() == pytest.approx(1)
        shares.append(other.mean())
    assert len(np.unique(shares)) > 20


def test_cutmix_s_rectangles_are_of_the_sizes_and_at_the_places_of_the_paper(key):
    """Its own words in NumPy: rows from floor(y - h / 2) to floor(y + h / 2), cut off at the image's edges."""
    height, width, rng = 12, 20, np.random.default_rng(0)
    images = jnp.arange(N, dtype=jnp.float32).reshape(N, 1, 1, 1) * jnp.ones((1, height, width, 1))
    mixed, _ = jax.jit(augment.cutmix(1.0))(key, images, jnp.ones((N, 1)))
    other = np.asarray(mixed)[..., 0] != np.arange(N)[:, None, None]
    side, theirs = np.sqrt(1 - rng.uniform(size=4 * N)), []
    for size in (height, width):
        middle, half = rng.integers(0, size, 4 * N), np.floor(side * size) / 2
        theirs.append(np.diff([np.clip(np.floor(middle + at), 0, size) for at in (-half, half)], axis=0)[0])
    for axis, lengths in zip((2, 1), theirs, strict=True):  # rows that have a pixel of the other, then columns
        ours = other.any(axis).sum(1)
        assert stats.ks_2samp(ours[ours > 0], lengths[np.min(theirs, axis=0) > 0]).pvalue > 1e-3


def test_bytes_stay_bytes_and_any_batch_goes(key):
    for n in (1, 3):
        images = jnp.full((n, 4, 4, 3), 255, jnp.uint8)
        for mix in (augment.mixup(), augment.cutmix()):
            mixed, _ = mix(key, images, jnp.ones((n, 1)))
            assert mixed.dtype == jnp.uint8
            np.testing.assert_array_equal(mixed, images)


def test_on_a_batch_each_example_is_augmented_with_a_key_of_its_own(key):
    images = jnp.broadcast_to(jnp.arange(64.0).reshape(1, 8, 8, 1), (6, 8, 8, 1))
    crop = augment.on_batch(augment.pipeline(augment.random_crop(4)))
    new = crop(key, {"image": images, "label": jnp.arange(6), "weight": jnp.ones(6)})
    assert len({float(image[0, 0, 0]) for image in new["image"]}) > 2
    assert set(new) == {"image", "label", "weight"}
    np.testing.assert_array_equal(new["label"], jnp.arange(6))


def test_masks_and_boxes_of_a_batch_follow_its_images(key):
    mask = jnp.zeros((2, 4, 4), jnp.int32).at[:, :, 0].set(1)
    batch = {"image": mask[..., None].astype(jnp.float32), "mask": mask, "boxes": jnp.array([[[0, 0, 1, 4]]] * 2)}
    new = augment.on_batch(augment.pipeline(augment.mirror(1.0)))(key, batch)
    np.testing.assert_array_equal(new["mask"], mask[:, :, ::-1])
    np.testing.assert_array_equal(new["image"][..., 0], new["mask"])
    assert new["boxes"].tolist() == [[[3, 0, 4, 4]]] * 2


def test_a_traced_alpha_draws_what_a_known_one_draws(key):
    labels = jnp.eye(4)
    lanes = jax.jit(jax.vmap(lambda alpha: augment.mixup(alpha)(key, SPREAD[:4], labels)[1]))(jnp.array([0.5, 1.0]))
    for lane, alpha in zip(lanes, (0.5, 1.0), strict=True):
        np.testing.assert_allclose(lane, augment.mixup(alpha)(key, SPREAD[:4], labels)[1], atol=1e-6)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda key: augment.on_batch(augment.mixup()), "is no pipeline; expected"),
        (lambda key: augment.normalize((125.0,), (63.0,)), "divide mean and std by 255"),
        (lambda key: augment.translate(3.0), "and not in pixels"),
        (lambda key: augment.mixup(0.0), "alpha is 0.0, expected a finite number more than 0"),
        (lambda key: augment.cutmix(-1.0), "alpha is -1.0"),
        (lambda key: augment.mixup()(key, SPREAD[:3], jnp.arange(3)), "one_hot"),
        (lambda key: augment.mixup()(key, SPREAD[:3], jnp.eye(4)), "of 3 images, expected floats"),
        (
            lambda key: augment.on_batch(None, augment.mixup())(key, {"image": SPREAD[:2], "label": jnp.arange(2)}),
            "classes=10",
        ),
    ],
)
def test_what_can_not_be_mixed_is_refused(attempt, words, key):
    with pytest.raises(InputError, match=words):
        attempt(key)
