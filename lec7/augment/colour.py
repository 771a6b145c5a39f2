"""Augmentations that change pixel values: brightness, contrast, hue and others (lecture 7, "Color Jitter").

All work on images [height, width, channels] in [0, 1]. An image of one channel has no colours to change.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lec7 import random
from lec7.augment.operation import Drawn, Operation, Span, between, integer, uniform
from lec7.augment.warp import Frame
from lec7.errors import InputError
from lec7.ranges import FRACTION, NOT_NEGATIVE, Range, check
from lec7.typing import ArrayLike, Key, Scalar

_LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue have to do with how bright a pixel looks (ITU-R BT.601, as in Pillow and torchvision)."""


def brightness(factor: Span = 0.4) -> Operation:
    """Each pixel times a factor.

    Source: lecture 7, "Color Jitter": randomize contrast and brightness.

    Args:
        factor: (low, high); or a number f for the range [1 - f, 1 + f].

    Raises:
        InputError: the range is none, or goes below 0.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[0.25], [0.5]]])
    >>> augment.pipeline(augment.brightness((2.0, 2.0)))(jax.random.key(0), image).ravel().tolist()
    [0.5, 1.0]
    """
    return _blend("brightness", factor, jnp.zeros_like)


def contrast(factor: Span = 0.4) -> Operation:
    """The difference to the image's mean brightness times a factor.

    Source: lecture 7, "Color Jitter": randomize contrast and brightness.

    Args:
        factor: (low, high); or a number f for the range [1 - f, 1 + f].

    Raises:
        InputError: as of `brightness`.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[0.25], [0.5]]])
    >>> augment.pipeline(augment.contrast((0.0, 0.0)))(jax.random.key(0), image).ravel().tolist()
    [0.375, 0.375]
    """
    return _blend("contrast", factor, flat, whole_image=True)


def saturation(factor: Span = 0.4) -> Operation:
    """The difference to the gray image times a factor.

    Source: Cubuk et al., "AutoAugment", 2019, after Pillow.

    Args:
        factor: (low, high); or a number f for the range [1 - f, 1 + f].

    Raises:
        InputError: as of `brightness`.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[1.0, 0.0, 0.0]]])
    >>> augment.pipeline(augment.saturation((0.0, 0.0)))(jax.random.key(0), image).ravel()
    Array([0.299, 0.299, 0.299], dtype=float32)
    """
    return _blend("saturation", factor, colourless)


def hue(shift: Span = 0.1) -> Operation:
    """Colours turned around the circle of hues.

    Args:
        shift: the largest, or (low, high), as a part of the circle, within [-1/2, 1/2].

    Raises:
        InputError: the range is none, or beyond [-1/2, 1/2].

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[1.0, 0.0, 0.0]]])
    >>> augment.pipeline(augment.hue((1 / 3, 1 / 3)))(jax.random.key(0), image).ravel()  # red to green
    Array([0., 1., 0.], dtype=float32)
    """
    low, high = between("shift", shift, "how far to turn the hues, as a part of the circle", _TURN)

    def paint(drawn: Drawn, image: jax.Array) -> jax.Array:
        return image if image.shape[-1] == 1 else shift_hue(image, drawn["shift"])

    return Operation("hue", lambda key, frame: {"shift": uniform(key, "shift", low, high)}, paint=paint)


def pca_colour(basis: ArrayLike, std: Scalar = 0.1) -> Operation:
    """An offset along the principal components of the colours of a training set.

    Source: lecture 7, "Color Jitter"; Krizhevsky, Sutskever and Hinton, 2012, section 4.1.

    Args:
        basis: of `pca_basis`: components as columns, each as long as its standard deviation, [3, 3].
        std: of how much of each component is added; may be traced.

    Raises:
        InputError: `std` is known and negative or not finite; when used, an image of other channels than the basis.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[1.0, 0.0, 0.0]]])
    >>> augment.pipeline(augment.pca_colour(jnp.eye(3), std=0.0))(jax.random.key(0), image).ravel().tolist()
    [1.0, 0.0, 0.0]
    """
    basis = jnp.asarray(basis, jnp.float32)
    check("std", std, NOT_NEGATIVE, "the standard deviation, such as 0.1")
    if basis.ndim != 2 or basis.shape[0] != basis.shape[1]:
        raise InputError(
            f"the basis has shape {basis.shape}, expected [channels, channels], as pca_basis(images) gives"
        )

    def draw(key: Key, frame: Frame) -> Drawn:
        return {
            "amounts": jnp.asarray(std, jnp.float32) * jax.random.normal(random.stream(key, "amounts"), basis.shape[:1])
        }

    def paint(drawn: Drawn, image: jax.Array) -> jax.Array:
        if image.shape[-1] != len(basis):
            raise InputError(f"the basis is of {len(basis)} channels, the image has {image.shape[-1]}")
        offset = jnp.sum(basis * drawn["amounts"][None, :], axis=1)
        return jnp.clip(image + offset[None, None, :], 0, 1)

    return Operation("pca_colour", draw, paint=paint)


