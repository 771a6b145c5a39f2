"""What sources on the host have in common: they give NumPy arrays, and are read where they are asked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lec7.errors import InputError, short
from lec7.typing import ArrayLike


class HostSource(ABC):
    """A source on the host: it gives a dict of NumPy arrays, pickles, and opens its files when they are first read."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `rows`, whole numbers [n] in [0, len(self)), in that order: arrays [n, ...]."""

    def __getitem__(self, indices: ArrayLike | slice) -> Any:
        """The examples at some places: arrays [n, ...] for n of them or a slice, and [...] for a single one.

        Raises:
            IndexError: a place is beyond the end.
        """
        if isinstance(indices, slice):
            return self.read(np.arange(len(self))[indices])
        rows = np.asarray(indices)
        outside = rows[(rows < -len(self)) | (rows >= len(self))]
        if outside.size:
            raise IndexError(f"there is no example {outside.flat[0]}: the source has {len(self)}")
        found = self.read(np.atleast_1d(rows) % len(self))
        return found if rows.ndim else {name: array[0] for name, array in found.items()}


def stack(examples: Sequence[Mapping[str, Any]], of: str) -> dict[str, np.ndarray]:
    """Examples side by side, in arrays as a device takes them: 64-bit numbers become 32-bit ones, as in JAX.

    Args:
        examples: at least one, with the same names.
        of: what they are of, for messages.

    Raises:
        InputError: their names or shapes differ, or one is no array of numbers; a whole number needs more than 32 bits.

    >>> stack([{"x": 1.5, "label": 3}, {"x": 2.5, "label": 4}], "an example")
    {'x': array([1.5, 2.5], dtype=float32), 'label': array([3, 4], dtype=int32)}
    """
    for example in examples:
        if not isinstance(example, Mapping) or example.keys() != examples[0].keys():
            raise InputError(f"{of} is {_outline(example)}, another {_outline(examples[0])}; expected arrays by name")
    return {name: _array([example[name] for example in examples], name, of) for name in examples[0]}


def _array(values: list[Any], name: str, of: str) -> np.ndarray:
    try:
        array = np.stack([np.asarray(value) for value in values])
    except ValueError:
        shapes = sorted({np.shape(value) for value in values if not isinstance(value, Mapping)})
        raise InputError(
            f"{name!r} of {of} has shapes {', '.join(map(str, shapes[:3]))}; expected one shape: bring all to one, "
            "such as by a resize, in what decodes or transforms an example"
        ) from None
    if array.dtype.kind not in "biufV" or array.dtype.names:
        raise InputError(
            f"{name!r} of {of} is {short(values[0])}, expected an array of numbers: leave it out, or make numbers of "
            "it, in what decodes or transforms an example"
        )
    return narrow(array, name, of)


def narrow(array: np.ndarray, name: str, of: str) -> np.ndarray:
    """An array whose 64-bit numbers are 32-bit ones.

    Raises:
        InputError: a whole number needs more.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        return array.astype(np.float32)
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        dtype = np.int32 if array.dtype.kind == "i" else np.uint32
        info = np.iinfo(dtype)
        if array.size and not info.min <= array.min() <= array.max() <= info.max:
            raise InputError(
                f"{name!r} of {of} has {array.max()}, expected whole numbers of 32 bits, as JAX keeps them"
            )
        return array.astype(dtype)
    return array


def _outline(example: Any) -> str:
    return "{" + ", ".join(map(repr, example)) + "}" if isinstance(example, Mapping) else short(example)
