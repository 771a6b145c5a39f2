"""The course of a sweep: points, groups, lanes, rows."""

import dataclasses
import math
import signal
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.experiment.file import as_float32
from lec7.experiment.signals import StopRequest, stop_request
from lec7.sweep.draw import Draw, asked
from lec7.sweep.groups import Build, Fallback, Group, check_ends, fallbacks, groups, shapes, traceable, values, why
from lec7.sweep.halving import Halving, survivors
from lec7.sweep.lane import Lane
from lec7.sweep.observer import Observer, Silent
from lec7.sweep.processes import everywhere, gathered, share
from lec7.sweep.program import Program
from lec7.sweep.results import SEED, Direction, Results, Row, direction_of
from lec7.sweep.runner import Runner
from lec7.sweep.space import Point, Space, Span, checked, checked_points, grid, kinds, size
from lec7.sweep.store import Store
from lec7.sweep.wave import Around
from lec7.typing import Device

MOST_PROGRAMS = 32
"""Programs that are compiled without asking."""


class Stopped(KeyboardInterrupt):
    """A signal came; what was under way is saved, where there is a folder."""

    def __init__(self, signal: int):
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal


class TooManyPrograms(InputError):
    """Fields that a program has to know make more programs than are compiled without asking."""

    def __init__(self, message: str, programs: int):
        super().__init__(message)
        self.programs = programs


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a sweep runs on.

    Attributes:
        lanes: how many side by side on a device; None to find out.
        devices: what they are dealt out to; None for all of this process.
        most_programs: how many may be compiled.
    """

    lanes: int | None = None
    devices: Sequence[Device] | None = None
    most_programs: int = MOST_PROGRAMS

    @property
    def used(self) -> tuple[Device, ...]:
        """The devices."""
        return tuple(jax.local_devices() if self.devices is None else self.devices)


@dataclasses.dataclass(frozen=True)
class Judge:
    """What settings are judged by: a metric and whether much of it is good; by default accuracy, or else the loss."""

    metric: str | None = None
    direction: Direction | None = None

    def __post_init__(self):
        if self.direction not in (None, "minimize", "maximize"):
            raise InputError(f'direction is {self.direction!r}, expected "minimize" or "maximize"')


def run(
    build: Build,
    space: Space | Sequence[Point],
    hp: Any = None,
    *,
    draw: Draw | None = None,
    halving: Halving | None = None,
    judge: Judge = Judge(),
    machine: Machine = Machine(),
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
        judge: what they are judged by.
        machine: what it runs on.
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
    hp = _defaults(build) if hp is None else hp
    if machine.lanes is not None and machine.lanes < 1:
        raise InputError(f"lanes is {machine.lanes}, expected how many run side by side on a device, at least 1")
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


class Course:
    """A sweep under way: what was compiled, and what came out."""

    def __init__(
        self,
        build: Build,
        hp: Any,
        judge: Judge,
        machine: Machine,
        halving: Halving | None,
        folder: Path | Callable[[], Path] | None,
        observer: Observer,
        stop: StopRequest,
    ):
        self.build, self.hp, self.judge, self.machine, self.halving = build, hp, judge, machine, halving
        self.folder, self.observer, self.stop = folder, observer, stop
        self.rows: list[Row] = []
        self.stopped = False
        self.traced: list[str] | None = None
        self.runners: dict[tuple, Runner] = {}

    @cached_property
    def store(self) -> Store:
        """Where it is kept."""
        return Store(self.folder() if callable(self.folder) else self.folder, jax.process_index())

    @property
    def judged_by(self) -> tuple[str, Direction]:
        """The metric, and its direction."""
        known = next(iter(self.runners.values())).program.figures
        return direction_of(self.judge.metric, self.judge.direction, known)

    @property
    def results(self) -> Results:
        """What came out so far."""
        return Results(tuple(self.rows), *self.judged_by, dataclasses.asdict(self.hp))

    def go(self, points: Sequence[Point]) -> list[Row]:
        """Trains more points; gives their rows."""
        lanes = [Lane(len(self.rows) + i, point) for i, point in enumerate(points)]
        parts = self._grouped(points, lanes)
        _ = self.judged_by  # what can't be judged is refused ahead of all work
        mine = [(runner, share(part)) for runner, part in parts]
        self._take_up(lanes, mine)
        alive = list(dict.fromkeys(map(_setting, points)))
        for rung in self.halving.shares(len(alive)) if self.halving else ():
            self._advance(mine, rung)
            if self._is_stopped():
                break
            alive = self._halve(alive, parts, rung)
        self._advance(mine, 1.0)
        rows = [] if self._is_stopped() else everywhere([lane.row for _, part in mine for lane in part])
        self.rows += rows
        return rows

    def _is_stopped(self) -> bool:
        """Whether this process was asked to stop, or another; each process has to ask."""
        self.stopped = self.stopped or any(gathered(bool(self.stop)))
        return self.stopped

    def _advance(self, parts: Sequence[tuple[Runner, list[Lane]]], portion: float) -> None:
        """Trains all lanes that are under way for a share of their steps."""
        for i, (runner, lanes) in enumerate(parts):
            following = [partial(other.prepare, waiting) for other, waiting in parts[i + 1 : i + 2]]
            for wave in runner.advance(lanes, runner.step(portion), following):
                self._note([lane for lane in wave if lane.status is not None])
                self.store.save([lane for lane in wave if lane.status is None])

    def _halve(self, alive: Sequence[tuple], parts: Sequence[tuple[Runner, list[Lane]]], rung: float) -> list[tuple]:
        """Of the settings that are alive those that go on; the lanes of the others are stopped."""
        assert self.halving is not None
        metric, direction = self.judged_by
        here = [(runner, lane) for runner, part in parts for lane in part if lane.here]
        mine = [(lane.number, lane.at(metric, runner.step(rung))) for runner, lane in here]
        figures = dict(pair for pairs in gathered(mine) for pair in pairs)
        of_setting: dict[tuple, list[float]] = {}
        for _, part in parts:
            for lane in part:
                of_setting.setdefault(_setting(lane.point), []).append(figures[lane.number])
        means = [float(np.mean(of_setting[setting])) for setting in alive]
        kept = [alive[place] for place in survivors(means, self.halving.eta, direction)]
        why = f"stopped after {rung:.3g} of the steps: not among the best of {self.halving.eta:g}"
        dropped = [(runner, lane) for runner, lane in here if lane.status is None and _setting(lane.point) not in kept]
        for runner, lane in dropped:
            self.observer.advance(runner.steps - lane.step)
            lane.end("stopped", why)
        self._note([lane for _, lane in dropped])
        return kept

    def _note(self, ended: Sequence[Lane]) -> None:
        self.store.add([lane.row for lane in ended])
        for lane in ended:
            self.observer.row(lane.row)

    def _take_up(self, lanes: Sequence[Lane], mine: Sequence[tuple[Runner, list[Lane]]]) -> None:
        """Puts lanes where a sweep that was killed left them, and tells what there is to do."""
        self.store.claim(self._common(lanes))
        for lane in lanes:
            lane.here = False
        self.observer.begin(sum(len(part) for _, part in mine), sum(runner.steps * len(part) for runner, part in mine))
        rows = {row.lane: row for row in self.store.rows()}
        for runner, part in mine:
            for lane in part:
                lane.here = True
                if (row := rows.get(lane.number)) is not None:
                    lane.restore(row)
                    self.observer.row(row)
            left = [lane for lane in part if lane.status is None]
            if left and self.store.holds_states:
                self.store.load(left, runner.first_state)
            self.observer.advance(sum(runner.steps if lane.status else lane.step for lane in part))

    def _common(self, lanes: Sequence[Lane]) -> dict[str, Any]:
        """The hyperparameters that all lanes have in common."""
        return {name: value for name, value in dataclasses.asdict(self.hp).items() if name not in lanes[0].point}

    def _grouped(self, points: Sequence[Point], lanes: Sequence[Lane]) -> list[tuple[Runner, list[Lane]]]:
        """The lanes by what they run; all programs are traced, and none is compiled."""
        if self.traced is None:
            self.traced = traceable(self.hp, points)
        while True:
            parts = groups(self.hp, points, self.traced)
            count = len({*self.runners, *(part.key for part in parts)})
            if count > self.machine.most_programs:
                raise too_many(count, self.machine.most_programs, self._known(parts))
            fallen = self._prepare([part for part in parts if part.key not in self.runners], points)
            if not fallen:
                return [(self.runners[part.key], [lanes[i] for i in part.lanes]) for part in parts]
            for fallback in fallen:
                self.observer.say(f"{fallback.field} can't be traced, and makes programs of its own: {fallback.why}")
            self.traced = [name for name in self.traced if name not in {fallback.field for fallback in fallen}]
            self.runners.clear()

    def _prepare(self, parts: Sequence[Group], points: Sequence[Point]) -> list[Fallback]:
        """Makes what runs the groups; stops at the first that can't be traced, and gives the fields that it is for."""
        for part in parts:
            check_ends(self.build, part, [points[i] for i in part.lanes])
            try:
                program = _traced(self.build, part)
            except Exception as error:
                if not part.traced:
                    raise
                return fallbacks(part, lambda one: _traced(self.build, one)) or [
                    Fallback(name, why(error)) for name in part.traced
                ]
            devices = self.machine.used
            if self.machine.devices is None and len(devices) == 1:
                devices = ()
            around = Around(partial(values, part), lambda lanes: self.store.save(lanes), self.observer, self.stop)
            sample = points[part.lanes[0]]
            name = ", ".join(f"{name} {value}" for name, value in sample.items() if name not in part.traced)
            runner = Runner(program, sample, devices[: len(part.lanes)], self.machine.lanes, around, name)
            runner.check_memory(len(part.lanes))
            self.runners[part.key] = runner
        return []

    def _known(self, parts: Sequence[Group]) -> dict[str, int]:
        """How many values the programs have of each field that they have to know."""
        known = [field.name for field in dataclasses.fields(self.hp) if field.name not in (self.traced or ())]
        counts = {name: len({getattr(part.hp, name) for part in parts}) for name in known}
        return {name: count for name, count in counts.items() if count > 1}


