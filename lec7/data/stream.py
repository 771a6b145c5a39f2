"""Batches of a source on the host, read ahead and in order by Grain."""

import contextlib
import pickle
import signal
import threading
import weakref
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from os import _exit
from typing import Any

import numpy as np

from lec7.data.order import Order
from lec7.data.source import ArraySource, Source
from lec7.errors import InputError, short


@dataclass(frozen=True)
class Stream:
    """A source on the host, and how it is to be read; itself a source. `data.stream` makes one.

    Attributes:
        source: the examples.
        threads: batches that are read at the same time; with workers, in each of them.
        workers: processes that read; 0 leaves it to threads of this one.
        ahead: windows of batches that training keeps ready on the device.
    """

    source: Source
    threads: int
    workers: int
    ahead: int

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: Any) -> Any:
        return self.source[indices]


def stream(source: Source, *, threads: int = 4, workers: int = 0, ahead: int = 2) -> Stream:
    """A source whose batches are read ahead while the device computes.

    Which examples a step sees hangs on none of these numbers. Threads are enough where reading waits for a disk, or for
    a decoder that lets go of Python's lock, as Pillow's and NumPy's do; where Python itself has much to do for an
    example, processes help. They are started anew, which takes a few seconds; they get the source by pickle
    (cloudpickle's, so that a script may define it), and import the script that started them, which needs an
    `if __name__ == "__main__":`.

    Source: Grain, https://github.com/google/grain.

    Args:
        source: the examples, on the host: `data.tfds`, `data.images`, or any object that has a length, and
            gives a dict of NumPy arrays for an array of indices.
        threads: batches that are read at the same time; with workers, in each of them.
        workers: processes that read; 0 leaves it to threads of this one.
        ahead: windows of batches that training keeps ready on the device.

    Raises:
        InputError: one of the numbers is out of range; the source is on the device already, or has to go to workers
            and can't be pickled.

    >>> class Squares:
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, indices):
    ...         return {"square": indices**2}
    >>> stream(Squares(), threads=2).threads
    2
    """
    for name, value, least in (("threads", threads, 1), ("workers", workers, 0), ("ahead", ahead, 1)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name} is {short(value)}, expected a whole number from {least} on")
    if isinstance(source, ArraySource):
        raise InputError(f"{source!r} is on the device: hand it over as it is, without data.stream")
    if workers:
        _check_pickles(source)
    return Stream(source, threads, workers, ahead)


def batches(
    stream: Stream, order: Order, start: int, stop: int, rows: np.ndarray | None = None, *, together: int = 1
) -> Generator[dict[str, np.ndarray]]:
    """The batches of steps `start` to `stop - 1`, read ahead.

    They are the same whatever threads and workers there are, and wherever one begins. Closing the iterator ends the
    threads and processes that read for it.

    Args:
        stream: what is read, and how.
        order: which examples a step sees.
        start: the first step.
        stop: the step behind the last one.
        rows: places in the batch that are wanted, so that a process of many reads its share alone; by default all.
        together: batches that are read at once, as one; where examples are cheap, that spares most of the work.

    Returns:
        An iterator of `source[order.indices(step)[rows]]`, a dict of arrays.

    Raises:
        InputError: what the source raises; or a worker process was ended from outside.

    >>> import jax
    >>> from lec7 import data
    >>> class Squares:
    ...     def __len__(self):
    ...         return 10
    ...     def __getitem__(self, indices):
    ...         return {"square": indices**2}
    >>> order = data.HostOrder(jax.random.key(0), length=10, batch_size=5)
    >>> first, second = batches(stream(Squares()), order, start=0, stop=2)
    >>> sorted([*first["square"].tolist(), *second["square"].tolist()])
    [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
    """
    reading = _read(stream, _Stacks(stream.source, order, start, stop, rows, together))
    # One that is open to the end would be closed when half of Python is gone.
    weakref.finalize(reading, _close, weakref.ref(reading))
    return reading


def _read(stream: Stream, wanted: "_Stacks") -> Generator[dict[str, np.ndarray]]:
    try:
        import grain
    except ImportError:
        raise InputError(
            f"batches of {short(stream.source)} are read by Grain, which is not installed: pip install grain; or put "
            "all examples on the device, by data.load"
        ) from None

    # As many wait as are being read, so that a thread that is done goes on.
    options = grain.ReadOptions(num_threads=stream.threads, prefetch_buffer_size=2 * stream.threads)
    dataset = grain.MapDataset.source(wanted).to_iter_dataset(options)
    if stream.workers:
        _take_default_flags()
        processes = grain.MultiprocessingOptions(num_workers=stream.workers, per_worker_buffer_size=2)
        dataset = dataset.mp_prefetch(processes, worker_init_fn=_begin_worker)
    iterator = iter(dataset)
    try:
        for stack in map(_out_of_shared_memory, iterator) if stream.workers else iterator:
            for step in range(len(next(iter(stack.values())))):
                yield {name: array[step] for name, array in stack.items()}
    except RuntimeError as error:
        if "Worker process was terminated" not in str(error):
            raise
        raise InputError(
            f"{str(error).split('. ')[0]}, while it read batches. Often the system ends one for want of memory, or of "
            "shared memory (/dev/shm): try fewer workers, or workers=0"
        ) from error
    finally:
        iterator.close()


def _close(reading: "weakref.ref[Generator[Any]]") -> None:
    if (generator := reading()) is not None:
        with contextlib.suppress(ValueError):  # a thread is in the midst of it, and ends with the program
            generator.close()


@dataclass(frozen=True)
class _Stacks:
    """What Grain reads: its element `index` has the batches of `together` steps, from `start + index * together` on."""

    source: Source
    order: Order
    start: int
    stop: int
    rows: np.ndarray | None
    together: int

    def __len__(self) -> int:
        return max(0, -((self.start - self.stop) // self.together))

    def __getitem__(self, index: int) -> dict[str, Any]:
        first = self.start + int(index) * self.together
        indices = self.order.indices(np.arange(first, min(first + self.together, self.stop)))
        indices = indices if self.rows is None else indices[:, self.rows]
        try:
            found = {**self.source[indices.ravel()]}
            return {name: np.reshape(array, (*indices.shape, *array.shape[1:])) for name, array in found.items()}
        except Exception as error:
            raise _portable(error) from error


def _out_of_shared_memory(stack: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A worker's batches as arrays like any other: of shared memory there is little, and it wants to be freed."""
    return {name: np.array(array) for name, array in stack.items()}


def _portable(error: Exception) -> Exception:
    """An error as it is, or in words where it can't be pickled: Grain would wait for it forever."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _check_pickles(source: Source) -> None:
    import cloudpickle

    try:
        cloudpickle.dumps(source)
    except Exception as error:
        raise InputError(
            f"{short(source)} goes to worker processes and can't be pickled ({type(error).__name__}: {error}): let it "
            "open files when they are first read, or give workers=0"
        ) from error


def _take_default_flags() -> None:
    """Grain asks for its command-line flags, which absl refuses before a program has parsed its own."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _begin_worker(index: int, count: int) -> None:
    """In a worker process: it goes on when Ctrl-C asks all processes to end, and ends with the one that started it.

    Training ends in an orderly way at the first signal, for which it may need another batch.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (connection.wait([parent.sentinel]), _exit(1)), daemon=True).start()