def pca_basis(images: ArrayLike) -> jax.Array:
    """The principal components of the colours of images, as columns, each as long as its standard deviation.

    Source: Krizhevsky, Sutskever and Hinton, 2012, section 4.1.

    Args:
        images: [..., channels], bytes or floats in [0, 1].

    Returns:
        Floats [channels, channels], in units in which 1 is white.

    >>> [round(float(x), 2) for x in pca_basis(jnp.array([[0.0, 0.0], [0.6, 0.8]]))[:, -1]]
    [0.3, 0.4]
    """
    images = jnp.asarray(images)
    pixels = images.reshape(-1, images.shape[-1]) * (1 / 255 if images.dtype == jnp.uint8 else 1.0)
    variances, components = jnp.linalg.eigh(jnp.cov(pixels.T, ddof=0).reshape(images.shape[-1], -1))
    signs = jnp.where(components.sum(0) < 0, -1, 1)
    return components * (signs * jnp.sqrt(jnp.maximum(variances, 0)))[None, :]


def gray() -> Operation:
    """The image without its colours.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[1.0, 0.0, 0.0]]])
    >>> augment.pipeline(augment.gray())(jax.random.key(0), image).ravel()
    Array([0.299, 0.299, 0.299], dtype=float32)
    """
    return _always("gray", colourless)


def solarize(threshold: Span = (0.0, 1.0)) -> Operation:
    """Pixels from a threshold on inverted.

    Source: Cubuk et al., "AutoAugment", 2019, after Pillow.

    Args:
        threshold: (low, high), within [0, 1].

    Raises:
        InputError: the range is none, or beyond [0, 1].

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[0.25], [0.75]]])
    >>> augment.pipeline(augment.solarize((0.5, 0.5)))(jax.random.key(0), image).ravel().tolist()
    [0.25, 0.25]
    """
    low, high = between("threshold", threshold, "from which value on to invert", FRACTION, centre=0.5)

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"threshold": uniform(key, "threshold", low, high)}

    return Operation("solarize", draw, paint=lambda drawn, image: solarized(image, drawn["threshold"]))


def posterize(bits: tuple[int, int] = (4, 8)) -> Operation:
    """Only so many bits kept of each value's eight.

    Source: Cubuk et al., "AutoAugment", 2019, after Pillow.

    Args:
        bits: the fewest and the most.

    Raises:
        InputError: the range is none, or beyond 1 to 8 bits.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[0], [255]]], jnp.uint8)
    >>> augment.pipeline(augment.posterize((1, 1)))(jax.random.key(0), image).ravel().tolist()
    [0, 128]
    """
    if not (isinstance(bits, tuple) and len(bits) == 2 and 1 <= bits[0] <= bits[1] <= 8):
        raise InputError(f"bits is {bits!r}, expected (fewest, most) with 1 <= fewest <= most <= 8")

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"bits": integer(key, "bits", bits[0], bits[1])}

    return Operation("posterize", draw, paint=lambda drawn, image: posterized(image, drawn["bits"]))


def sharpness(factor: Span = 0.5) -> Operation:
    """The difference to a blurred image times a factor.

    Source: Cubuk et al., "AutoAugment", 2019, after Pillow.

    Args:
        factor: (low, high); or a number f for the range [1 - f, 1 + f].

    Raises:
        InputError: as of `brightness`.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[0.25], [0.5]]])
    >>> augment.pipeline(augment.sharpness((1.0, 1.0)))(jax.random.key(0), image).ravel().tolist()  # 1 for no change
    [0.25, 0.5]
    """
    return _blend("sharpness", factor, blurred, whole_image=True)


def equalize() -> Operation:
    """Each channel's values spread so that as many pixels have each, as Pillow does it.

    Source: Cubuk et al., "AutoAugment", 2019, after Pillow.

    >>> from lec7 import augment
    >>> augment.equalize().whole_image  # a pixel's value hangs on all others
    True
    """
    return _always("equalize", equalized, whole_image=True)


def autocontrast() -> Operation:
    """Each channel's values stretched to [0, 1].

    Source: Cubuk et al., "AutoAugment", 2019, after Pillow.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[0.25], [0.5]]])
    >>> augment.pipeline(augment.autocontrast())(jax.random.key(0), image).ravel().tolist()
    [0.0, 1.0]
    """
    return _always("autocontrast", stretched, whole_image=True)


