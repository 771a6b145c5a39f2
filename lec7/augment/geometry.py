"""Augmentations that move pixels: mirror, crop, scale, turn, stretch, shear (lecture 7, "Data Augmentation").

Coordinates are those of `warp.py`: from the centre of the image, in pixels.
"""

import math

import jax
import jax.numpy as jnp

from lec7 import random
from lec7.augment.operation import Drawn, Operation, Span, between, check_pair, integer, known_size, still, uniform
from lec7.augment.warp import Affine, Frame
from lec7.errors import InputError
from lec7.ranges import FRACTION, FROM_ONE, Range, check
from lec7.typing import Key, Scalar, is_traced

Size = int | tuple[int, int]
"""Height and width in pixels, or one number for both."""


def mirror(probability: Scalar = 0.5, vertical: bool = False) -> Operation:
    """Left and right changed places, or top and bottom.

    Source: lecture 7, "Horizontal Flips".

    Args:
        probability: chance to mirror; may be traced.
        vertical: top and bottom.

    Raises:
        InputError: `probability` is known and not in [0, 1].

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> augment.pipeline(augment.mirror(1.0))(jax.random.key(0), jnp.array([[[1], [2]]], jnp.uint8)).ravel().tolist()
    [2, 1]
    """
    check("probability", probability, FRACTION, "the chance to mirror")

    def draw(key: Key, frame: Frame) -> Drawn:
        coin = jax.random.bernoulli(random.stream(key, "sign"), probability)
        return {"sign": jnp.where(coin, -1.0, 1.0)}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        return Affine(yy=drawn["sign"]) if vertical else Affine(xx=drawn["sign"])

    return Operation("mirror", draw, leg, still={"sign": jnp.float32(1)}, whole_pixels=True)


def center_crop(size: Size) -> Operation:
    """The middle of an image; where an odd number of pixels is left over, the last side has one more.

    Args:
        size: of the crop; must be no larger than the image.

    Raises:
        InputError: `size` is no number of pixels, nor two; when used, an image that is smaller.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.arange(16, dtype=jnp.uint8).reshape(4, 4, 1)
    >>> augment.pipeline(augment.center_crop(2))(jax.random.key(0), image).ravel().tolist()
    [5, 6, 9, 10]
    """
    new = _frame("size", size)

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        _check_fits("center_crop", new, frame)

        def offset(n: Scalar, old: Scalar) -> jax.Array:
            left_over = (jnp.asarray(old) - n) / 2
            return jnp.floor(left_over) - left_over

        return Affine(y0=offset(new.height, frame.height), x0=offset(new.width, frame.width))

    return Operation("center_crop", lambda key, frame: {}, leg, frame=lambda drawn, frame: new, whole_pixels=True)


def random_crop(size: Size, pad: int = 0) -> Operation:
    """A window of an image, at any place with the same chance.

    Source: lecture 7, "Random crops and scales".

    Args:
        size: of the window.
        pad: pixels around the image that count as part of it; the pipeline's `edge` says what they show.

    Raises:
        InputError: `size` is no number of pixels, nor two, or `pad` negative; when used, an image that is smaller.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.zeros((4, 4, 1), jnp.uint8)
    >>> jax.eval_shape(augment.pipeline(augment.random_crop(4, pad=1)), jax.random.key(0), image).shape
    (4, 4, 1)
    """
    new = _frame("size", size)
    if isinstance(pad, bool) or not isinstance(pad, int) or pad < 0:
        raise InputError(f"pad is {pad!r}, expected the number of pixels around the image: an int of at least 0")

    def room(frame: Frame) -> list[jax.Array]:
        return [jnp.asarray(old) + 2 * pad - n for n, old in zip(new, frame, strict=True)]

    def draw(key: Key, frame: Frame) -> Drawn:
        _check_fits("random_crop", new, frame, pad)
        down, across = room(frame)
        return {"top": integer(key, "top", 0, down), "left": integer(key, "left", 0, across)}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        down, across = room(frame)
        return Affine(y0=drawn["top"] - down / 2, x0=drawn["left"] - across / 2)

    return Operation("random_crop", draw, leg, frame=lambda drawn, frame: new, whole_pixels=True, reach=pad)


