"""Fractional max pooling: PyTorch's figures, and Graham's regions written out in NumPy."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import regularize
from lec7.errors import InputError
from lec7.regularize import pooling

GOLDENS = np.load(Path(__file__).parent / "goldens" / "torch.npz")
CASES = json.loads(str(GOLDENS["about"]))["cases"]


def golden(i, name):
    """PyTorch's array, channels last."""
    return np.moveaxis(GOLDENS[f"{i}/{name}"], 1, -1)


def atens(x, samples, output_shape, window):
    """ATen's FractionalMaxPool2d.cpp, line by line, in the samples' precision."""

    def intervals(sample, inputs, outputs):
        sequence = [0] * outputs
        if outputs > 1:
            alpha = sample.dtype.type(inputs - window) / sample.dtype.type(outputs - 1)
            for i in range(outputs - 1):
                sequence[i] = int((sample.dtype.type(i) + sample) * alpha) - int(sample * alpha)
        sequence[outputs - 1] = inputs - window
        return sequence

    n, height, width, channels = x.shape
    y = np.empty((n, *output_shape, channels), x.dtype)
    for batch in range(n):
        for plane in range(channels):
            across = intervals(samples[batch, plane, 0], width, output_shape[1])
            down = intervals(samples[batch, plane, 1], height, output_shape[0])
            for h, top in enumerate(down):
                for w, left in enumerate(across):
                    y[batch, h, w, plane] = x[batch, top : top + window, left : left + window, plane].max()
    return y


