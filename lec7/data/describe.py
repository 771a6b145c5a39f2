"""A data set in a few words, by which another is known as another."""

import zlib

import numpy as np

from lec7.data.source import Source

LOOKED_AT = 32
"""Examples that the checksum is of, evenly spread."""


def describe(source: Source) -> str:
    """How many examples there are, what each one has, and a checksum.

    The checksum is of some examples, so that it costs little where they are read from the host, and of their whole
    numbers (labels, pixels as bytes) alone: floats, such as features of a network, differ by rounding from device to
    device.

    Args:
        source: the examples.

    >>> from lec7 import data
    >>> describe(data.ArraySource({"image": np.zeros((100, 8, 8, 1), np.float32), "label": np.arange(100) % 10}))
    '100 examples of image float32[8, 8, 1], label int32[]; checksum a910f053'
    """
    rows = np.unique(np.linspace(0, len(source) - 1, LOOKED_AT).astype(int))
    arrays = {name: np.asarray(values) for name, values in source[rows].items()}
    checksum = 0
    for name, values in sorted(arrays.items()):
        if values.dtype.kind in "iub":
            checksum = zlib.crc32(f"{name} {values.dtype}".encode() + values.tobytes(), checksum)
    each = ", ".join(f"{name} {values.dtype}{list(values.shape[1:])}" for name, values in arrays.items())
    return f"{len(source):,} examples of {each}; checksum {checksum:08x}"