def check_programs(space: Mapping[str, Span | tuple[Any, ...]], hp: Any, most: int) -> None:
    """Refuses a space of which settings are asked a few at a time, and that could make too many programs in the end."""
    kind = kinds(hp)
    sizes = {
        name: size(values, kind[name]) for name, values in space.items() if name != SEED and kind[name] is not float
    }
    if (count := math.prod(sizes.values())) > most:
        raise too_many(int(count), most, {name: int(one) for name, one in sizes.items()})


def too_many(count: int, most: int, known: Mapping[str, int]) -> TooManyPrograms:
    """What is raised where a sweep makes too many programs, for they have to know so many values of some fields."""
    fields = ", ".join(f"{name} ({values} values)" for name, values in known.items())
    return TooManyPrograms(
        f"the sweep makes {count} programs, more than {most}, for each has to know {fields}; "
        "give fewer values, or allow as many programs",
        count,
    )


def _traced(build: Build, group: Group) -> Program:
    """What a group runs, traced."""
    program = Program(group.bound(build), build(as_float32(group.hp)), shapes(group))
    program.trace()
    return program


def _setting(point: Point) -> tuple:
    """What runs of a setting have in common."""
    return tuple((name, value) for name, value in point.items() if name != SEED)


def _defaults(build: Callable[..., Experiment]) -> Any:
    hints = [hint for name, hint in typing.get_type_hints(build).items() if name != "return"]
    if len(hints) != 1 or not dataclasses.is_dataclass(hints[0]):
        raise InputError("hp is missing, and build is not annotated with a dataclass of hyperparameters; give one")
    return typing.cast(type, hints[0])()
