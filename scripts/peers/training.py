"""Training steps a second: lec7, the loop that one would write by hand, PyTorch, Keras, Flax NNX and Flax Linen."""

import importlib
from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from lec7 import data
from peers.race import LEC7, Effort, Row, race
from peers.task import Arrays, Call, Task

TASKS = (Task("mlp", 128, 100), Task("mlp", 32, 100), Task("cnn", 128, 20))
BY_HAND, EAGER, COMPILED, KERAS, NNX, LINEN = (
    "hand-written scan",
    "PyTorch eager",
    "PyTorch compiled",
    "Keras",
    "Flax NNX loop",
    "Flax Linen loop",
)
FRAMEWORKS = {
    LEC7: "lec7",
    BY_HAND: "jax",
    EAGER: "torch",
    COMPILED: "torch",
    KERAS: "keras",
    NNX: "nnx",
    LINEN: "linen",
}
TARGETS: Mapping[str, Mapping[str, float]] = {
    "mlp": {BY_HAND: 0.97, EAGER: 2.0, COMPILED: 1.5, KERAS: 1.25, NNX: 2.2},
    "cnn": {BY_HAND: 0.97, EAGER: 1.35, COMPILED: 1.35, KERAS: 2.0, NNX: 2.2},
}


def fashion() -> tuple[Arrays, Arrays]:
    """The garments to train on, and those to test with."""
    sources = data.fashion_mnist()
    train, test = (Arrays(*(np.asarray(source.arrays[name]) for name in ("image", "label"))) for source in sources)
    return train, test


def steps(name: str, task: Task, arrays: Arrays) -> Call:
    """The training of that name."""
    build = importlib.import_module(f"peers.in_{FRAMEWORKS[name]}").steps
    if FRAMEWORKS[name] == "torch":
        build = partial(build, compiled=name == COMPILED)
    return build(task, arrays)


def training(effort: Effort) -> Iterable[Row]:
    """All tasks, each by all frameworks in turns."""
    arrays, _ = fashion()
    for task in TASKS:
        calls = {name: steps(name, task, arrays) for name in FRAMEWORKS}
        title = f"{task.kind.upper()}, batch {task.batch_size}"
        yield from race(title, "steps", task.every, calls, effort, TARGETS[task.kind])
