"""What can be measured, by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from lec7.bench.augmentations import augmentations
from lec7.bench.inputs import inputs
from lec7.bench.limits import limits
from lec7.bench.optimizers import updates
from lec7.bench.scale import Scale
from lec7.bench.solvers import solvers
from lec7.bench.training import steps, sweeps
from lec7.bench.work import Figure, Work, measure

Part = Literal["step", "optimizer", "augment", "sweep", "solver", "input"]
"""The name of one."""
PARTS: Mapping[Part, Callable[[Scale], Iterator[Work]]] = {
    "step": steps,
    "optimizer": updates,
    "augment": augmentations,
    "sweep": sweeps,
    "solver": solvers,
    "input": inputs,
}
"""What gives the pieces of work of each, in sizes of a scale."""


def measurements(
    parts: Iterable[Part], scale: Scale, *, rounds: int, seconds: float
) -> Iterator[tuple[Figure, dict[str, float]]]:
    """The figures of some parts, one by one, each with the limits that it was told by.

    Args:
        parts: which.
        scale: how much there is to do.
        rounds: turns of each piece of work, and of the limits beside it.
        seconds: length of a turn, about.

    Yields:
        A figure, and the best of each limit meanwhile, in bytes or operations a second, by name.
    """
    at_most = limits(scale)
    for part in parts:
        for work in PARTS[part](scale):
            yield measure(work, at_most, rounds=rounds, seconds=seconds)
