"""What a pretrained network expects its images to be, kept with its weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from lec7.errors import InputError
from lec7.typing import ArrayLike


@dataclass(frozen=True)
class Preprocessing:
    """The middle of an image, resized and normalized; a function of images.

    The middle is cut out first and then resized, or the other way round: `crop` is its part of the shorter side.
    Resizing is Pillow's, to within a grey level: cubic or linear, wide enough that what shrinks has no false patterns.

    Attributes:
        size: height and width of what comes out, in pixels.
        crop: the middle's part of the shorter side, in (0, 1].
        first: `"crop"`, or `"resize"` as in torchvision (to `round(size / crop)` pixels, then the middle `size`).
        interpolation: `"bicubic"` (a = -0.5) or `"bilinear"`.
        mean: for each channel, of values in [0, 1].
        std: likewise.

    >>> Preprocessing(size=4)(jnp.full((8, 10, 3), 255, jnp.uint8)).shape
    (4, 4, 3)
    """

    size: int = 224
    crop: float = 224 / 256
    first: Literal["crop", "resize"] = "resize"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __call__(self, images: ArrayLike) -> jax.Array:
        """From bytes [..., height, width, channels], or floats in [0, 1], to float32 [..., size, size, channels].

        An image of gray is one of as many equal channels as there are means.
        """
        images = jnp.asarray(images)
        if images.ndim < 3 or images.shape[-1] not in (1, len(self.mean)):
            raise InputError(
                f"the images have shape {images.shape}, expected [..., height, width, {len(self.mean)}], or a last "
                "axis of 1 for gray"
            )
        pixels = self._bytes(images)
        height, width = pixels.shape[-3:-1]
        if self.first == "crop":
            side = int(self.crop * min(height, width))
            pixels = self._resized(_middle(pixels, side, lambda rest: (rest + 1) // 2), self.size, self.size)
        else:
            short = round(self.size / self.crop)
            factor = short / min(height, width)
            tall, wide = (short if n == min(height, width) else int(n * factor) for n in (height, width))
            pixels = _middle(self._resized(pixels, tall, wide), self.size, lambda rest: round(rest / 2))
        mean, std = jnp.asarray(self.mean, jnp.float32), jnp.asarray(self.std, jnp.float32)
        flat = (pixels * jnp.float32(1 / 255)).reshape(-1, pixels.shape[-1])
        return ((flat - mean[None, :]) / std[None, :]).reshape(*pixels.shape[:-1], len(self.mean))

    def _bytes(self, images: jax.Array) -> jax.Array:
        return images.astype(jnp.float32) * (1 if images.dtype == jnp.uint8 else 255)

    def _resized(self, pixels: jax.Array, height: int, width: int) -> jax.Array:
        *batch, old, _, channels = pixels.shape
        method = "cubic" if self.interpolation == "bicubic" else "linear"
        # Pillow resizes rows first, and keeps bytes in between.
        for shape in ((*batch, old, width, channels), (*batch, height, width, channels)):
            pixels = jnp.clip(jnp.floor(jax.image.resize(pixels, shape, method) + 0.5), 0, 255)
        return pixels


def _middle(pixels: jax.Array, side: int, ahead: Callable[[int], int]) -> jax.Array:
    """The square in the middle; `ahead` says how much of what is left over lies ahead of it."""
    height, width = pixels.shape[-3:-1]
    if side > min(height, width):
        raise InputError(f"the middle {side} x {side} pixels of an image of {height} x {width}: make crop smaller")
    top, left = ahead(height - side), ahead(width - side)
    return pixels[..., top : top + side, left : left + side, :]
