"""Images in folders, a folder a class."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lec7.data.source import ArraySource
from lec7.errors import InputError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Of the files that are read; others are told, and left out."""


class ImageFolder(NamedTuple):
    """The images of a folder.

    Attributes:
        source: `image`, uint8 [n, side, side, 3], and `label`, int32 [n], the place of its class in `classes`.
        classes: names of the folders, in order.
        paths: of the images, in the source's order.
        broken: images that can't be read, with the reason.
        others: files that are no images.
    """

    source: ArraySource
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    broken: tuple[tuple[Path, str], ...]
    others: tuple[Path, ...]


def image_folder(
    folder: str | os.PathLike[str],
    side: int = 256,
    *,
    classes: Sequence[str] | None = None,
    most_broken: float = 0.1,
) -> ImageFolder:
    """Reads a folder that has one of images for each class, `FOLDER/cat/1.jpg`.

    Of each image the middle square is taken, and resized by Pillow to `side`; gray becomes colour, 16 bits become 8,
    and cameras' notes on which side is up are followed.

    Args:
        folder: where they are; folders in folders are read as well.
        side: height and width of what comes out, in pixels.
        classes: the names to look for, of another folder; by default those that there are.
        most_broken: the share of images that may be broken; they are left out and told.

    Returns:
        The source of `image`, uint8 [side, side, 3], and `label`, int32, on the device; and what was read and what was
        not.

    Raises:
        InputError: there is no such folder; there are fewer than two classes, or one without images; it has a class
            that is not in `classes`; more images are broken than may be, or all of a class.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir()
    ...     Image.new("RGB", (6, 4)).save(folder / name / "1.png")
    >>> found = image_folder(folder, side=4)
    >>> found.source, found.classes
    (ArraySource(image: uint8[2, 4, 4, 3], label: int32[2]), ('cat', 'dog'))
    """
    root = Path(folder)
    names, images, others = find_images(root, classes)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = list(pool.map(lambda image: _read(image[0], side), images))
    broken = tuple((path, value) for (path, _), value in zip(images, read, strict=True) if isinstance(value, str))
    if len(broken) > most_broken * len(images):
        path, reason = broken[0]
        raise InputError(
            f"{len(broken)} of {len(images)} images in {root} are broken, such as {path} ({reason}); expected at most "
            f"{most_broken:.0%}: remove them, or allow more"
        )
    whole = [
        (path, label, value) for (path, label), value in zip(images, read, strict=True) if not isinstance(value, str)
    ]
    _check_counts(root, names, Counter(label for _, label, _ in whole), "has broken images alone", classes is None)
    paths, labels, pixels = zip(*whole, strict=True)
    source = ArraySource({"image": np.stack(pixels), "label": np.asarray(labels, np.int32)})
    return ImageFolder(source, tuple(names), tuple(paths), broken, others)


def find_images(
    root: Path, classes: Sequence[str] | None = None
) -> tuple[list[str], list[tuple[Path, int]], tuple[Path, ...]]:
    """The classes, the images with the place of their class, and the files that are none; raises as `image_folder`."""
    names = _classes(root) if classes is None else list(classes)
    if unknown := sorted(set(_classes(root)) - set(names)):
        raise InputError(f"{root} has a folder {unknown[0]!r}, and the classes are {', '.join(names)}")
    files = [(path, label) for label, name in enumerate(names) for path in _files(root / name)]
    images = [(path, label) for path, label in files if path.suffix.lower() in SUFFIXES]
    others = tuple(path for path, _ in files if path.suffix.lower() not in SUFFIXES)
    _check_counts(root, names, Counter(label for _, label in images), "has no images", whole=classes is None)
    return names, images, others


def read_image(path: str | os.PathLike[str], side: int) -> np.ndarray:
    """The middle square of an image, uint8 [side, side, 3].

    Args:
        path: of a file that Pillow reads.
        side: height and width of what comes out, in pixels.

    Raises:
        InputError: it can't be read.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> path = pathlib.Path(tempfile.mkdtemp(), "wide.png")
    >>> Image.new("RGB", (6, 4)).save(path)
    >>> read_image(path, 2).shape
    (2, 2, 3)
    """
    found = _read(Path(path), side)
    if isinstance(found, str):
        raise InputError(f"{path} can't be read: {found}")
    return found


def _classes(root: Path) -> list[str]:
    if not root.is_dir():
        raise InputError(f"no folder {root}; expected one with a folder of images for each class")
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    inside = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in inside if not path.name.startswith("."))


def _check_counts(root: Path, names: list[str], counts: Counter[int], what: str, whole: bool) -> None:
    """Refuses a folder that is no classification problem; a second one (`whole` is false) may lack classes."""
    if whole and len(names) < 2:
        has = f"one class, {names[0]!r}" if names else "no folders in it"
        raise InputError(f"{root} has {has}; expected a folder of images for each class, two at least")
    for label, name in enumerate(names):
        if not counts[label] and (whole or not counts):
            raise InputError(f"{root / name} {what}; expected files that end in {', '.join(sorted(SUFFIXES))}")


def _read(path: Path, side: int) -> np.ndarray | str:
    """The image's middle square; or why it can't be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):  # 16 bits a pixel, of which the upper 8 are kept
                deep = np.asarray(image, np.float64)
                image = Image.fromarray((deep / (257 if deep.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
            edge = min(image.size)
            left, top = (image.width - edge) // 2, (image.height - edge) // 2
            square = image.crop((left, top, left + edge, top + edge)).convert("RGB")
            return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))
    except Exception as error:  # Pillow's readers raise many kinds, all for what is in the file
        return f"{type(error).__name__}: {error}".splitlines()[0]
