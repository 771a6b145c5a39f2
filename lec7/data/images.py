"""Images in folders, decoded when they are asked for."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lec7.data.folder import find_images, read_image
from lec7.data.host import HostSource


class Images(HostSource):
    """Images in folders, a folder a class; `data.images` finds them.

    Attributes:
        paths: of the images, in order.
        labels: int32 [n], the place of each one's class in `classes`.
        classes: names of the folders, in order.
        others: files that are no images.
        side: height and width of what comes out, in pixels.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: np.ndarray,
        classes: Sequence[str],
        others: Sequence[Path],
        side: int,
    ):
        self.paths, self.labels, self.classes, self.others = tuple(paths), labels, tuple(classes), tuple(others)
        self.side = side

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Images({len(self)} images of {len(self.classes)} classes, side={self.side})"

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `rows`: `image`, uint8 [n, side, side, 3], and `label`, int32 [n]."""
        pixels = np.empty((len(rows), self.side, self.side, 3), np.uint8)
        for place, row in enumerate(rows.tolist()):
            pixels[place] = read_image(self.paths[row], self.side)
        return {"image": pixels, "label": self.labels[rows]}


def images(folder: str | os.PathLike[str], side: int = 256, *, classes: Sequence[str] | None = None) -> Images:
    """A folder as `data.image_folder` takes it, whose images are decoded when they are asked for.

    Args:
        folder: has a folder of images for each class; folders in folders are read as well.
        side: height and width of what comes out, in pixels: of each image the middle square, resized by Pillow.
        classes: the names to look for, of another folder; by default those that there are.

    Returns:
        A source on the host of `image`, uint8 [side, side, 3], and `label`, int32. Asked for an image that can't be
        decoded, it raises an `InputError` that names the file.

    Raises:
        InputError: there is no such folder; there are fewer than two classes, or one without images; it has a class
            that is not in `classes`.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("RGB", (6, 4)).save(folder / name / "1.png")
    >>> images(folder, side=4)[np.array([1])]["image"].shape
    (1, 4, 4, 3)
    """
    names, found, others = find_images(Path(folder), classes)
    paths, labels = zip(*found, strict=True)
    return Images(paths, np.asarray(labels, np.int32), names, others, side)
