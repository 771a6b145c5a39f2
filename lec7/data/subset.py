"""Some of a source's examples as a source: on the device for one that lies there, on the host for others."""

from dataclasses import replace
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from lec7.data.host import HostSource
from lec7.data.source import ArraySource, Source
from lec7.data.stream import Stream
from lec7.errors import InputError, short
from lec7.typing import ArrayLike, is_traced


class Subset(HostSource):
    """Some examples of a source on the host; `data.take` makes one.

    Attributes:
        source: what they are of.
        indices: their places there, int64 [n].
    """

    def __init__(self, source: Source, indices: np.ndarray):
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {self.source!r})"

    def read(self, rows: np.ndarray) -> dict[str, Any]:
        """The examples at `rows` of these."""
        return {**self.source[self.indices[rows]]}


@overload
def take(source: ArraySource, indices: ArrayLike) -> ArraySource: ...
@overload
def take(source: Source, indices: ArrayLike) -> Source: ...


def take(source: Source, indices: ArrayLike) -> Source:
    """The source of the examples at `indices`, in that order: on the device where the source is, or on the host.

    On the host nothing is read yet; what is taken of a stream is streamed alike.

    Args:
        source: the examples.
        indices: ints [n]; may be traced where the source is on the device.

    Raises:
        InputError: a place is known, and beyond the end of the source.

    >>> take(ArraySource({"label": np.arange(10)}), np.array([3, 1]))[:]["label"].tolist()
    [3, 1]
    """
    if isinstance(source, Stream):
        return replace(source, source=take(source.source, indices))
    if isinstance(source, ArraySource) and is_traced(indices):
        return ArraySource(source[jnp.asarray(indices)])
    places = np.asarray(indices)
    if places.dtype == bool and places.shape != (len(source),):
        raise InputError(f"indices are {short(places)}, expected a bool for each of {len(source)} examples")
    places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.int64)
    if places.size == 0 or places.min() < 0 or places.max() >= len(source):
        raise InputError(f"indices are {short(indices)}, expected some in [0, {len(source)}): places of {source!r}")
    if isinstance(source, ArraySource):
        with jax.ensure_compile_time_eval():
            return ArraySource(source[jnp.asarray(places)])
    return Subset(source, places)


@overload
def split(source: ArraySource, held_out: int, seed: int = 0) -> tuple[ArraySource, ArraySource]: ...
@overload
def split(source: Source, held_out: int, seed: int = 0) -> tuple[Source, Source]: ...


def split(source: Source, held_out: int, seed: int = 0) -> tuple[Source, Source]:
    """Two sources: all but `held_out` examples, and those; which ones is a pure function of `seed`.

    Args:
        source: the examples.
        held_out: how many the second has.
        seed: of the choice.

    Raises:
        InputError: `held_out` is no number of examples that leaves some.

    >>> train, test = split(ArraySource({"label": np.arange(10)}), held_out=3)
    >>> len(train), len(test)
    (7, 3)
    """
    if not isinstance(held_out, int | np.integer) or not 0 < held_out < len(source):
        raise InputError(
            f"held_out is {held_out}, expected 1 to {len(source) - 1}: the source has {len(source)} examples"
        )
    order = np.random.default_rng(seed).permutation(len(source))
    return take(source, np.sort(order[held_out:])), take(source, np.sort(order[:held_out]))


def stratified(labels: np.ndarray, share: float = 0.2, seed: int = 0) -> np.ndarray:
    """Which examples are held out: a share of each class, and at least one; bools [n].

    Args:
        labels: ints [n].
        share: of each class, in (0, 1).
        seed: of the choice.

    Raises:
        InputError: a class has a single example.

    >>> int(stratified(np.array([0, 0, 0, 0, 0, 1, 1])).sum())
    2
    """
    held_out = np.zeros(len(labels), bool)
    order = np.random.default_rng(seed)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        if len(places) < 2:
            raise InputError(f"class {label} has a single example, and none to hold out; expected at least two")
        held_out[order.permutation(places)[: max(1, round(len(places) * share))]] = True
    return held_out
