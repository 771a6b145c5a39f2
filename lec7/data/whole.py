"""What a source weighs, and reading it whole."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lec7.data.source import ArraySource, Source

CHUNK = 256
"""Examples that a thread reads at once."""


def nbytes(source: Source) -> int:
    """Bytes of all examples; of a source on the host that of the first one, times the length.

    Args:
        source: the examples.

    >>> nbytes(ArraySource({"image": np.zeros((10, 8, 8, 1), np.uint8), "label": np.zeros(10, np.int32)}))
    680
    """
    if isinstance(source, ArraySource):
        return sum(array.nbytes for array in source.arrays.values())
    return len(source) * sum(np.asarray(array).nbytes for array in source[np.zeros(1, int)].values())


def load(source: Source) -> ArraySource:
    """A source on the host, read whole and put on the device: the way to train fast on what fits there.

    Args:
        source: the examples.

    Raises:
        InputError: what the source raises, such as for an image that can't be decoded.

    >>> class Squares:
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, indices):
    ...         return {"square": indices**2}
    >>> load(Squares())
    ArraySource(square: int32[4])
    """
    if isinstance(source, ArraySource):
        return source
    arrays = {
        name: np.empty((len(source), *np.shape(array)[1:]), np.asarray(array).dtype)
        for name, array in source[np.zeros(1, int)].items()
    }

    def read(start: int) -> None:
        rows = np.arange(start, min(start + CHUNK, len(source)))
        for name, array in source[rows].items():
            arrays[name][rows] = array

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, range(0, len(source), CHUNK)))
    return ArraySource(arrays)