@pytest.mark.parametrize("i", range(len(CASES)))
def test_given_the_samples_it_is_pytorchs_and_so_is_its_gradient(i, x64):
    case, samples = CASES[i], jnp.asarray(GOLDENS[f"{i}/samples"])
    y, back = jax.vjp(
        lambda x: regularize.fractional_max_pool_at(samples, x, case["output"], case["window"]),
        jnp.asarray(golden(i, "x")),
    )
    assert y.dtype == case["dtype"]
    np.testing.assert_array_equal(y, golden(i, "y"))
    (grad,) = back(jnp.asarray(golden(i, "back")))
    np.testing.assert_allclose(grad, golden(i, "grad"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("i", range(0, len(CASES), 2))
def test_the_transcript_of_aten_is_pytorchs(i):
    case = CASES[i]
    y = atens(golden(i, "x"), GOLDENS[f"{i}/samples"], case["output"], case["window"])
    np.testing.assert_array_equal(y, golden(i, "y"))


def test_with_many_samples_it_is_the_transcript_of_aten(key):
    """Enough of them that places where int() jumps are met; compiled."""
    x = jax.random.normal(key, (200, 12, 11, 2))
    samples = jax.random.uniform(jax.random.key(1), (200, 2, 2))
    samples = samples.at[0].set(0.0).at[1].set(np.nextafter(np.float32(1), np.float32(0)))
    y = jax.jit(lambda u, x: regularize.fractional_max_pool_at(u, x, (8, 7)))(samples, x)
    np.testing.assert_array_equal(y, atens(np.asarray(x), np.asarray(samples), (8, 7), 2))


def grahams(x, rows, columns, overlapping):
    """Maxima over squares [a[i], a[i + 1]) x [b[j], b[j + 1]), or with the pixels at their ends, plane by plane."""
    n, _, _, channels = x.shape
    y = np.empty((n, rows.shape[-1] - 1, columns.shape[-1] - 1, channels), x.dtype)
    for batch, i, j, plane in np.ndindex(*y.shape):
        top, bottom = rows[batch, plane, i : i + 2]
        left, right = columns[batch, plane, j : j + 2]
        y[batch, i, j, plane] = x[batch, top : bottom + overlapping, left : right + overlapping, plane].max()
    return y


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("kind", pooling.KINDS)
def test_it_is_the_maximum_over_each_region(kind, overlapping, key):
    x = jax.random.normal(key, (3, 9, 7, 2))
    draw = {"random": pooling._random, "pseudorandom": pooling._pseudorandom}[kind]
    borders = [
        np.asarray(draw(k, (3, 2), inputs, outputs))
        for k, inputs, outputs in zip(jax.random.split(key), (9, 7), (6, 3), strict=True)
    ]
    y = jax.jit(lambda key, x: regularize.fractional_max_pool(key, x, (6, 3), kind, overlapping))(key, x)
    np.testing.assert_array_equal(y, grahams(np.asarray(x), *borders, overlapping))


@pytest.mark.parametrize(("inputs", "outputs"), [(25, 18), (7, 7), (10, 5), (10, 3), (6, 1)])
@pytest.mark.parametrize("kind", pooling.KINDS)
def test_borders_cut_all_pixels_into_regions_of_two_lengths(kind, inputs, outputs, key):
    draw = {"random": pooling._random, "pseudorandom": pooling._pseudorandom}[kind]
    a = np.asarray(draw(key, (50, 4), inputs, outputs))
    assert a.shape == (50, 4, outputs + 1)
    assert np.all(a[..., 0] == 0)
    assert np.all(a[..., -1] == inputs)
    assert set(np.unique(np.diff(a))) <= {inputs // outputs, -(-inputs // outputs)}


def test_pseudo_random_borders_are_those_of_the_formula(key):
    """ceil(N/M * (i + u)) - ceil(N/M * u), for the u in the midst of those that the whole number stands for."""
    a = np.asarray(pooling._pseudorandom(key, (100, 3), 25, 18))
    phase = np.asarray(jax.random.randint(key, (100, 3, 1), 1, 26))
    u, i = (phase - 0.5) / 25, np.arange(19)
    np.testing.assert_array_equal(a, np.ceil(25 / 18 * (i + u)) - np.ceil(25 / 18 * u))
    # ceil(25 * u) of uniform u is as often any number from 1 to 25: five standard deviations of a count of 12.
    assert np.all(np.abs(np.bincount(phase.ravel(), minlength=26)[1:] - 12) < 5 * np.sqrt(12))


def test_random_borders_come_in_any_order(key):
    """Of 2 long regions among 4, each of 6 orders as often as any other: five standard deviations."""
    a = np.asarray(pooling._random(key, (600, 2), 6, 4))
    _, counts = np.unique(np.diff(a).reshape(-1, 4), axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.all(np.abs(counts - 200) < 5 * np.sqrt(200 * 5 / 6))


def test_examples_and_channels_have_borders_of_their_own(key):
    x = jnp.broadcast_to(jnp.arange(100.0).reshape(1, 10, 10, 1), (8, 10, 10, 8))
    y = np.asarray(regularize.fractional_max_pool(key, x, (7, 7)))
    assert len(np.unique(y[:, :, :, 0].reshape(8, -1), axis=0)) > 1
    assert len(np.unique(y[0].reshape(-1, 8), axis=1).T) > 1


def test_a_batch_is_its_lanes_under_vmap(key):
    keys, x = jax.random.split(key, 3), jax.random.normal(key, (3, 2, 5, 5, 2))
    lanes = jax.vmap(lambda key, x: regularize.fractional_max_pool(key, x, (3, 4)))(keys, x)
    for lane, one, image in zip(lanes, keys, x, strict=True):
        np.testing.assert_array_equal(lane, regularize.fractional_max_pool(one, image, (3, 4)))


def test_even_regions_are_the_usual_ones_where_they_divide_the_image(key):
    x = np.asarray(jax.random.normal(key, (2, 6, 4, 3)))
    usual = x.reshape(2, 3, 2, 2, 2, 3).max(axis=(2, 4))
    np.testing.assert_array_equal(regularize.even_max_pool(jnp.asarray(x), (3, 2), overlapping=False), usual)
    np.testing.assert_array_equal(regularize.even_max_pool(jnp.asarray(x), (6, 4), overlapping=False), x)


def test_even_borders_are_rounded_to_the_nearest_pixel():
    """Of a ramp, without overlap, the maximum is the last pixel ahead of the border."""
    ramp = jnp.arange(25.0).reshape(1, 25, 1, 1)
    y = regularize.even_max_pool(ramp, (18, 1), overlapping=False)
    np.testing.assert_array_equal(y.ravel(), np.floor(25 / 18 * np.arange(1, 19) + 0.5) - 1)


def test_the_gradient_of_a_maximum_goes_to_its_pixel(key):
    x = jax.random.normal(key, (2, 5, 5, 2))
    grad = jax.grad(lambda x: regularize.fractional_max_pool(key, x, (3, 3)).sum())(x)
    y = regularize.fractional_max_pool(key, x, (3, 3))
    np.testing.assert_allclose(jnp.sum(grad * x), y.sum(), rtol=1e-6)  # of degree 1
    assert grad.sum() == y.size


def test_windows_of_one_pixel_for_each_pixel_are_the_image(key):
    x = jax.random.normal(key, (2, 4, 3, 2))
    samples = jax.random.uniform(key, (2, 2, 2))
    np.testing.assert_array_equal(regularize.fractional_max_pool_at(samples, x, (4, 3), window=1), x)


def test_bfloat16_stays(key):
    assert regularize.fractional_max_pool(key, jnp.ones((1, 4, 4, 1), jnp.bfloat16), (3, 3)).dtype == jnp.bfloat16


X = jnp.ones((2, 6, 5, 3))
BAD = {
    "a single image": (lambda key: regularize.fractional_max_pool(key, X[0], (3, 3)), r"x has shape \(6, 5, 3\)"),
    "an output that is larger": (
        lambda key: regularize.fractional_max_pool(key, X, (3, 6)),
        r"output_shape is \(3, 6\), expected height and width from 1 to those of the images, \(6, 5\)",
    ),
    "one number": (lambda key: regularize.fractional_max_pool(key, X, (3,)), r"output_shape is \(3,\)"),
    "no output": (lambda key: regularize.even_max_pool(X, (0, 3)), r"output_shape is \(0, 3\)"),
    "an unknown kind": (
        lambda key: regularize.fractional_max_pool(key, X, (3, 3), "pseudo-random"),
        "no kind 'pseudo-random', expected one of random, pseudorandom; did you mean 'pseudorandom'",
    ),
    "samples that do not fit": (
        lambda key: regularize.fractional_max_pool_at(jnp.ones((2, 2)), X, (3, 3)),
        r"samples have shape \(2, 2\), expected \(2, 3, 2\)",
    ),
    "too many windows": (
        lambda key: regularize.fractional_max_pool_at(jnp.zeros((2, 3, 2)), X, (6, 3)),
        "6 windows of 2 pixels were asked for along 6, expected windows of at least 1, and no more than 5",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_shapes_that_do_not_fit_are_told(what, key):
    call, message = BAD[what]
    with pytest.raises(InputError, match=message):
        call(key)
