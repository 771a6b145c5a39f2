"""What changes values: Pillow, the standard library's colorsys, NumPy and torchvision's figures as oracles."""

import colorsys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import photograph
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_image

from lec7 import augment

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def china():
    """A photograph, of few pixels."""
    return np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((48, 32)))


def exactly(name, number):
    """The operation with a number that is known."""
    number = int(number) if name == "posterize" else number
    return getattr(augment, name)((number, number))


def done(operation, image):
    return np.asarray(jax.jit(augment.pipeline(operation))(KEY, image))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_pillow_enhances_alike(name, factor, china):
    # Pillow rounds the mean of contrast, the gray of saturation and the blurred image of sharpness to bytes ahead of
    # the factor; ours are exact, and differ by half a byte times `1 - factor`.
    theirs = {"saturation": "Color"}.get(name, name.capitalize())
    expected = getattr(ImageEnhance, theirs)(Image.fromarray(china)).enhance(factor)
    ours = done(exactly(name, factor), china)
    assert np.abs(ours.astype(int) - np.asarray(expected)).max() <= 1
    assert (factor == 1.0) == (ours == china).all()


@pytest.mark.parametrize("bits", [1, 3, 7, 8])
def test_pillow_posterizes_alike(bits, china):
    np.testing.assert_array_equal(
        done(exactly("posterize", bits), china), ImageOps.posterize(Image.fromarray(china), bits)
    )


@pytest.mark.parametrize("threshold", [0, 100, 200, 255])
def test_pillow_solarizes_alike(threshold, china):
    # Halfway below the byte, where no rounding of 1/255 decides.
    ours = done(exactly("solarize", max(threshold - 0.5, 0) / 255), china)
    np.testing.assert_array_equal(ours, ImageOps.solarize(Image.fromarray(china), threshold))


def images_of_few_values():
    """Of one value, of two, of few pixels, and of a dark photograph."""
    rng = np.random.default_rng(0)
    yield np.full((8, 8, 3), 77, np.uint8)
    yield np.where(rng.uniform(size=(20, 20, 3)) < 0.3, 10, 201).astype(np.uint8)
    yield photograph(size=(7, 9))
    yield photograph(size=(32, 32))
    yield photograph(size=(23, 33))
    yield (photograph(size=(32, 48)) // 3 + 40).astype(np.uint8)


@pytest.mark.parametrize("image", list(images_of_few_values()), ids=str)
def test_pillow_equalizes_and_stretches_alike(image):
    pillow = Image.fromarray(image)
    np.testing.assert_array_equal(done(augment.equalize(), image), ImageOps.equalize(pillow))
    stretched = np.asarray(ImageOps.autocontrast(pillow)).astype(int)
    assert np.abs(done(augment.autocontrast(), image) - stretched).max() <= 1  # Pillow cuts off decimals


def test_gray_is_pillows_luma(china):
    gray = done(augment.gray(), china)
    assert gray.shape == china.shape
    expected = np.asarray(Image.fromarray(china).convert("L")).astype(int)
    assert np.abs(gray - expected[..., None]).max() <= 1


@pytest.mark.parametrize("shift", [-0.5, -0.31, 0.0, 0.07, 0.25, 0.5])
def test_hue_is_turned_as_colorsys_does(shift):
    # Random colours, and those that lie on the corners and edges of the cube.
    corners = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * 3), -1).reshape(9, 3, 3)
    image = np.concatenate([corners, np.random.default_rng(0).uniform(size=(9, 17, 3))], 1).astype(np.float32)

    def turned(rgb):
        h, s, v = colorsys.rgb_to_hsv(*map(float, rgb))
        return colorsys.hsv_to_rgb((h + shift) % 1, s, v)

    np.testing.assert_allclose(done(exactly("hue", shift), image), np.apply_along_axis(turned, -1, image), atol=2e-6)


def test_hue_alone_and_saturation_change_an_image(china):
    """In augmax hue alone does nothing, and saturation is computed and dropped."""
    for operation in (augment.hue((0.1, 0.1)), augment.saturation((0.3, 0.3))):
        assert np.abs(done(operation, china).astype(int) - china).mean() > 3


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue", "sharpness", "solarize"])
def test_torchvision_changes_colours_alike(name):
    with np.load(Path(__file__).parent / "goldens" / "torchvision.npz") as goldens:
        image, entries = goldens["image"], [entry for entry in goldens if entry.split()[0] == name]
        assert entries
        for entry in entries:
            ours = done(exactly(name, float(entry.split()[1])), image)
            # Its weights of red, green and blue are rounded to four digits.
            np.testing.assert_allclose(ours, goldens[entry], atol=2e-4 if name != "hue" else 2e-6, err_msg=entry)


def test_torchvision_stretches_alike():
    with np.load(Path(__file__).parent / "goldens" / "torchvision.npz") as goldens:
        np.testing.assert_allclose(done(augment.autocontrast(), goldens["image"]), goldens["autocontrast"], atol=1e-6)


def test_an_image_of_one_channel_has_no_colours_to_change():
    image = photograph(channels=1)
    for operation in (augment.hue((0.3, 0.3)), augment.saturation((0.1, 0.1)), augment.gray()):
        np.testing.assert_array_equal(done(operation, image), image)
    darker = done(augment.contrast((0.5, 0.5)), image)
    np.testing.assert_allclose(darker, image.mean() + 0.5 * (image - image.mean()), atol=0.51)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_basis_is_numpys_eigenvectors_of_the_covariance(dtype):
    rng = np.random.default_rng(0)
    mixed = rng.uniform(size=(5, 8, 8, 3)) @ rng.uniform(0, 1 / 3, (3, 3))
    images = (mixed * 255).round().astype(np.uint8) if dtype == np.uint8 else mixed.astype(np.float32)
    pixels = images.reshape(-1, 3).astype(float) / (255 if dtype == np.uint8 else 1)
    variances, components = np.linalg.eigh(np.cov(pixels.T, ddof=0))
    basis = np.asarray(augment.pca_basis(images), float)
    np.testing.assert_allclose(np.linalg.norm(basis, axis=0), np.sqrt(variances), rtol=1e-3)
    np.testing.assert_allclose(np.abs((basis * components).sum(0)), np.sqrt(variances), rtol=1e-3)
    np.testing.assert_allclose(basis @ basis.T, np.cov(pixels.T, ddof=0), atol=1e-6)
    assert (basis.sum(0) >= 0).all()


def test_pca_colour_adds_components_times_what_is_drawn():
    basis = np.array([[0.1, 0.02, -0.05], [0.1, 0.0, 0.06], [0.1, -0.03, 0.01]], np.float32)
    jitter = augment.pipeline(augment.pca_colour(basis, 0.5))
    image = np.full((4, 5, 3), 0.5, np.float32)
    amounts = np.asarray(jitter.draw(KEY, image.shape)[0]["amounts"])
    np.testing.assert_allclose(jitter(KEY, image), image + basis @ amounts, atol=1e-6)
    white = jitter(KEY, np.ones_like(image))
    assert white.max() <= 1


def test_normalize_is_the_textbooks(china):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    new = done(augment.normalize(mean, std), china)
    assert new.dtype == np.float32
    np.testing.assert_allclose(new, (china / 255.0 - mean) / std, atol=1e-5)
    np.testing.assert_allclose(done(augment.normalize(mean, std), jnp.float32(china / 255)), new, atol=1e-5)
