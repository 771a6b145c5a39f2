"""Examples as small pictures, inlined."""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from lec7.data import Source

SIDE = 160
"""Pixels of a picture's longer side, at most; smaller ones stay as they are."""


class Pictures(NamedTuple):
    """PNGs as data URIs, or none and a sentence that says why; the sentence may also say how they were drawn."""

    uris: list[str]
    told: str = ""


def pictures(source: Source, places: np.ndarray) -> Pictures:
    """The images of some examples.

    Bytes, and floats in [0, 1], are shown as they are; floats of another range from the least to the greatest value.

    Args:
        source: of examples, images [height, width] or [height, width, 1, 3 or 4] under `"image"`.
        places: of those wanted, int [n].

    >>> import jax.numpy as jnp
    >>> from lec7.data import ArraySource
    >>> found = pictures(ArraySource({"image": jnp.zeros((5, 8, 8, 1))}), np.array([3, 1]))
    >>> len(found.uris), found.uris[0][:22]
    (2, 'data:image/png;base64,')
    """
    batch = source[np.asarray(places)]
    if "image" not in batch:
        return Pictures([], "The examples have no image, so no pictures are shown.")
    images = np.asarray(batch["image"])
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (3, 4))):
        shape = " x ".join(map(str, images.shape[1:]))
        return Pictures([], f"The examples are arrays of {shape}, and no images, so no pictures are shown.")
    told = ""
    if not np.issubdtype(images.dtype, np.integer):
        images = np.nan_to_num(images.astype(np.float32))
        low, high = float(images.min()), float(images.max())
        if low < 0 or high > 1:
            images = (images - low) / max(high - low, 1e-12)
            told = f"Pixels from {low:.3g} to {high:.3g} are shown from black to white."
        images = np.rint(images * 255)
    return Pictures([_uri(image) for image in np.clip(images, 0, 255).astype(np.uint8)], told)


def _uri(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
