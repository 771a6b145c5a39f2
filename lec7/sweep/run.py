"""Sweeping: from a space to what came out."""

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lec7.errors import InputError
from lec7.experiment.file import hyperparameters_of
from lec7.experiment.signals import stop_request
from lec7.sweep.course import Course
from lec7.sweep.draw import Draw, asked
from lec7.sweep.groups import Build
from lec7.sweep.halving import Halving
from lec7.sweep.machine import Machine, check_programs
from lec7.sweep.observer import Observer, Silent
from lec7.sweep.results import Judge, Results
from lec7.sweep.space import Point, Space, checked, checked_points, grid


class Stopped(KeyboardInterrupt):
    """A signal came; what was under way is saved, where there is a folder."""

    def __init__(self, signal: int):
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal


def run(
    build: Build,
    space: Space | Sequence[Point],
    hp: Any = None,
    *,
    draw: Draw | None = None,
    halving: Halving | None = None,
    judge: Judge | None = None,
    machine: Machine | None = None,
    folder: Path | Callable[[], Path] | None = None,
    observer: Observer | None = None,
) -> Results:
    """Trains an experiment at all points of a space, those that may share a program as lanes of one.

    Floats and the seed are traced; every other field makes programs of its own. A lane is the run of its
    hyperparameters: bit for bit on a CPU where one lane at a time is on a device, else to rounding.

    Args:
        build: from hyperparameters to the experiment.
        space: for each field values, `log(low, high, n)` or `linear(low, high, n)`: each goes with each; or points, a
            dict of fields each.
        hp: the other hyperparameters; by default those that the dataclass has, which `build` is annotated with.
        draw: settings to draw, in place of the whole grid.
        halving: settings that do badly are not trained to the end.
        judge: what they are judged by; by default accuracy, or else the loss.
        machine: what it runs on; by default all devices, with as many lanes as are fast.
        folder: where rows are written as lanes end, and what a sweep of the same that was killed goes on from; or
            what makes it, once all was looked at.
        observer: who watches.

    Returns:
        A row for each lane; in several processes of `jax.distributed`, the rows of all.

    Raises:
        InputError: something can't be used; nothing is compiled before all is looked at.
        Stopped: Ctrl-C or SIGTERM.

    >>> from dataclasses import dataclass
    >>> import lec7
    >>> from lec7.experiment import Experiment
    >>> @dataclass(frozen=True)
    ... class Hyperparameters:
    ...     learning_rate: float = 0.1
    ...     seed: int = 0
    >>> def build(hp: Hyperparameters):
    ...     examples, held_out = lec7.data.digits()
    ...     return Experiment(
    ...         model=lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (), 10, rngs=rngs)),
    ...         loss=lec7.losses.cross_entropy,
    ...         optimizer=lec7.optim.sgd(hp.learning_rate),
    ...         train=examples,
    ...         test=held_out,
    ...         steps=20,
    ...         batch_size=64,
    ...         seed=hp.seed,
    ...     )
    >>> results = run(build, {"learning_rate": [1e-4, 1e-1], "seed": range(2)}, machine=Machine(lanes=4))
    >>> results.best.hyperparameters, len(results.rows)
    ({'learning_rate': 0.1}, 4)
    """
    hp = hyperparameters_of(build)() if hp is None else hp
    judge, machine = judge or Judge(), machine or Machine()
    if machine.lanes is not None and machine.lanes < 1:
        raise InputError(f"lanes is {machine.lanes}, expected how many run side by side on a device, at least 1")
    if machine.most_programs < 1:
        raise InputError(f"programs is {machine.most_programs}, expected how many may be compiled, at least 1")
    if draw is not None and not isinstance(space, Mapping):
        raise InputError("settings are drawn from a space, and points are given; give one or the other")
    if draw is not None and halving is not None and draw.sampler == "tpe":
        raise InputError("halving is for settings that are there from the start, expected it without the sampler tpe")
    with stop_request() as stop:
        course = Course(build, hp, judge, machine, halving, folder, observer or Silent(), stop)
        if not isinstance(space, Mapping):
            course.go(checked_points(space, hp))
        elif draw is None:
            course.go(grid(checked(space, hp)))
        else:
            over = checked(space, hp)
            if draw.sampler == "tpe":
                check_programs(over, hp, machine.most_programs)
            for points, tell in asked(draw, over, hp):
                rows = course.go(points)
                if course.stopped:
                    break
                tell(rows, *course.judged_by)
        if course.stopped:
            raise Stopped(stop.signal or signal.SIGTERM)
    return course.results