def random_resized_crop(
    size: Size, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> Operation:
    """A part of an image, of any scale and shape, resized.

    The part's area is uniform and the logarithm of its width by its height as well. Of ten such the first that lies
    within the image is taken; where none does, the largest in the middle with the nearest ratio (as in torchvision).

    Source: Szegedy et al., "Going Deeper with Convolutions", 2015, section 6.

    Args:
        size: of the new image.
        scale: the part's area, as a part of the image's.
        ratio: its width by its height.

    Raises:
        InputError: a range is none, `scale` goes above 1, or `size` is no number of pixels, nor two.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.zeros((4, 4, 1))
    >>> jax.eval_shape(augment.pipeline(augment.random_resized_crop(2)), jax.random.key(0), image).shape
    (2, 2, 1)
    """
    new = _frame("size", size)
    check_pair("scale", scale)
    check_pair("ratio", ratio)
    if scale[1] > 1:
        raise InputError(f"scale is {scale!r}, expected parts of the image's area, at most 1")
    log_ratio = math.log(ratio[0]), math.log(ratio[1])

    def draw(key: Key, frame: Frame) -> Drawn:
        height, width = jnp.asarray(frame.height, jnp.float32), jnp.asarray(frame.width, jnp.float32)
        tries = jax.random.uniform(random.stream(key, "tries"), (2, 10), dtype=jnp.float32)
        area = height * width * (scale[0] + tries[0] * (scale[1] - scale[0]))
        shape = jnp.exp(log_ratio[0] + tries[1] * (log_ratio[1] - log_ratio[0]))
        heights, widths = jnp.sqrt(area / shape), jnp.sqrt(area * shape)
        fits = (heights <= height) & (widths <= width)
        first = jnp.argmax(fits)
        whole = jnp.clip(width / height, ratio[0], ratio[1])
        h = jnp.where(fits.any(), heights[first], jnp.minimum(height, width / whole))
        w = jnp.where(fits.any(), widths[first], jnp.minimum(width, height * whole))
        top, left = (
            jnp.where(fits.any(), uniform(key, name, 0, 1), 0.5) * (old - n)
            for name, old, n in (("top", height, h), ("left", width, w))
        )
        return {"top": top, "left": left, "height": h, "width": w}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        def along(start: jax.Array, part: jax.Array, n: Scalar, old: Scalar) -> tuple[jax.Array, jax.Array]:
            return part / n, start + part / 2 - jnp.asarray(old) / 2

        yy, y0 = along(drawn["top"], drawn["height"], new.height, frame.height)
        xx, x0 = along(drawn["left"], drawn["width"], new.width, frame.width)
        return Affine(yy=yy, y0=y0, xx=xx, x0=x0)

    def shrinks(frame: Frame) -> float:
        return float(max(old / n for old, n in zip(known_size("random_resized_crop", frame), new, strict=True)))

    return Operation("random_resized_crop", draw, leg, frame=lambda drawn, frame: new, shrinks=shrinks)


def scale_jitter(short_side: tuple[int, int]) -> Operation:
    """The whole image resized, so that its shorter side has a random length; a crop has to follow.

    One that is larger shows what lies beyond the image, see the pipeline's `edge`.

    Source: lecture 7, "pick random L in range [256, 480]; resize training image, short side = L".

    Args:
        short_side: the least and the most pixels, each with the same chance.

    Raises:
        InputError: `short_side` is no range of pixels.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.zeros((4, 4, 1))
    >>> pipeline = augment.pipeline(augment.scale_jitter((4, 8)), augment.center_crop(4))
    >>> jax.eval_shape(pipeline, jax.random.key(0), image).shape
    (4, 4, 1)
    """
    check_pair("short_side", short_side)
    low, high = short_side

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"short_side": integer(key, "short_side", low, high)}

    def resized(drawn: Drawn, frame: Frame) -> Frame:
        height, width = (jnp.asarray(old, jnp.float32) for old in frame)
        factor = drawn["short_side"] / jnp.minimum(height, width)
        return Frame(jnp.round(height * factor), jnp.round(width * factor))

    def shrinks(frame: Frame) -> float:
        return float(min(known_size("scale_jitter", frame))) / low

    return Operation("scale_jitter", draw, lambda d, f: _resized(f, resized(d, f)), frame=resized, shrinks=shrinks)


def resize(size: Size) -> Operation:
    """The whole image in another size; of one number the shorter side.

    Args:
        size: the shorter side, or height and width.

    Raises:
        InputError: `size` is no number of pixels, nor two.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.zeros((4, 8, 1))
    >>> jax.eval_shape(augment.pipeline(augment.resize(2)), jax.random.key(0), image).shape
    (2, 4, 1)
    """
    pair = _frame("size", size)

    def resized(drawn: Drawn, frame: Frame) -> Frame:
        if isinstance(size, tuple):
            return pair
        height, width = known_size("resize", frame)
        short = min(height, width)
        return Frame(round(height * size / short), round(width * size / short))

    def shrinks(frame: Frame) -> float:
        new = resized({}, frame)
        return max(old / n for old, n in zip(known_size("resize", frame), known_size("resize", new), strict=True))

    return Operation(
        "resize", lambda key, frame: {}, lambda d, f: _resized(f, resized(d, f)), frame=resized, shrinks=shrinks
    )


