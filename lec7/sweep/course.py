"""The course of a sweep: groups, lanes, rungs, rows."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lec7.errors import why
from lec7.experiment.file import as_float32
from lec7.experiment.signals import StopRequest
from lec7.sweep.groups import Build, Fallback, Group, check_ends, fallbacks, groups, shapes, traceable, values
from lec7.sweep.halving import Halving, survivors
from lec7.sweep.lane import Lane
from lec7.sweep.machine import Machine, too_many
from lec7.sweep.observer import Observer
from lec7.sweep.processes import everywhere, share
from lec7.sweep.program import Program
from lec7.sweep.results import SEED, Direction, Judge, Results, Row, direction_of
from lec7.sweep.runner import Runner
from lec7.sweep.space import Fields, Point
from lec7.sweep.store import Store
from lec7.sweep.wave import Around
from lec7.train.processes import gathered

Parts = Sequence[tuple[Runner, list[Lane]]]
"""The lanes of each group, with what runs them."""


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
        self.runners: dict[Fields, Runner] = {}

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
        self._take_up(mine, over=points[0])
        alive = list(dict.fromkeys(map(_setting, points)))
        for rung in self.halving.shares(len(alive)) if self.halving else ():
            self._advance(mine, rung)
            if self._is_stopped():
                break
            alive = self._halve(alive, parts, mine, rung)
        self._advance(mine, 1.0)
        rows = [] if self._is_stopped() else everywhere([lane.row for _, part in mine for lane in part])
        self.rows += rows
        return rows

    def _is_stopped(self) -> bool:
        """Whether this process was asked to stop, or another; each process has to ask."""
        self.stopped = self.stopped or any(gathered(bool(self.stop)))
        return self.stopped

    def _advance(self, parts: Parts, portion: float) -> None:
        """Trains all lanes that are under way for a share of their steps."""
        for i, (runner, lanes) in enumerate(parts):
            following = [partial(other.prepare, waiting) for other, waiting in parts[i + 1 : i + 2]]
            for wave in runner.advance(lanes, runner.step(portion), following):
                self._note([lane for lane in wave if lane.status is not None])
                self.store.save([lane for lane in wave if lane.status is None])

    def _halve(self, alive: Sequence[Fields], parts: Parts, mine: Parts, rung: float) -> list[Fields]:
        """Of the settings that are alive those that go on; this process's lanes of the others are stopped."""
        assert self.halving is not None
        metric, direction = self.judged_by
        here = [(runner, lane) for runner, part in mine for lane in part]
        known = [(lane.number, lane.at(metric, runner.step(rung))) for runner, lane in here]
        figures = dict(pair for pairs in gathered(known) for pair in pairs)
        of_setting: dict[Fields, list[float]] = {}
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

    def _take_up(self, mine: Parts, over: Point) -> None:
        """Puts lanes where a sweep that was killed left them, and tells what there is to do."""
        in_common = {name: value for name, value in dataclasses.asdict(self.hp).items() if name not in over}
        self.store.claim(in_common)
        self.observer.begin(sum(len(part) for _, part in mine), sum(runner.steps * len(part) for runner, part in mine))
        rows = {row.lane: row for row in self.store.rows()}
        for runner, part in mine:
            for lane in part:
                if (row := rows.get(lane.number)) is not None:
                    lane.restore(row)
                    self.observer.row(row)
            left = [lane for lane in part if lane.status is None]
            if left and self.store.holds_states:
                self.store.load(left, runner.first_state)
            self.observer.advance(sum(runner.steps if lane.status else lane.step for lane in part))

    def _grouped(self, points: Sequence[Point], lanes: Sequence[Lane]) -> Parts:
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


def _traced(build: Build, group: Group) -> Program:
    """What a group runs, traced."""
    program = Program(group.bound(build), build(as_float32(group.hp)), shapes(group))
    program.trace()
    return program


def _setting(point: Point) -> Fields:
    """What runs of a setting have in common."""
    return tuple((name, value) for name, value in point.items() if name != SEED)
