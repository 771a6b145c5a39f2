"""Images at points between their pixels."""

import functools
from collections.abc import Iterable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from lec7.augment.warp import Affine, Frame, Points, Warp, back, grid, shrinking
from lec7.errors import InputError, nearest

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Edge = Literal["constant", "edge", "reflect"]


def check_ways(interpolation: str, edge: str) -> None:
    """Refuses a way of interpolation, or of what lies beyond an image, that there is not."""
    for name, given, known in (("interpolation", interpolation, Interpolation), ("edge", edge, Edge)):
        if given not in get_args(known):
            raise InputError(
                f"{name} is {given!r}{nearest(str(given), get_args(known))}; "
                f"expected one of {', '.join(map(repr, get_args(known)))}"
            )


def resample(
    image: jax.Array,
    warp: Warp,
    frame: Frame,
    interpolation: Interpolation = "bilinear",
    edge: Edge = "constant",
    fill: float | jax.Array = 0.0,
    parts: int = 1,
) -> jax.Array:
    """The image that a warp makes, by one pass over its pixels.

    Args:
        image: [height, width, channels], of any dtype.
        warp: where its pixels come from.
        frame: the new image's size.
        interpolation: `"nearest"`, `"bilinear"`, or `"bicubic"` (Keys, a = -0.75, as in PyTorch and OpenCV).
        edge: what lies beyond the image: `"constant"` for `fill`, `"edge"` for its outermost pixels, `"reflect"` for
            its mirror image (NumPy's `"reflect"`, SciPy's `"mirror"`).
        fill: the value beyond the image, in its units; a number, or one for each channel.
        parts: a new pixel is the mean of `parts * parts` points, so that an image that shrinks has no false patterns.
            They lie all over the pixel where things become two thirds as large or less, and the closer to its centre
            the less they shrink, so that an image that doesn't is not blurred.

    Returns:
        [*frame, channels]; floats but for `"nearest"`, which keeps the dtype.
    """
    parts = 1 if interpolation == "nearest" else parts
    spread = jnp.clip(2 * (shrinking(warp) - 1), 0, 1) if parts > 1 else 1.0
    y, x = back(warp, grid(frame, parts, spread))
    height, width, channels = image.shape
    pixels = at(image, (y + (height - 1) / 2, x + (width - 1) / 2), interpolation, edge, fill)
    if parts == 1:
        return pixels
    pixels = pixels.reshape(frame.height, parts, frame.width, parts, channels)
    return jnp.where(spread > 0, pixels.mean((1, 3)), pixels[:, 0, :, 0])


def at(
    image: jax.Array, points: Points, interpolation: Interpolation, edge: Edge, fill: float | jax.Array = 0.0
) -> jax.Array:
    """An image's values at points, in pixels from the centre of its first: [*shape of the points, channels].

    The pixels around a point are gathered one by one, in one loop with all that follows; XLA takes ten times as long
    for them as one gather, because it writes them all down first.
    """
    height, width, channels = image.shape
    rows, columns = _taps(points[0], height, interpolation, edge), _taps(points[1], width, interpolation, edge)
    flat = image.reshape(height * width, channels)

    def pixel(row: jax.Array, column: jax.Array) -> jax.Array:
        return flat.at[row * width + column].get(mode="promise_in_bounds")

    if interpolation == "nearest":
        ((row, inside_y),), ((column, inside_x),) = rows, columns
        pixels = pixel(row, column)
        if edge != "constant":
            return pixels
        fill = jnp.broadcast_to(jnp.asarray(fill, image.dtype), pixels.shape)
        return jnp.where(((inside_y > 0) & (inside_x > 0))[..., None], pixels, fill)
    total = _sum(
        of_row[..., None] * _sum(of_column[..., None] * pixel(row, column) for column, of_column in columns)
        for row, of_row in rows
    )
    if edge != "constant":
        return total
    covered = _sum(of_row for _, of_row in rows) * _sum(of_column for _, of_column in columns)
    return total + (1 - covered)[..., None] * jnp.broadcast_to(jnp.asarray(fill, float), total.shape)


def _sum(terms: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, terms)


def _taps(p: jax.Array, size: int, interpolation: Interpolation, edge: Edge) -> list[tuple[jax.Array, jax.Array]]:
    """Along one axis: the pixels around a place, and how much each counts; beyond the image 0 of a constant."""
    if edge == "reflect":
        p = _reflected(p, size)
    if interpolation == "nearest":
        offsets, first = [(0, jnp.ones_like(p))], jnp.floor(p + 0.5)
    else:
        first = jnp.floor(p)
        t = p - first
        offsets = [(0, 1 - t), (1, t)] if interpolation == "bilinear" else _cubic(t)

    def tap(offset: int, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        place = first + offset
        inside = jnp.clip(place, 0, size - 1)
        if edge == "constant":
            weight = jnp.where(place == inside, weight, 0)
        elif edge == "reflect":
            inside = _reflected(place, size)
        return inside.astype(jnp.int32), weight

    return [tap(offset, weight) for offset, weight in offsets]


def _cubic(t: jax.Array, a: float = -0.75) -> list[tuple[int, jax.Array]]:
    """Weights of the four pixels around a place, which lies `t` beyond the second (Keys, 1981)."""

    def near(d: jax.Array) -> jax.Array:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: jax.Array) -> jax.Array:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [(-1, far(t + 1)), (0, near(t)), (1, near(1 - t)), (2, far(2 - t))]


def _reflected(p: jax.Array, size: int) -> jax.Array:
    """Into [0, size - 1], mirrored at the outermost pixels as often as it takes."""
    if size == 1:
        return jnp.zeros_like(p)
    there_and_back = 2 * (size - 1)
    p = jnp.mod(p, there_and_back)
    return jnp.where(p > size - 1, there_and_back - p, p)


def cut(image: jax.Array, affine: Affine, frame: Frame, pad: int, edge: Edge, fill: float | jax.Array) -> jax.Array:
    """The image that a map makes which moves whole pixels and mirrors, at the price of a copy.

    `pad` is how far beyond the image it may reach.
    """
    if pad:
        widths = ((pad, pad), (pad, pad), (0, 0))
        if edge == "constant":
            filled = jnp.broadcast_to(jnp.asarray(fill, image.dtype), (1, 1, image.shape[2]))
            inside = jnp.pad(jnp.ones(image.shape[:2], bool), widths[:2])[..., None]
            image = jnp.where(inside, jnp.pad(image, widths), filled)
        else:
            image = jnp.pad(image, widths, mode=edge)
    height, width, channels = image.shape
    assert isinstance(frame.height, int)
    assert isinstance(frame.width, int)
    top = jnp.asarray(affine.y0 + (height - frame.height) / 2)
    left = jnp.asarray(affine.x0 + (width - frame.width) / 2)
    start = [jnp.round(p).astype(jnp.int32) for p in (top, left)]
    image = lax.dynamic_slice(image, [*start, jnp.int32(0)], (frame.height, frame.width, channels))
    image = jnp.where(jnp.asarray(affine.yy) < 0, image[::-1], image)
    return jnp.where(jnp.asarray(affine.xx) < 0, image[:, ::-1], image)
