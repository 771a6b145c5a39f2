"""Batches of a source on the host, brought to the devices while these compute."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7 import data
from lec7.data.stream import batches
from lec7.train.placement import ROWS
from lec7.typing import Batch

CHUNK_BYTES = 2**25
"""What is put on the devices at a time, about: enough that a dispatch costs nothing beside it."""

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """What an iterator gives, made ahead by a thread of its own. A context manager; leaving it ends the thread.

    Args:
        items: what is wanted; it is iterated, and closed, in the thread.
        depth: how many to keep ready.

    Attributes:
        waited: seconds for which somebody had to wait for an item, while nothing else was under way.
    """

    def __init__(self, items: Iterator[Item], depth: int):
        self.waited = 0.0
        self._ready: queue.Queue[Any] = queue.Queue(depth)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._make, args=(items,), daemon=True, name="lec7 feed")
        self._thread.start()

    def __enter__(self) -> "Ahead[Item]":
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def next(self, is_idle: Callable[[], bool] = lambda: True) -> Item:
        """The next item, or the error that there was instead.

        Args:
            is_idle: whether nothing else is under way, so that waiting counts.
        """
        while True:
            start, idle = time.monotonic(), is_idle()
            try:
                item, error = self._ready.get(timeout=0.001)
                break
            except queue.Empty:
                self.waited += (time.monotonic() - start) * idle
        if error is not None:
            raise error
        return item

    def _make(self, items: Iterator[Item]) -> None:
        try:
            for item in items:
                if not self._hand_over((item, None)):
                    return
            self._hand_over((None, RuntimeError("there are no more items")))
        except BaseException as error:  # whoever asks next hears of it
            self._hand_over((None, error))
        finally:
            if isinstance(items, Generator):
                items.close()

    def _hand_over(self, item: Any) -> bool:
        """Whether somebody still wants it."""
        while not self._ended.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


def as_stream(source: data.Source) -> data.Stream:
    """How a source on the host is read: as it says itself, or as `data.stream` has it by default."""
    return source if isinstance(source, data.Stream) else data.stream(source)


def example(source: data.Source, count: int = 1) -> Batch:
    """The first examples of any source."""
    return source[np.arange(count)]


def like(source: data.Source, count: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch of so many examples; one is read where they are on the host."""
    arrays = source.arrays if isinstance(source, data.ArraySource) else example(source)
    return {
        name: jax.ShapeDtypeStruct((count, *np.shape(x)[1:]), jax.dtypes.canonicalize_dtype(x.dtype))
        for name, x in arrays.items()
    }


def own_rows(batch_size: int, mesh: Mesh | None) -> np.ndarray:
    """The rows of a batch that devices of this process have: its share of what there is to read."""
    if mesh is None:
        return np.arange(batch_size)
    wanted = NamedSharding(mesh, P(ROWS)).addressable_devices_indices_map((batch_size,))
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in wanted.values() if index is not None]))


def put_rows(arrays: dict[str, np.ndarray], rows: np.ndarray, batch_size: int, mesh: Mesh | None, axis: int) -> Batch:
    """Arrays on the host as arrays on the devices, dealt out by rows.

    Args:
        arrays: those rows that this process has, along `axis`.
        rows: which rows of a batch these are, in order.
        batch_size: rows of a batch in all.
        mesh: the devices; None for the one that there is.
        axis: that of rows; those before it are steps.
    """
    if mesh is None:
        return jax.device_put(arrays)
    wanted = NamedSharding(mesh, P(*[None] * axis, ROWS))

    def put(x: np.ndarray) -> jax.Array:
        shape = (*x.shape[:axis], batch_size, *x.shape[axis + 1 :])

        def part(index: Any) -> np.ndarray:  # a slice for each axis
            start, stop, _ = index[axis].indices(batch_size)
            first = int(np.searchsorted(rows, start))
            return x[(*index[:axis], slice(first, first + stop - start))]

        return jax.make_array_from_callback(shape, wanted, part)

    return {name: put(x) for name, x in arrays.items()}


def chunks(
    stream: data.Stream, order: data.Order, counts: Iterable[int], start: int, stop: int, most: int, mesh: Mesh | None
) -> Iterator[Batch]:
    """Batches of some steps at a time, on the devices: arrays [most, batch, ...], of which the first count.

    Args:
        stream: what is read.
        order: which examples a step sees.
        counts: steps of each chunk, up to `stop` in all.
        start: the first step.
        stop: the step behind the last one.
        most: steps that a chunk has room for.
        mesh: the devices that share a batch; None for the one that there is.
    """
    rows = own_rows(order.batch_size, mesh)
    read = batches(stream, order, start, stop, rows, together=max(1, most // stream.threads))
    try:
        for count in counts:
            parts = [next(read) for _ in range(count)]
            # What a short one lacks is never looked at.
            parts += parts[:1] * (most - count)
            stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
            yield put_rows(stacked, rows, order.batch_size, mesh, axis=1)
    finally:
        read.close()