def translate(limit: Span = 0.1) -> Operation:
    """Moved, by up to a part of its height down or up and of its width to the right or left.

    Source: lecture 7, "Get creative for your problem!": translation, rotation, stretching, shearing.

    Args:
        limit: the largest part, or (low, high) of both.

    Raises:
        InputError: the range is none.

    >>> import jax
    >>> from lec7 import augment
    >>> sorted(augment.pipeline(augment.translate(0.1)).draw(jax.random.key(0), (4, 4, 1))[0])
    ['down', 'right']
    """
    low, high = between("limit", limit, "how far to move, as a part of the size, and not in pixels", _PART)

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"down": uniform(key, "down", low, high), "right": uniform(key, "right", low, high)}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        return Affine(y0=-drawn["down"] * frame.height, x0=-drawn["right"] * frame.width)

    return Operation("translate", draw, leg, still=still("down", "right"))


def rotate(degrees: Span = 15.0) -> Operation:
    """Turned about its centre, counterclockwise.

    Source: lecture 7, "Get creative for your problem!": translation, rotation, stretching, shearing.

    Args:
        degrees: the largest angle, or (low, high).

    Raises:
        InputError: the range is none.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.array([[[1], [2]], [[3], [4]]], jnp.uint8)
    >>> augment.pipeline(augment.rotate((90, 90)))(jax.random.key(0), image)[..., 0].tolist()
    [[2, 4], [1, 3]]
    """
    low, high = between("degrees", degrees, "how far to turn")

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"degrees": uniform(key, "degrees", low, high)}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        angle = drawn["degrees"] * (math.pi / 180)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return Affine(yy=c, yx=s, xy=-s, xx=c)

    return Operation("rotate", draw, leg, still=still("degrees"))


def stretch(factor: Scalar = 1.25) -> Operation:
    """Made taller or flatter and wider or narrower, each by a factor whose logarithm is uniform.

    Source: lecture 7, "Get creative for your problem!": translation, rotation, stretching, shearing.

    Args:
        factor: the largest; the smallest is its reciprocal. At least 1; may be traced, but then what shrinks is not
            kept from false patterns.

    Raises:
        InputError: `factor` is known and below 1.

    >>> import jax
    >>> from lec7 import augment
    >>> sorted(augment.pipeline(augment.stretch(1.25)).draw(jax.random.key(0), (4, 4, 1))[0])
    ['tall', 'wide']
    """
    check("factor", factor, FROM_ONE, "by how much to stretch at most")
    limit = jnp.log(factor) if is_traced(factor) else math.log(factor)
    most = 1.0 if is_traced(factor) else float(factor)

    def draw(key: Key, frame: Frame) -> Drawn:
        return {name: jnp.exp(uniform(key, name, -limit, limit)) for name in ("tall", "wide")}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        return Affine(yy=1 / drawn["tall"], xx=1 / drawn["wide"])

    return Operation("stretch", draw, leg, still=still("tall", "wide", value=1.0), shrinks=lambda frame: most)


def shear(limit: Span = 0.2) -> Operation:
    """Slanted along both axes: a point moves to the right by a part of its height below the centre, and likewise down.

    Source: lecture 7, "Get creative for your problem!": translation, rotation, stretching, shearing.

    Args:
        limit: the largest part, or (low, high), within (-1, 1), where the image doesn't fold.

    Raises:
        InputError: the range is none, or beyond (-1, 1).

    >>> import jax
    >>> from lec7 import augment
    >>> sorted(augment.pipeline(augment.shear(0.2)).draw(jax.random.key(0), (4, 4, 1))[0])
    ['along_x', 'along_y']
    """
    low, high = between("limit", limit, "how far to slant, as the tangent of the angle", _SLANT)

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"along_x": uniform(key, "along_x", low, high), "along_y": uniform(key, "along_y", low, high)}

    def leg(drawn: Drawn, frame: Frame) -> Affine:
        return Affine(yx=-drawn["along_y"], xy=-drawn["along_x"])

    return Operation("shear", draw, leg, still=still("along_x", "along_y"))


_PART = Range("a number in [-1, 1]", lambda x: -1 <= x <= 1)
_SLANT = Range("a number in (-1, 1)", lambda x: -1 < x < 1)


def _frame(name: str, size: Size) -> Frame:
    pair = size if isinstance(size, tuple) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in pair):
        raise InputError(f"{name} is {size!r}, expected pixels: an int of at least 1, or (height, width)")
    return Frame(*pair)


def _check_fits(name: str, new: Frame, old: Frame, pad: int = 0) -> None:
    if old.is_known and any(n > m + 2 * pad for n, m in zip(new, old, strict=True)):
        more = f" and {pad} pixels around them" if pad else ""
        raise InputError(
            f"{name} takes {new.height} x {new.width} pixels of images of {old.height} x {old.width}{more}; "
            "resize them first, or take less"
        )


def _resized(old: Frame, new: Frame) -> Affine:
    return Affine(yy=jnp.asarray(old.height) / new.height, xx=jnp.asarray(old.width) / new.width)
