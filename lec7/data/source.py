"""What a data source is, and the one that lives on the device."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lec7.data.order import batch_indices
from lec7.errors import InputError, short, why
from lec7.typing import ArrayLike, Batch, Key


class Source(Protocol):
    """Examples with a length and random access."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: ArrayLike | slice) -> Batch: ...


@jax.tree_util.register_pytree_node_class
class ArraySource:
    """A data set held on the device: arrays that agree in their first axis.

    It is a pytree, so that compiled functions take it as an argument, and traced indices gather from it:
    drawing a batch is part of the compiled step, and nothing travels.

    Args:
        arrays: name to array, one row an example; `"image"` and `"label"` in TFDS's convention.

    Raises:
        InputError: there is no array or no row, the numbers of rows differ, or what is given is no numbers.

    >>> source = ArraySource({"image": np.zeros((100, 8, 8, 1)), "label": np.arange(100) % 10})
    >>> len(source), source[np.array([3, 14])]["label"].tolist()
    (100, [3, 4])
    """

    def __init__(self, arrays: Mapping[str, ArrayLike]):
        if not isinstance(arrays, Mapping):
            raise InputError(
                f"the arrays are {short(arrays)}, expected them by name, such as {{'image': x, 'label': y}}"
            )
        lengths = {name: np.shape(array)[0] if np.ndim(array) else 0 for name, array in arrays.items()}
        if len(set(lengths.values())) != 1 or not all(lengths.values()):
            raise InputError(f"expected arrays with one row an example and equally many rows, got rows {lengths}")
        # Also inside a trace these are arrays and no tracers, so that a source may be cached.
        with jax.ensure_compile_time_eval():
            self.arrays = {name: _on_device(name, array) for name, array in arrays.items()}

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, indices: ArrayLike | slice) -> Batch:
        if isinstance(indices, np.ndarray | jax.Array) and indices.dtype != bool:
            return _gather(self.arrays, indices)
        return {name: array[indices] for name, array in self.arrays.items()}

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in self.arrays.items())
        return f"ArraySource({shapes})"

    def tree_flatten(self) -> tuple[tuple[jax.Array, ...], tuple[str, ...]]:
        """The arrays, and their names."""
        return tuple(self.arrays.values()), tuple(self.arrays)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], arrays: Any) -> "ArraySource":
        """The source of these arrays, as they are."""
        source = object.__new__(cls)
        source.arrays = dict(zip(names, arrays, strict=True))
        return source


def _on_device(name: str, array: ArrayLike) -> jax.Array:
    try:
        return jnp.asarray(array)
    except TypeError as error:
        raise InputError(f"{name!r} is {short(array)}, expected numbers: {why(error)}") from error


@partial(jax.jit, inline=True)
def _gather(arrays: Batch, indices: ArrayLike) -> Batch:
    """Rows of each array: one program, where JAX makes several for an array that is indexed outside of one."""
    return {name: array[indices] for name, array in arrays.items()}


def batch(key: Key, source: Source, step: ArrayLike, batch_size: int) -> Batch:
    """The batch of a step: a pure function of (key, step), traceable where the source is.

    Args:
        key: base key of the order.
        source: the examples.
        step: counted from 0.
        batch_size: number of examples.

    Returns:
        Arrays [batch_size, ...] by name.

    Raises:
        InputError: the batch is larger than the data set.

    >>> source = ArraySource({"label": jnp.arange(6)})
    >>> batch(jax.random.key(0), source, 0, 2)["label"].shape
    (2,)
    """
    return source[batch_indices(key, step, len(source), batch_size)]
