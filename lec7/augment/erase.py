"""Random erasing."""

import math

import jax
import jax.numpy as jnp

from lec7 import random
from lec7.augment.operation import Drawn, Operation, check_pair, uniform
from lec7.augment.warp import Frame
from lec7.typing import Key


def erase(
    scale: tuple[float, float] = (0.02, 0.33), ratio: tuple[float, float] = (0.3, 3.3), fill: float | None = 0.0
) -> Operation:
    """A rectangle of the new image painted over.

    Its area is uniform, the logarithm of its height by its width as well, and its place within the image too.

    Source: Zhong et al., "Random Erasing Data Augmentation", 2017; with one square, DeVries and Taylor's cutout.

    Args:
        scale: the rectangle's area, as a part of the image's.
        ratio: its height by its width.
        fill: its value, in [0, 1]; `None` for noise, uniform for each pixel and channel.

    Raises:
        InputError: a range that is none.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.ones((2, 2, 1))
    >>> augment.pipeline(augment.erase((1.0, 1.0), (1.0, 1.0)))(jax.random.key(0), image).ravel().tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    check_pair("scale", scale)
    check_pair("ratio", ratio)
    log_ratio = [math.log(r) for r in ratio]

    def draw(key: Key, frame: Frame) -> Drawn:
        return {
            "area": uniform(key, "area", *scale),
            "ratio": jnp.exp(uniform(key, "ratio", *log_ratio)),
            "top": uniform(key, "top", 0, 1),
            "left": uniform(key, "left", 0, 1),
            "noise": random.stream(key, "noise"),
        }

    def paint(drawn: Drawn, image: jax.Array) -> jax.Array:
        height, width, _ = image.shape
        pixels = drawn["area"] * (height * width)
        tall = jnp.minimum(jnp.round(jnp.sqrt(pixels * drawn["ratio"])), height)
        wide = jnp.minimum(jnp.round(jnp.sqrt(pixels / drawn["ratio"])), width)
        # `top` and `left` are parts of what room there is.
        top = jnp.floor(drawn["top"] * (height - tall + 1))
        left = jnp.floor(drawn["left"] * (width - wide + 1))
        y, x = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
        inside = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
        over = jax.random.uniform(drawn["noise"], image.shape, image.dtype) if fill is None else fill
        return jnp.where(inside, over, image)

    return Operation("erase", draw, paint=paint)