def luma(image: jax.Array) -> jax.Array:
    """How bright each pixel looks, [..., 1].

    >>> luma(jnp.array([1.0, 0.0, 0.0])).tolist()
    [0.29899999499320984]
    """
    if image.shape[-1] == 1:
        return image
    red, green, blue = (image[..., i : i + 1] for i in range(3))
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def mean_luma(image: jax.Array) -> jax.Array:
    """The mean brightness of an image [height, width, channels], shape ().

    As a product with a vector, which XLA does not compute anew for each pixel that hangs on it.
    """
    height, width, channels = image.shape
    weights = jnp.tile(jnp.asarray(_LUMA if channels == 3 else (1.0,), image.dtype), width)
    rows = jnp.matmul(image.reshape(height, width * channels), weights, precision="highest")
    return rows.sum() / (height * width)


def flat(image: jax.Array) -> jax.Array:
    """As bright everywhere as the image is in the mean."""
    return jnp.full_like(image, mean_luma(image))


def colourless(image: jax.Array) -> jax.Array:
    """As bright as the image, in all channels alike."""
    return jnp.broadcast_to(luma(image), image.shape)


def blended(image: jax.Array, other: jax.Array, factor: Scalar) -> jax.Array:
    """From `other`, at a factor of 0, by way of the image, at 1, to beyond it."""
    return jnp.clip(other + factor * (image - other), 0, 1)


def shift_hue(image: jax.Array, shift: Scalar) -> jax.Array:
    """Hues turned by a part of the circle, saturation and value as they are."""
    red, green, blue = (image[..., i : i + 1] for i in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    per_chroma = 1 / jnp.where(chroma > 0, chroma, 1)
    # In sixths of the circle, from red.
    from_green = jnp.where(value == green, 2 + (blue - red) * per_chroma, 4 + (red - green) * per_chroma)
    turn = jnp.where(value == red, (green - blue) * per_chroma, from_green)
    sixths = turn + 6 * shift + jnp.array([5.0, 3.0, 1.0])[None, None, :]
    sixths -= 6 * jnp.floor(sixths * (1 / 6))  # jnp.mod takes five times as long
    return value - chroma * jnp.clip(jnp.minimum(sixths, 4 - sixths), 0, 1)


def solarized(image: jax.Array, threshold: Scalar) -> jax.Array:
    """Pixels from a threshold on inverted."""
    return jnp.where(image >= threshold, 1 - image, image)


def posterized(image: jax.Array, bits: Scalar) -> jax.Array:
    """Values with so many bits of eight."""
    step = jnp.exp2(8 - jnp.asarray(bits, jnp.float32))
    return jnp.floor(jnp.round(image * 255) / step) * step * (1 / 255)


def blurred(image: jax.Array) -> jax.Array:
    """Each pixel the mean of nine, in which it counts fivefold; the outermost ones as they are."""
    height, width, _ = image.shape
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    nine = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
    inside = (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
    return jnp.where(inside, (nine + 4 * image) * (1 / 13), image)


def equalized(image: jax.Array) -> jax.Array:
    """Each channel's histogram flat, by Pillow's table of 256 values."""
    height, width, channels = image.shape
    places = jnp.round(image * 255).astype(jnp.int32) + 256 * jnp.arange(channels)[None, None, :]
    counts = jnp.zeros(channels * 256, jnp.int32).at[places.ravel()].add(1, mode="promise_in_bounds")

    def table(counts: jax.Array) -> jax.Array:
        below = jnp.cumsum(counts) - counts
        last = jnp.max(jnp.where(counts > 0, jnp.arange(256), 0))
        step = (height * width - counts[last]) // 255
        levels = jnp.where(step > 0, (below + step // 2) // jnp.maximum(step, 1), jnp.arange(256))
        return jnp.clip(levels, 0, 255).astype(image.dtype) * (1 / 255)

    tables = jax.vmap(table)(counts.reshape(channels, 256)).ravel()
    return tables.at[places].get(mode="promise_in_bounds")


def stretched(image: jax.Array) -> jax.Array:
    """Each channel's values from 0 to 1; a channel of one value stays as it is."""
    low, high = image.min((0, 1), keepdims=True), image.max((0, 1), keepdims=True)
    width = high - low
    return jnp.where(width > 0, (image - low) / jnp.where(width > 0, width, 1), image)


_TURN = Range("a number in [-1/2, 1/2]", lambda x: -0.5 <= x <= 0.5)


def _blend(name: str, factor: Span, other: Callable[[jax.Array], jax.Array], whole_image: bool = False) -> Operation:
    low, high = between("factor", factor, f"by how much to change the {name}, 1 for not at all", NOT_NEGATIVE, 1.0)

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"factor": uniform(key, "factor", low, high)}

    def paint(drawn: Drawn, image: jax.Array) -> jax.Array:
        return blended(image, other(image), drawn["factor"])

    return Operation(name, draw, paint=paint, whole_image=whole_image)


def _always(name: str, paint: Callable[[jax.Array], jax.Array], whole_image: bool = False) -> Operation:
    return Operation(name, lambda key, frame: {}, paint=lambda drawn, image: paint(image), whole_image=whole_image)
