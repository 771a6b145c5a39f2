"""Pixels between pixels: SciPy, a transcription of Keys's kernel and PyTorch's figures as oracles."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import photograph
from scipy import ndimage

from lec7 import augment
from lec7.augment.sample import at, resample
from lec7.augment.warp import Affine, Frame

# Turned, slanted, moved and shrunk, so that a part of the new image lies beyond the old one on all sides.
AFFINE, FRAME = Affine(yy=1.3013, yx=0.5071, y0=1.7137, xy=-0.3519, xx=1.2091, x0=-3.3123), Frame(21, 18)
SCIPY = {"constant": "grid-constant", "edge": "nearest", "reflect": "mirror"}
NUMPY = {"constant": "constant", "edge": "edge", "reflect": "reflect"}
FILL = 0.3


SMALLER = Affine(yy=1.61, yx=0.51, y0=1.71, xy=-0.35, xx=1.52, x0=-3.31)


def places(shape, a=AFFINE, parts=1):
    """Row and column in the old image of each point of the new one, in double precision."""
    y, x = (
        ((np.arange(n * parts) + 0.5) / parts - n / 2).reshape(s)
        for n, s in zip(FRAME, ((-1, 1), (1, -1)), strict=True)
    )
    return (
        a.yy * y + a.yx * x + a.y0 + (shape[0] - 1) / 2,
        a.xy * y + a.xx * x + a.x0 + (shape[1] - 1) / 2,
    )


def scipy_sampled(image, points, order, edge):
    channels = np.moveaxis(image.astype(float), -1, 0)
    at_points = partial(ndimage.map_coordinates, order=order, mode=SCIPY[edge], cval=FILL, prefilter=False)
    return np.stack([at_points(channel, np.broadcast_arrays(*points)) for channel in channels], -1)


def keys_sampled(image, points, edge, a=-0.75, pad=40):
    """Keys, "Cubic Convolution Interpolation", 1981, equation 4, on an image that is made larger by NumPy."""

    def u(s):
        s = np.abs(s)
        inner = (a + 2) * s**3 - (a + 3) * s**2 + 1
        outer = a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a
        return np.where(s <= 1, inner, np.where(s < 2, outer, 0))

    filled = {"constant_values": FILL} if edge == "constant" else {}
    large = np.pad(image.astype(float), ((pad, pad), (pad, pad), (0, 0)), mode=NUMPY[edge], **filled)
    y, x = np.broadcast_arrays(*points)
    total = np.zeros((*y.shape, image.shape[-1]))
    for i in range(-1, 3):
        for j in range(-1, 3):
            row, column = np.floor(y).astype(int) + i, np.floor(x).astype(int) + j
            total += (u(y - row) * u(x - column))[..., None] * large[row + pad, column + pad]
    return total


@pytest.mark.parametrize("edge", SCIPY)
@pytest.mark.parametrize(("interpolation", "order"), [("nearest", 0), ("bilinear", 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_scipy_looks_up_the_same_pixels(interpolation, order, edge, channels):
    image = photograph(channels=channels, dtype=np.float32, size=(19, 23))
    new = jax.jit(lambda image: resample(image, (AFFINE,), FRAME, interpolation, edge, FILL))(image)
    np.testing.assert_allclose(new, scipy_sampled(image, places(image.shape), order, edge), atol=1e-5)


@pytest.mark.parametrize("edge", SCIPY)
def test_bicubic_is_the_kernel_of_keys(edge):
    image = photograph(dtype=np.float32, size=(19, 23))
    new = jax.jit(lambda image: resample(image, (AFFINE,), FRAME, "bicubic", edge, FILL))(image)
    np.testing.assert_allclose(new, keys_sampled(image, places(image.shape), edge), atol=2e-5)


@pytest.mark.parametrize("edge", SCIPY)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_pytorch_looks_up_the_same_pixels(interpolation, edge):
    with np.load(Path(__file__).parent / "goldens" / "torch_grid_sample.npz") as goldens:
        image, y, x = (goldens[name] for name in ("image", "y", "x"))
        theirs = goldens[f"{interpolation} {edge}"]
    ours = jax.jit(lambda *points: at(jnp.asarray(image), points, interpolation, edge))(y, x)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("parts", [2, 3])
def test_an_antialiased_pixel_is_the_mean_of_points_within_it(parts):
    image = photograph(dtype=np.float32, size=(39, 43))
    new = jax.jit(lambda image: resample(image, (SMALLER,), FRAME, "bilinear", "edge", parts=parts))(image)
    points = scipy_sampled(image, places(image.shape, SMALLER, parts), 1, "edge")
    blocks = points.reshape(FRAME.height, parts, FRAME.width, parts, 3)
    np.testing.assert_allclose(new, blocks.mean((1, 3)), atol=1e-5)


def test_an_image_that_shrinks_has_no_false_patterns():
    stripes = np.tile(np.array([0, 1], np.float32), (48, 24))[..., None]  # the finest there are
    key = jax.random.key(0)
    fine = augment.pipeline(augment.resize((15, 15)), edge="edge")(key, stripes)
    coarse = augment.pipeline(augment.resize((15, 15)), edge="edge", antialias=False)(key, stripes)
    assert np.abs(fine - 0.5).max() < 0.2 < np.abs(coarse - 0.5).max()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, jnp.bfloat16])
def test_the_dtype_stays_and_bytes_are_rounded_to_the_nearest(dtype, channels, key):
    image = photograph(channels=channels, size=(20, 22))
    turn = augment.pipeline(augment.rotate((30, 30)), edge="edge")
    given = jnp.asarray(image if dtype == np.uint8 else image / np.float32(255), dtype)
    new = jax.jit(turn)(key, given)
    assert new.dtype == dtype
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    y, x = np.arange(20)[:, None] - 9.5, np.arange(22)[None, :] - 10.5
    exact = scipy_sampled(np.asarray(given, float), (c * y + s * x + 9.5, -s * y + c * x + 10.5), 1, "edge")
    if dtype == np.uint8:
        away_from_halves = np.abs(exact % 1 - 0.5) > 1e-3
        assert away_from_halves.mean() > 0.98
        np.testing.assert_array_equal(np.asarray(new)[away_from_halves], np.rint(exact)[away_from_halves])
    else:
        np.testing.assert_allclose(np.asarray(new, float), exact, atol=1e-5 if dtype == np.float32 else 4e-3)


@pytest.mark.parametrize("edge", NUMPY)
@pytest.mark.parametrize("size", [(20, 25), (9, 31)])
def test_a_padded_crop_is_a_slice_of_numpys_padded_image(edge, size, key):
    image, pad, fill = photograph(), 5, (0.5, 0.125, 1.0)
    crop = augment.pipeline(augment.random_crop(size, pad=pad), edge=edge, fill=fill)
    if edge == "constant":
        large = np.tile(np.rint(255 * np.array(fill)).astype(np.uint8), (image.shape[0] + 10, image.shape[1] + 10, 1))
        large[pad:-pad, pad:-pad] = image
    else:
        large = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode=NUMPY[edge])
    cropped = jax.jit(crop)
    for each in jax.random.split(key, 5):
        (drawn,) = crop.draw(each, image.shape)
        top, left = int(drawn["top"]), int(drawn["left"])
        np.testing.assert_array_equal(cropped(each, image), large[top : top + size[0], left : left + size[1]])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_what_lies_beyond_is_the_same_by_copy_and_by_look_up(interpolation, key):
    """A fill that is no whole byte is rounded, whatever way the pixels go."""
    image, fill = photograph(), 128.7 / 255
    by_copy = augment.pipeline(augment.random_crop((40, 44), pad=10), fill=fill)
    by_look_up = augment.pipeline(
        augment.random_crop((40, 44), pad=10), augment.rotate((0, 0)), fill=fill, interpolation=interpolation
    )
    np.testing.assert_array_equal(by_copy(key, image), by_look_up(key, image))
