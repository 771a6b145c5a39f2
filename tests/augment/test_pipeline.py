"""A pipeline as a function: of each image alone, in any batch, under any transformation, at what number of look-ups."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import photograph

from lec7 import augment

MOST = 13
PIPELINES = {
    "by copy": augment.pipeline(augment.random_crop(20, pad=2), augment.mirror(), augment.normalize(0.5, 0.25)),
    "by look-up": augment.pipeline(augment.rotate(40), augment.translate(), augment.lens(), edge="reflect"),
    "in several passes": augment.pipeline(
        augment.mirror(),
        augment.rotate(20),
        augment.brightness(),
        augment.contrast(),
        augment.sometimes(augment.saturation(), 0.5),
        augment.sharpness(),
        augment.hue(),
        augment.sometimes(augment.equalize(), 0.3),
        augment.erase(),
    ),
    "in several passes by copy": augment.pipeline(augment.random_crop(20), augment.contrast(), augment.autocontrast()),
}


def keys(n=MOST):
    return jax.random.split(jax.random.key(1), MOST)[:n]


@cache
def one_by_one(name, dtype):
    one = jax.jit(PIPELINES[name])
    return np.stack([one(key, image) for key, image in zip(keys(), photograph(n=MOST, dtype=dtype), strict=True)])


def assert_alike(together, alone):
    together, alone = np.asarray(together), np.asarray(alone)
    assert together.dtype == alone.dtype
    assert together.shape == alone.shape
    if together.dtype == np.uint8:
        differences = np.abs(together.astype(int) - alone)
        assert differences.max() <= 1
        assert (differences > 0).mean() < 1e-3
    else:
        # XLA rounds coordinates in another way for one image than for many, and hue makes more of it.
        np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(
    ("dtype", "n"),
    [(np.uint8, 5), (np.uint8, 8), (np.float32, 8)]
    + [pytest.param(np.uint8, n, marks=pytest.mark.slow) for n in (1, 13)],
)
def test_an_image_of_a_batch_is_what_it_is_alone(name, dtype, n):
    images = photograph(n=MOST, dtype=dtype)[:n]
    assert_alike(jax.jit(PIPELINES[name])(keys(n), images), one_by_one(name, dtype)[:n])


@pytest.mark.parametrize("name", ["by look-up", "in several passes"])
def test_batches_of_batches(name):
    images = photograph(n=MOST)[:12].reshape(3, 4, *photograph().shape)
    new = jax.jit(jax.vmap(PIPELINES[name]))(keys(12).reshape(3, 4), images)
    assert_alike(new.reshape(12, *new.shape[2:]), one_by_one(name, np.uint8)[:12])


def test_without_jit_it_is_the_same():
    name = "in several passes by copy"
    assert_alike(PIPELINES[name](keys(2), photograph(n=MOST)[:2]), one_by_one(name, np.uint8)[:2])


def test_keys_of_their_own_and_equal_keys():
    images = np.repeat(photograph(dtype=np.float32)[None], 4, 0)
    turn = jax.jit(PIPELINES["by look-up"])
    same, own = turn(jnp.repeat(keys(1), 4), images), turn(keys(4), images)
    np.testing.assert_allclose(same, np.repeat(np.asarray(same)[:1], 4, 0), atol=1e-6)
    assert min(np.abs(own[i] - own[j]).max() for i in range(4) for j in range(i)) > 0.1


def test_a_pipeline_of_nothing_is_the_identity(key):
    images = photograph(n=3)
    np.testing.assert_array_equal(augment.pipeline()(jax.random.split(key, 3), images), images)


def test_gradients_by_image_and_by_magnitude(key):
    images = photograph(n=2, dtype=np.float32)

    def total(images, degrees, factor, chance):
        row = augment.pipeline(
            augment.rotate((0.0, degrees)),
            augment.lens((0.0, 0.1)),
            augment.sometimes(augment.brightness((0.5, factor)), chance),
            augment.contrast((0.5, factor)),
            augment.hue(),
            augment.equalize() if chance is None else augment.autocontrast(),
            augment.normalize(0.5, 0.25),
            edge="reflect",
        )
        return (row(jax.random.split(key, 2), images) ** 2).mean()

    value, gradients = jax.jit(jax.value_and_grad(total, (0, 1, 2)))(images, 20.0, 0.9, 0.5)
    assert all(np.isfinite(g).all() for g in (value, *gradients))
    assert all(np.abs(g).max() > 0 for g in gradients)


def test_the_gradient_of_a_look_up_is_the_difference_quotient(key, x64):
    image, turn = photograph(dtype=np.float64)[:8, :8], augment.pipeline(augment.rotate((20, 20)))
    rng = np.random.default_rng(0)
    weights, way = rng.normal(size=(2, 8, 8, 3))
    f = jax.jit(lambda x: (weights * turn(key, x)).sum())
    slope = (jax.grad(f)(image) * way).sum()
    np.testing.assert_allclose(slope, (f(image + 1e-3 * way) - f(image - 1e-3 * way)) / 2e-3, rtol=1e-3)


def gathers(*operations, n=4, **options):
    images = jax.ShapeDtypeStruct((n, 24, 24, 3), jnp.uint8)
    text = jax.jit(augment.pipeline(*operations, **options)).lower(keys(n), images).as_text()
    return text.count('"stablehlo.gather"'), text.count("stablehlo.dynamic_slice")


SIX = (
    augment.rotate(10),
    augment.stretch(),
    augment.shear(),
    augment.translate(),
    augment.mirror(),
    augment.random_crop(20, pad=2),
)


@pytest.mark.parametrize(("interpolation", "pixels"), [("nearest", 1), ("bilinear", 4), ("bicubic", 16)])
def test_pixels_are_looked_up_once_however_many_maps_there_are(interpolation, pixels):
    for row in (SIX[:1], SIX, (*SIX, augment.lens(), augment.elastic(), augment.rotate(5))):
        assert gathers(*row, interpolation=interpolation)[0] == pixels


def test_whole_pixels_are_copied_and_not_looked_up():
    finish = augment.normalize(0.5, 0.25)
    assert gathers(augment.mirror(), finish) == gathers(augment.random_crop(20), finish)
    # The one gather is what a slice becomes that starts elsewhere in each image.
    assert sum(gathers(augment.random_crop(20), augment.mirror(), augment.center_crop(10), finish)) == 1


def test_colours_look_up_no_pixel():
    colours = (augment.brightness(), augment.contrast(), augment.saturation(), augment.hue(), augment.sharpness())
    assert gathers(*colours)[0] == 0


def test_repeated_calls_compile_once():
    traces = 0

    def augmented(keys, images):
        nonlocal traces
        traces += 1
        return PIPELINES["by copy"](keys, images)

    augmented = jax.jit(augmented)
    for seed in range(3):
        augmented(keys(4), photograph(seed, n=4))
    assert traces == 1
