"""Where the pixels of a new image come from: maps of coordinates, which compose before a pixel is touched."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lec7.typing import Scalar

Points = tuple[jax.Array, jax.Array]
"""y (down) and x (to the right), in pixels from the centre of an image; arrays that broadcast against each other.

Of a grid that is not turned, y is [height, 1] and x [1, width].
"""


class Frame(NamedTuple):
    """The size of an image in pixels: ints, or traced arrays of shape () while each image has its own."""

    height: int | jax.Array
    width: int | jax.Array

    @property
    def is_known(self) -> bool:
        """Whether it is the same for all images of a batch."""
        return isinstance(self.height, int) and isinstance(self.width, int)


class Affine(NamedTuple):
    """From the new image to the old one: `(yy y + yx x + y0, xy y + xx x + x0)`; each number has shape ().

    >>> Affine(x0=3.0).back((jnp.array(1.0), jnp.array(1.0)))[1].tolist()
    4.0
    """

    yy: Scalar = 1.0
    yx: Scalar = 0.0
    y0: Scalar = 0.0
    xy: Scalar = 0.0
    xx: Scalar = 1.0
    x0: Scalar = 0.0

    def back(self, points: Points) -> Points:
        """From points of the new image to points of the old one."""
        y, x = points
        return _sum(self.yy * y, self.yx, x) + self.y0, _sum(self.xx * x, self.xy, y) + self.x0

    def forth(self, points: Points) -> Points:
        """From points of the old image to points of the new one."""
        y, x = points[0] - self.y0, points[1] - self.x0
        area = self.yy * self.xx - self.yx * self.xy
        return _sum(self.xx * y, -self.yx, x) / area, _sum(self.yy * x, -self.xy, y) / area

    def after(self, earlier: "Affine") -> "Affine":
        """One map for two: of the image that was made by an earlier one, to the first."""
        a, b = earlier, self
        y0, x0 = a.back((jnp.asarray(b.y0), jnp.asarray(b.x0)))
        return Affine(
            yy=_product(a.yy, b.yy) + _product(a.yx, b.xy),
            yx=_product(a.yy, b.yx) + _product(a.yx, b.xx),
            y0=y0,
            xy=_product(a.xy, b.yy) + _product(a.xx, b.xy),
            xx=_product(a.xy, b.yx) + _product(a.xx, b.xx),
            x0=x0,
        )


def _is_nothing(factor: Scalar) -> bool:
    return isinstance(factor, float) and factor == 0


def _product(a: Scalar, b: Scalar) -> Scalar:
    """`a * b`; where one is known to be 0, so is the product."""
    return 0.0 if _is_nothing(a) or _is_nothing(b) else a * b


def _sum(a: jax.Array, factor: Scalar, b: jax.Array) -> jax.Array:
    """`a + factor * b`, without the second where the factor is known to be 0, so that rows stay rows."""
    return a if _is_nothing(factor) else a + factor * b


class Bend(NamedTuple):
    """A map that is not affine, there and back."""

    back: Callable[[Points], Points]
    forth: Callable[[Points], Points]


Warp = tuple[Affine | Bend, ...]
"""Maps in the order in which they are done to an image; no two affine ones are neighbours."""


def compose(maps: Sequence[Affine | Bend]) -> Warp:
    """The maps of several operations, with neighbours that are affine made one.

    >>> compose([Affine(x0=1.0), Affine(x0=2.0)])[0].x0.tolist()
    3.0
    """
    legs: list[Affine | Bend] = []
    for leg in maps:
        last = legs[-1] if legs else None
        if isinstance(leg, Affine) and isinstance(last, Affine):
            legs[-1] = leg.after(last)
        else:
            legs.append(leg)
    return tuple(legs)


def back(warp: Warp, points: Points) -> Points:
    """From points of the last image to points of the first."""
    for leg in reversed(warp):
        points = leg.back(points)
    return points


def forth(warp: Warp, points: Points) -> Points:
    """From points of the first image to points of the last."""
    for leg in warp:
        points = leg.forth(points)
    return points


def shrinking(warp: Warp) -> jax.Array:
    """How many times smaller things become at most, of what is affine: 1 of an image that stays as it is."""
    factor = jnp.float32(1)
    for leg in warp:
        if isinstance(leg, Affine):
            factor *= jnp.maximum(jnp.hypot(leg.yy, leg.xy), jnp.hypot(leg.yx, leg.xx))
    return factor


def grid(frame: Frame, parts: int = 1, spread: Scalar = 1.0) -> Points:
    """The centres of an image's pixels; of `parts` times as many along each axis, those of parts of pixels.

    The parts make up a whole pixel at a spread of 1, and are all at its centre at 0.
    """
    height, width = frame
    assert isinstance(height, int)
    assert isinstance(width, int)

    def centres(n: int) -> jax.Array:
        if parts == 1:
            return jnp.arange(n) + (0.5 - n / 2)
        within = spread * ((jnp.arange(parts) + 0.5) / parts - 0.5)
        return (jnp.arange(n)[:, None] + (0.5 - n / 2) + within[None, :]).ravel()

    return centres(height)[:, None], centres(width)[None, :]
