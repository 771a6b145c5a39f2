"""Augmentations that bend an image: lenses and rubber (lecture 7, "Data Augmentation").

Coordinates are those of `warp.py`: from the centre of the image, in pixels.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import random
from lec7.augment.operation import Drawn, Operation, Span, between, known_size, still, uniform
from lec7.augment.warp import Bend, Frame, Points
from lec7.ranges import NOT_NEGATIVE, POSITIVE, Range, check
from lec7.typing import Key, Scalar, is_traced

_SPLINE_SQUARED = 151 / 315
"""The cubic B-spline squared, summed over the knots and averaged over places: the variance along one axis."""

_LENS = Range("a number more than -1/3 and at most 1", lambda x: -1 / 3 < x <= 1)


def lens(strength: Span = 0.2) -> Operation:
    """Distorted as by a lens: a point at radius r shows what was at `r (1 + strength r^2)`.

    The corners have radius 1. More than 0 is a barrel, less a pincushion.

    Source: lecture 7, "lens distortions"; Brown, "Decentering Distortion of Lenses", 1966, first radial term.

    Args:
        strength: the largest, or (low, high), within (-1/3, 1), where each point shows another.

    Raises:
        InputError: the range is none, or beyond (-1/3, 1).

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.zeros((8, 8, 1))
    >>> jax.eval_shape(augment.pipeline(augment.lens(0.2)), jax.random.key(0), image).shape
    (8, 8, 1)
    """
    low, high = between("strength", strength, "how strong the lens is at the corners", _LENS)

    def draw(key: Key, frame: Frame) -> Drawn:
        return {"strength": uniform(key, "strength", low, high)}

    def leg(drawn: Drawn, frame: Frame) -> Bend:
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
    return Operation("lens", draw, leg, still=still("strength"), shrinks=lambda frame: drawn_in)


def elastic(std: Scalar = 4.0, spacing: float = 32.0) -> Operation:
    """Bent as rubber is: each point shows what was a random way off, which changes smoothly from point to point.

    The ways are a cubic spline over the knots of a grid, whose coefficients are normal.

    Put it behind what turns or slants the image: on the new image's own rows and columns it is fifty times as fast.

    Source: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks", 2003; the grid is that of
    Ronneberger et al., "U-Net", 2015.

    Args:
        std: of the ways along each axis, over all points, in pixels; may be traced. Above a quarter of `spacing` the
            image may fold.
        spacing: of the knots, in pixels.

    Raises:
        InputError: `std` is known and negative or not finite, or `spacing` not more than 0; when used, images whose
            size is not known.

    >>> import jax, jax.numpy as jnp
    >>> from lec7 import augment
    >>> image = jnp.zeros((8, 8, 1))
    >>> jax.eval_shape(augment.pipeline(augment.elastic(1.0, spacing=4.0)), jax.random.key(0), image).shape
    (8, 8, 1)
    """
    check("std", std, NOT_NEGATIVE, "the standard deviation of the ways, in pixels")
    check("spacing", spacing, POSITIVE, "how far apart the knots are, in pixels")

    def draw(key: Key, frame: Frame) -> Drawn:
        height, width = known_size("elastic", frame)
        # Knots beyond the corners as well, for points that other maps have moved there.
        rows, columns = (math.ceil(n / spacing) + 4 for n in (height, width))
        ways = jax.random.normal(random.stream(key, "ways"), (2, rows, columns), jnp.float32)
        return {"ways": jnp.asarray(std, jnp.float32) / _SPLINE_SQUARED * ways}

    def leg(drawn: Drawn, frame: Frame) -> Bend:
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
            def closer(_: jax.Array, guess: Points) -> Points:
                down, right = field(guess)
                return points[0] - down, points[1] - right

            return lax.fori_loop(0, 60, closer, points)

        return Bend(back, forth)

    return Operation("elastic", draw, leg, still=still("ways"))


def _spline(p: jax.Array, knots: int) -> jax.Array:
    """The cubic B-spline of each of so many knots, 1 apart and centred on 0, at places [n]: [n, knots]."""
    d = jnp.abs(p[:, None] - (jnp.arange(knots) - (knots - 1) / 2)[None, :])
    return jnp.where(d < 1, 2 / 3 - d * d * (1 - d / 2), jnp.where(d < 2, (2 - d) ** 3 / 6, 0))
