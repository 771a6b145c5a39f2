"""How one library lays out a weight, and how another does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Layout(NamedTuple):
    """A change of layout: what a report calls it, and a function of an array, which gives one or a list of several."""

    name: str
    change: Callable[[np.ndarray], Any]


AS_IS = Layout("", lambda x: x)
"""The array as it is."""

CONVOLUTION = Layout("OIHW to HWIO", lambda x: x.transpose(2, 3, 1, 0))
"""PyTorch's kernel [out, in, rows, columns] to Flax's [rows, columns, in, out]; a depthwise one has 1 for `in`."""

DEPTHWISE = Layout("HWIM to HW1O", lambda x: x.reshape(*x.shape[:2], 1, -1))
"""TensorFlow's depthwise kernel [rows, columns, in, multiplier] to Flax's [rows, columns, 1, in * multiplier]."""

LINEAR = Layout("transposed", lambda x: x.transpose(1, 0))
"""PyTorch's weights [out, in] to Flax's [in, out]."""


def split(parts: int, layout: Layout = AS_IS) -> Layout:
    """Weights that lie one behind the other along the first axis, each laid out anew: query, key and value in one.

    >>> split(3, LINEAR).change(np.zeros((12, 4)))[0].shape
    (4, 4)
    """
    name = f"split in {parts}" + (f", {layout.name}" if layout.name else "")
    return Layout(name, lambda x: [layout.change(part) for part in np.split(x, parts)])
