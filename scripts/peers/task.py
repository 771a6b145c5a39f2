"""What all frameworks train: the same networks on the same garments, with Adam at 1e-3. Needs NumPy alone.

An MLP 784-256-256-10, and a CNN of two 3 x 3 convolutions with 32 and 64 channels, each with a 2 x 2 maximum behind
it, and 256 hidden units. What each framework's own tutorial does, its file does here.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

HIDDEN, LABELS = 256, 10
CHANNELS = (32, 64)
FEATURES = 7 * 7 * CHANNELS[-1]
LEARNING_RATE = 1e-3

Call = Callable[[int], Any]
"""Takes so many windows of steps, and gives what there is to wait for."""


class Task(NamedTuple):
    """A network and its batches; after so many steps there is somebody who wants to see the loss."""

    kind: Literal["mlp", "cnn"]
    batch_size: int
    every: int


class Arrays(NamedTuple):
    """Images [n, 28, 28, 1] in bytes, and labels [n]."""

    images: np.ndarray
    labels: np.ndarray

    def as_floats(self) -> "Arrays":
        """Images from 0 to 1."""
        return Arrays(self.images.astype(np.float32) / 255, self.labels)


def rows_of(n: int, batch_size: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Indices, a batch each, an epoch after the other."""
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.permutation(n)[: n // batch_size * batch_size].reshape(-1, batch_size)


def batches(arrays: Arrays, batch_size: int) -> Iterator[Arrays]:
    """Batches in NumPy, as floats."""
    for row in rows_of(len(arrays.images), batch_size):
        yield Arrays(arrays.images[row], arrays.labels[row]).as_floats()


def windows_of(windows: Iterator[Any]) -> Call:
    """Takes so many of them, and gives the last."""

    def call(times: int) -> Any:
        for window in itertools.islice(windows, times):
            pass
        return window

    return call


EVALUATED_EVERY = 100
MOST_STEPS = 5000


def reach(train: Callable[[Arrays, Arrays, Callable[[float], bool]], Any]) -> None:
    """The main program of each framework's file: trains a CNN until it tells enough of the held-out garments right.

    Called as `python -m peers.in_torch ARRAYS.npz ACCURACY`; prints the number of steps.

    Args:
        train: with examples to train on, others to test with, and what it tells each accuracy: whether to stop.
    """
    held = np.load(sys.argv[1])
    target, steps = float(sys.argv[2]), itertools.count(EVALUATED_EVERY, EVALUATED_EVERY)
    told: list[int] = []

    def enough(accuracy: float) -> bool:
        told.append(next(steps))
        if told[-1] >= MOST_STEPS:
            raise SystemExit(f"{accuracy:.2%} after {told[-1]} steps, and not {target:.0%}")
        return accuracy >= target

    train(Arrays(held["images"], held["labels"]), Arrays(held["test_images"], held["test_labels"]), enough)
    print(told[-1])
