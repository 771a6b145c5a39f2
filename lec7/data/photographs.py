"""Patches of photographs that ship in wheels: small images like those that networks are pretrained on."""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from lec7.data.source import ArraySource
from lec7.data.wheels import file_of
from lec7.errors import InputError

_FILES = {
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
PHOTOGRAPHS = tuple(_FILES)
"""The names of the photographs, in the order of their labels."""

SIZE = 64
"""Height and width of a patch, in pixels."""
_CELL, _SMALLEST, _LARGEST = 100, 48, 96


class Box(NamedTuple):
    """A part of an image, in pixels; the ends lie outside."""

    left: int
    top: int
    right: int
    bottom: int


def photographs(
    train_per_class: int = 100, test_per_class: int = 100, seed: int = 0
) -> tuple[ArraySource, ArraySource]:
    """Patches of ten photographs, each to be told which photograph it is of; needs the extra `photographs`.

    A photograph is cut into cells of at least 100 pixels, like a chessboard: patches to train on lie within its white
    fields, patches to test with within its black ones, and no pixel is in both. A patch is a square of 48 to 96 pixels
    anywhere in a field, resized to 64 by Pillow; patches of one field overlap.

    Classes take turns, so that the first 10 n examples have n of each. More examples, or another seed for one of two
    calls, leave the first ones as they are: a patch hangs on the seed, its class and its place alone.

    Args:
        train_per_class: patches of each photograph to train on.
        test_per_class: to test with.
        seed: of the places and the sizes.

    Returns:
        Sources of `image`, uint8 [64, 64, 3] (gray is three equal channels), and `label`, int32, a place in
        `PHOTOGRAPHS`.

    Raises:
        InputError: scikit-image, which most of them ship with, is not installed; or a number is less than 1.

    >>> train, test = photographs(train_per_class=2, test_per_class=1)
    >>> train
    ArraySource(image: uint8[20, 64, 64, 3], label: int32[20])
    >>> [PHOTOGRAPHS[label] for label in test.arrays["label"][:3]]
    ['china', 'flower', 'grace_hopper']
    """
    for name, count in (("train_per_class", train_per_class), ("test_per_class", test_per_class)):
        if count < 1:
            raise InputError(f"{name} is {count}, expected at least 1")
    if seed < 0:
        raise InputError(f"seed is {seed}, expected a whole number from 0 on")
    return _part(0, train_per_class, seed), _part(1, test_per_class, seed)


def cells(height: int, width: int) -> tuple[list[Box], list[Box]]:
    """The white and the black fields of an image; cells have 100 to 200 pixels on a side.

    >>> cells(200, 250)
    ([Box(left=0, top=0, right=125, bottom=100), Box(left=125, top=100, right=250, bottom=200)],
     [Box(left=125, top=0, right=250, bottom=100), Box(left=0, top=100, right=125, bottom=200)])
    """
    rows, columns = (np.linspace(0, n, max(1, n // _CELL) + 1).astype(int).tolist() for n in (height, width))
    fields: tuple[list[Box], list[Box]] = [], []
    for i, j in product(range(len(rows) - 1), range(len(columns) - 1)):
        fields[(i + j) % 2].append(Box(columns[j], rows[i], columns[j + 1], rows[i + 1]))
    return fields


def _part(part: int, per_class: int, seed: int) -> ArraySource:
    patches = [
        _patches(read(name), part, per_class, np.random.default_rng([seed, part, label]))
        for label, name in enumerate(PHOTOGRAPHS)
    ]
    images = np.stack(patches, axis=1).reshape(-1, SIZE, SIZE, 3)
    return ArraySource({"image": images, "label": np.tile(np.arange(len(PHOTOGRAPHS), dtype=np.int32), per_class)})


def _patches(pixels: np.ndarray, part: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Patches [count, 64, 64, 3] of one photograph."""
    from PIL import Image

    fields, photograph = cells(*pixels.shape[:2])[part], Image.fromarray(pixels)
    patches = []
    for _ in range(count):
        field, side = fields[rng.integers(len(fields))], int(rng.integers(_SMALLEST, _LARGEST + 1))
        left, top = rng.integers(field.left, field.right - side + 1), rng.integers(field.top, field.bottom - side + 1)
        # Cut out first: Pillow's resize(box=...) looks beyond the box.
        patch = photograph.crop((int(left), int(top), int(left) + side, int(top) + side))
        patches.append(np.asarray(patch.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    return np.stack(patches)


@cache
def read(name: str) -> np.ndarray:
    """One of the photographs, uint8 [height, width, 3]; its file is opened without importing the package it is of."""
    from PIL import Image

    package, path = _FILES[name]
    file = file_of(package, path, "photographs()", "pip install 'lec7[photographs]'")
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
