"""Augmentation and convolution on the device at hand, compared with the CPU and with XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from small_training import exact

from lec7 import augment, models
from lec7.models.convolution import cpu_convolution

pytestmark = pytest.mark.accelerator


@pytest.mark.slow
def test_a_pipeline_gives_the_images_of_the_cpu():
    """But for a pixel in a hundred, whose place is rounded to the other side of an edge."""
    pipeline = augment.pipeline(
        augment.random_resized_crop(12),
        augment.mirror(),
        augment.rotate(10),
        augment.sometimes(augment.lens(0.2), 0.5),
        augment.brightness(0.4),
        augment.contrast(0.4),
        augment.hue(0.05),
        augment.normalize(0.5, 0.25),
    )
    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)

    keys = jax.random.split(jax.random.key(0), len(images))

    def augmented(device):
        new = jax.jit(pipeline)(*jax.device_put((keys, images), device))
        assert new.devices() == {device}
        return jax.device_get(new)

    with exact():
        got, want = augmented(jax.devices()[0]), augmented(jax.devices("cpu")[-1])
    assert got.std() > 0.1
    assert np.mean(np.abs(got - want) > 1e-3) < 0.01


def test_convolutions_and_their_gradients_are_those_of_xla():
    """What is fast on the device, and the patches that are fast on a CPU; dense and depthwise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 9, 8, 6)).astype(np.float32)
    for shape, groups in (((3, 3, 6, 5), 1), ((3, 3, 1, 6), 6)):
        kernel = rng.normal(size=shape).astype(np.float32)
        for strides, padding in (((1, 1), "SAME"), ((2, 2), "VALID")):
            how = {"window_strides": strides, "padding": padding, "feature_group_count": groups}
            with exact():
                want, *others = (
                    value_and_gradients(convolution, x, kernel, how)
                    for convolution in (lax.conv_general_dilated, models.convolution(), cpu_convolution)
                )
            for got in others:
                jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), got, want)


def value_and_gradients(convolution, x, kernel, how):
    """What a convolution gives, and the gradients of a sum that weighs each of its values otherwise."""

    def total(x, kernel):
        y = convolution(x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **how)
        return jnp.sum(y * jnp.cos(y)), y

    return jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(x, kernel)


def test_the_maximum_of_windows_is_that_of_xla():
    x = np.random.default_rng(0).normal(size=(4, 9, 8, 3)).astype(np.float32)
    window = (1, 2, 2, 1)
    want = jax.jit(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID"))(x)
    np.testing.assert_array_equal(jax.jit(models.max_pool)(x), want)
