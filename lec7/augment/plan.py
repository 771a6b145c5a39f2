"""What a pipeline does to one image, once it is drawn."""

from typing import Any, NamedTuple

import jax

from lec7.augment.operation import Drawn
from lec7.augment.sample import Edge, Interpolation, cut, resample
from lec7.augment.warp import Affine, Frame, Warp


class Plan(NamedTuple):
    """What is drawn for one image, and where the pixels of the new one come from.

    Attributes:
        drawn: parameters of each operation.
        warp: the maps of coordinates.
        frame: the new image's size.
        whole_pixels: whether pixels stay whole.
        reach: how many pixels beyond the image they come from then.
        parts: how many points along an axis a pixel is the mean of.
    """

    drawn: list[Drawn]
    warp: Warp
    frame: Frame
    whole_pixels: bool
    reach: int
    parts: int

    def follow(self, image: jax.Array, interpolation: Interpolation, edge: Edge, fill: Any) -> jax.Array:
        """The new image, by a copy where pixels stay whole."""
        if self.whole_pixels:
            (affine,) = self.warp
            assert isinstance(affine, Affine)
            return cut(image, affine, self.frame, self.reach, edge, fill)
        return resample(image, self.warp, self.frame, interpolation, edge, fill, self.parts)
