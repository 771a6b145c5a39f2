"""Augmentations that move pixels: mirror, crop, scale, turn, stretch, shear, lens (lecture 7, "Data Augmentation").

Coordinates are those of `warp.py`: from the centre of the image, in pixels.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import random
from lec7.augment.operation import Operation, Span, between, integer, uniform
from lec7.augment.warp import Affine, Bend, Frame, Points
from lec7.errors import InputError
from lec7.ranges import FRACTION, FROM_ONE, NOT_NEGATIVE, POSITIVE, Range, check
from lec7.typing import Scalar, is_traced

Size = int | tuple[int, int]
"""Height and width in pixels, or one number for both."""


def mirror(probability: Scalar = 0.5, vertical: bool = False) -> Operation:
    """Left and right changed places, or top and bottom.

    Source: lecture 7, "Horizontal Flips".

    Args:
        probability: chance to mirror; may be traced.
        vertical: top and bottom.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> augment.pipeline(augment.mirror(1.0))(jax.random.key(0), jnp.array([[[1], [2]]], jnp.uint8)).ravel().tolist()
    [2, 1]
    """
    check("probability", probability, FRACTION, "the chance to mirror")

    def draw(key, frame):
        coin = jax.random.bernoulli(random.stream(key, "sign"), probability)
        return {"sign": jnp.where(coin, -1.0, 1.0)}

    def leg(drawn, frame):
        return Affine(yy=drawn["sign"]) if vertical else Affine(xx=drawn["sign"])

    return Operation("mirror", draw, leg, still={"sign": jnp.float32(1)}, whole_pixels=True)


def center_crop(size: Size) -> Operation:
    """The middle of an image.

    Args:
        size: of the crop; must be no larger than the image.

    Where as much is left over on either side as can be, the odd pixel is left over at the end.
    """
    new = _frame("size", size)

    def leg(drawn, frame):
        _check_fits("center_crop", new, frame)

        def offset(n, old):
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
        InputError: when used, an image that is smaller.
    """
    new = _frame("size", size)
    if isinstance(pad, bool) or not isinstance(pad, int) or pad < 0:
        raise InputError(f"pad is {pad!r}, expected the number of pixels around the image: an int of at least 0")

    def room(frame):
        return [jnp.asarray(old) + 2 * pad - n for n, old in zip(new, frame, strict=True)]

    def draw(key, frame):
        _check_fits("random_crop", new, frame, pad)
        down, across = room(frame)
        return {"top": integer(key, "top", 0, down), "left": integer(key, "left", 0, across)}

    def leg(drawn, frame):
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
    """
    new = _frame("size", size)
    _check_pair("scale", scale)
    _check_pair("ratio", ratio)
    if scale[1] > 1:
        raise InputError(f"scale is {scale!r}, expected parts of the image's area, at most 1")
    log_ratio = math.log(ratio[0]), math.log(ratio[1])

    def draw(key, frame):
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

    def leg(drawn, frame):
        def along(start, part, n, old):
            return part / n, start + part / 2 - jnp.asarray(old) / 2

        yy, y0 = along(drawn["top"], drawn["height"], new.height, frame.height)
        xx, x0 = along(drawn["left"], drawn["width"], new.width, frame.width)
        return Affine(yy=yy, y0=y0, xx=xx, x0=x0)

    def shrinks(frame):
        return float(max(old / n for old, n in zip(_known("random_resized_crop", frame), new, strict=True)))

    return Operation("random_resized_crop", draw, leg, frame=lambda drawn, frame: new, shrinks=shrinks)


def scale_jitter(short_side: tuple[int, int]) -> Operation:
    """The whole image resized, so that its shorter side has a random length; a crop has to follow.

    One that is larger shows what lies beyond the image, see the pipeline's `edge`.

    Source: lecture 7, "pick random L in range [256, 480]; resize training image, short side = L".

    Args:
        short_side: the least and the most pixels, each with the same chance.
    """
    _check_pair("short_side", short_side)
    low, high = short_side

    def draw(key, frame):
        return {"short_side": integer(key, "short_side", low, high)}

    def resized(drawn, frame):
        height, width = (jnp.asarray(old, jnp.float32) for old in frame)
        factor = drawn["short_side"] / jnp.minimum(height, width)
        return Frame(jnp.round(height * factor), jnp.round(width * factor))

    def shrinks(frame):
        return float(min(_known("scale_jitter", frame))) / low

    return Operation("scale_jitter", draw, lambda d, f: _resized(f, resized(d, f)), frame=resized, shrinks=shrinks)


def resize(size: Size) -> Operation:
    """The whole image in another size; of one number the shorter side.

    Args:
        size: the shorter side, or height and width.
    """
    pair = _frame("size", size)

    def resized(drawn, frame):
        if isinstance(size, tuple):
            return pair
        height, width = _known("resize", frame)
        short = min(height, width)
        return Frame(round(height * size / short), round(width * size / short))

    def shrinks(frame):
        new = resized({}, frame)
        return max(old / n for old, n in zip(_known("resize", frame), _known("resize", new), strict=True))

    return Operation(
        "resize", lambda key, frame: {}, lambda d, f: _resized(f, resized(d, f)), frame=resized, shrinks=shrinks
    )


def translate(limit: Span = 0.1) -> Operation:
    """Moved, by up to a part of its height down or up and of its width to the right or left.

    Args:
        limit: the largest part, or (low, high) of both.
    """
    low, high = between("limit", limit, "how far to move, as a part of the size")
    for end in (low, high):
        check("limit", end, _PART, "how far to move, as a part of the size, and not in pixels")

    def draw(key, frame):
        return {"down": uniform(key, "down", low, high), "right": uniform(key, "right", low, high)}

    def leg(drawn, frame):
        return Affine(y0=-drawn["down"] * frame.height, x0=-drawn["right"] * frame.width)

    return Operation("translate", draw, leg, still=_still("down", "right"))


def rotate(degrees: Span = 15.0) -> Operation:
    """Turned about its centre, counterclockwise.

    Args:
        degrees: the largest angle, or (low, high).
    """
    low, high = between("degrees", degrees, "how far to turn")

    def draw(key, frame):
        return {"degrees": uniform(key, "degrees", low, high)}

    def leg(drawn, frame):
        angle = drawn["degrees"] * (math.pi / 180)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return Affine(yy=c, yx=s, xy=-s, xx=c)

    return Operation("rotate", draw, leg, still=_still("degrees"))


def stretch(factor: Scalar = 1.25) -> Operation:
    """Made taller or flatter and wider or narrower, each by a factor whose logarithm is uniform.

    Args:
        factor: the largest; the smallest is its reciprocal. At least 1; may be traced, but then what shrinks is not
            kept from false patterns.
    """
    check("factor", factor, FROM_ONE, "by how much to stretch at most")
    limit = jnp.log(factor) if is_traced(factor) else math.log(factor)
    most = 1.0 if is_traced(factor) else float(factor)

    def draw(key, frame):
        return {name: jnp.exp(uniform(key, name, -limit, limit)) for name in ("tall", "wide")}

    def leg(drawn, frame):
        return Affine(yy=1 / drawn["tall"], xx=1 / drawn["wide"])

    return Operation("stretch", draw, leg, still=_still("tall", "wide", value=1.0), shrinks=lambda frame: most)


def shear(limit: Span = 0.2) -> Operation:
    """Slanted along both axes: a point moves to the right by a part of its height below the centre, and likewise down.

    Args:
        limit: the largest part, or (low, high), within (-1, 1), where the image doesn't fold.
    """
    low, high = between("limit", limit, "how far to slant, as the tangent of the angle")
    for end in (low, high):
        check("limit", end, _SLANT, "how far to slant, as the tangent of the angle")

    def draw(key, frame):
        return {"along_x": uniform(key, "along_x", low, high), "along_y": uniform(key, "along_y", low, high)}

    def leg(drawn, frame):
        return Affine(yx=-drawn["along_y"], xy=-drawn["along_x"])

    return Operation("shear", draw, leg, still=_still("along_x", "along_y"))


def lens(strength: Span = 0.2) -> Operation:
    """Distorted as by a lens: a point at radius r shows what was at `r (1 + strength r^2)`.

    The corners have radius 1. More than 0 is a barrel, less a pincushion.

    Source: lecture 7, "lens distortions"; Brown, "Decentering Distortion of Lenses", 1966, first radial term.

    Args:
        strength: the largest, or (low, high), within (-1/3, 1), where each point shows another.
    """
    low, high = between("strength", strength, "how strong the lens is at the corners")
    check("strength", low, _LENS, "how strong the lens is at the corners")
    check("strength", high, _LENS, "how strong the lens is at the corners")

    def draw(key, frame):
        return {"strength": uniform(key, "strength", low, high)}

    def leg(drawn, frame):
        k = drawn["strength"] * 4 / (jnp.asarray(frame.height) ** 2 + jnp.asarray(frame.width) ** 2)

        def back(points: Points) -> Points:
            y, x = points
            grown = 1 + k * (y * y + x * x)
            return y * grown, x * grown

        def forth(points: Points) -> Points:
            # Newton's method for the radius: s (1 + k s^2 r^2) = 1, where s is the new radius by the old one.
            # What a pincushion doesn't show has no solution; of the last that has one, s is 3/2: it stays outside.
            y, x = points
            squared = jnp.maximum(k * (y * y + x * x), -4 / 27)
            s = jnp.ones_like(squared)
            for _ in range(12):
                s -= (s * (1 + squared * s * s) - 1) / (1 + 3 * squared * s * s)
            return y * s, x * s

        return Bend(back, forth)

    drawn_in = 1.0 if is_traced(high) else 1 + max(float(high), 0.0)  # the corners
    return Operation("lens", draw, leg, still=_still("strength"), shrinks=lambda frame: drawn_in)


def elastic(std: Scalar = 4.0, spacing: float = 32.0) -> Operation:
    """Bent as rubber is: each point shows what was a random way off, which changes smoothly from point to point.

    The ways are a cubic spline over the knots of a grid, whose coefficients are normal.

    Put it behind what turns or slants the image: of the rows and columns of the new image it is fifty times as fast.

    Source: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks", 2003; the grid is that of
    Ronneberger et al., "U-Net", 2015.

    Args:
        std: of the ways along each axis, over all points, in pixels; may be traced. Above a quarter of `spacing` the
            image may fold.
        spacing: of the knots, in pixels.
    """
    check("std", std, NOT_NEGATIVE, "the standard deviation of the ways, in pixels")
    check("spacing", spacing, POSITIVE, "how far apart the knots are, in pixels")

    def draw(key, frame):
        height, width = _known("elastic", frame)
        # Knots beyond the corners as well, for points that other maps have moved there.
        rows, columns = (math.ceil(n / spacing) + 4 for n in (height, width))
        ways = jax.random.normal(random.stream(key, "ways"), (2, rows, columns), jnp.float32)
        return {"ways": jnp.asarray(std, jnp.float32) / _SPLINE_SQUARED * ways}

    def leg(drawn, frame):
        ways = drawn["ways"]

        def field(points: Points) -> Points:
            on_a_grid = jnp.ndim(points[0]) == 2 and jnp.shape(points[0])[-1] == jnp.shape(points[1])[0] == 1
            y, x = points if on_a_grid else jnp.broadcast_arrays(*points)
            rows, columns = (_spline(p.ravel() / spacing, n) for p, n in zip((y, x), ways.shape[1:], strict=True))
            if on_a_grid:
                down, right = jnp.einsum("yi,kij,xj->kyx", rows, ways, columns, precision="highest")
                return down, right
            down, right = jnp.einsum("pi,kij,pj->kp", rows, ways, columns, precision="highest")
            return down.reshape(y.shape), right.reshape(x.shape)

        def back(points: Points) -> Points:
            down, right = field(points)
            return points[0] + down, points[1] + right

        def forth(points: Points) -> Points:
            def closer(_, guess):
                down, right = field(guess)
                return points[0] - down, points[1] - right

            return lax.fori_loop(0, 60, closer, points)

        return Bend(back, forth)

    return Operation("elastic", draw, leg, still=_still("ways"))


def _spline(p: jax.Array, knots: int) -> jax.Array:
    """The cubic B-spline of each of so many knots, 1 apart and centred on 0, at places [n]: [n, knots]."""
    d = jnp.abs(p[:, None] - (jnp.arange(knots) - (knots - 1) / 2)[None, :])
    return jnp.where(d < 1, 2 / 3 - d * d * (1 - d / 2), jnp.where(d < 2, (2 - d) ** 3 / 6, 0))


_SPLINE_SQUARED = 151 / 315
"""The cubic B-spline squared, summed over the knots and averaged over places: the variance along one axis."""

_PART = Range("a number in [-1, 1]", lambda x: -1 <= x <= 1)
_SLANT = Range("a number in (-1, 1)", lambda x: -1 < x < 1)
_LENS = Range("a number more than -1/3 and at most 1", lambda x: -1 / 3 < x <= 1)


def _frame(name: str, size: Size) -> Frame:
    pair = size if isinstance(size, tuple) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in pair):
        raise InputError(f"{name} is {size!r}, expected pixels: an int of at least 1, or (height, width)")
    return Frame(*pair)


def _check_pair(name: str, pair: tuple[float, float]) -> None:
    if not (isinstance(pair, tuple) and len(pair) == 2 and 0 < pair[0] <= pair[1] < math.inf):
        raise InputError(f"{name} is {pair!r}, expected (least, most) with 0 < least <= most")


def _known(name: str, frame: Frame) -> tuple[int, int]:
    height, width = frame
    if not isinstance(height, int) or not isinstance(width, int):
        raise InputError(
            f"{name} needs to know the image's size, which an operation ahead of it draws; put {name} first"
        )
    return height, width


def _check_fits(name: str, new: Frame, old: Frame, pad: int = 0) -> None:
    if old.is_known and any(n > m + 2 * pad for n, m in zip(new, old, strict=True)):
        more = f" and {pad} pixels around them" if pad else ""
        raise InputError(
            f"{name} takes {new.height} x {new.width} pixels of images of {old.height} x {old.width}{more}; "
            "resize them first, or take less"
        )


def _resized(old: Frame, new: Frame) -> Affine:
    return Affine(yy=jnp.asarray(old.height) / new.height, xx=jnp.asarray(old.width) / new.width)


def _still(*names: str, value: float = 0.0) -> dict[str, jax.Array]:
    return {name: jnp.float32(value) for name in names}
