"""Lanes through a program, as many at a time as suits the machine."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from lec7.errors import InputError
from lec7.experiment.evaluation import Figures, order
from lec7.experiment.signals import StopRequest
from lec7.sweep import memory, width
from lec7.sweep.lane import Lane, limit_of
from lec7.sweep.observer import Observer
from lec7.sweep.program import Program, Wide, on_host
from lec7.sweep.space import Point
from lec7.typing import Device, Metrics, PyTree

TRIAL_SECONDS = 0.2
"""How long steps are timed for, at least, three times."""


class Runner:
    """The lanes of one group.

    Args:
        program: what they run.
        values: from points to the traced fields, with a leading axis of lanes.
        sample: a point to measure with.
        devices: what they are dealt out to.
        lanes: how many side by side on a device; None to find out.
        observer: who watches.
        stop: what asks to stop.
    """

    def __init__(
        self,
        program: Program,
        values: Callable[[Sequence[Point]], Mapping[str, np.ndarray]],
        sample: Point,
        devices: Sequence[Device],
        lanes: int | None,
        observer: Observer,
        stop: StopRequest,
    ):
        self.program, self.values, self.sample, self.devices, self.lanes = program, values, sample, devices, lanes
        self.observer, self.stop = observer, stop
        self.wide: Wide | None = None

    @property
    def steps(self) -> int:
        """Steps of a lane, from the first to the last."""
        return self.program.first.steps

    def step(self, share: float) -> int:
        """The step at which so much of the training is done."""
        return max(1, math.ceil(share * self.steps - 1e-9))

    @cached_property
    def first_state(self) -> PyTree:
        """A lane's state before its first step, on the host."""
        return self.program.init({name: column[0] for name, column in self.values([self.sample]).items()})

    def prepare(self, lanes: Sequence[Lane]) -> None:
        """Begins to compile what lanes will run, as far as that is known ahead of measuring."""
        count = sum(lane.status is None for lane in lanes)
        if self.wide is None and count:
            self._made(self._first(count) * max(1, len(self.devices))).prepare()

    def check_memory(self, count: int) -> None:
        """Refuses what a device has no memory for, as far as is known ahead of compiling, for so many lanes in all.

        Raises:
            InputError: with the bytes.
        """
        room = memory.room(self.program, self.devices)
        wanted = min(self.lanes or 1, math.ceil(count / max(1, len(self.devices))))
        if wanted > room:
            each, there = memory.least(self.program) / 1e6, memory.limit(self.devices) / 1e6
            fits = f"; expected at most {room} lanes" if room else ": the model is too large"
            raise InputError(
                f"{wanted} lanes side by side take at least {wanted * each:,.0f} MB of a device ({each:,.1f} MB each), "
                f"which has {there:,.0f} MB for them{fits}"
            )

    def advance(
        self, lanes: Sequence[Lane], until: int, meanwhile: Sequence[Callable[[], None]] = ()
    ) -> Iterator[list[Lane]]:
        """Trains lanes that are under way up to a step, and yields them, some at a time, as they get there.

        Each comes back ended, or with its state on the host. What is to be done meanwhile is begun once it is known
        how many lanes are side by side, and nothing is measured any more.
        """
        afterwards = list(meanwhile)
        for at in sorted({lane.step for lane in lanes if lane.status is None}):
            waiting = [lane for lane in lanes if lane.status is None and lane.step == at < until]
            most = len(waiting)
            while waiting and not self.stop:
                wide = self._suiting(most if self.lanes else len(waiting), until - at)
                wave, waiting = waiting[: wide.width], waiting[wide.width :]
                while afterwards:
                    afterwards.pop(0)()
                self._train(wide, wave, until)
                yield wave

    def _train(self, wide: Wide, wave: Sequence[Lane], until: int) -> None:
        first, start = self.program.first, time.monotonic()
        filled = [*wave, *[wave[-1]] * (wide.width - len(wave))]
        points = wide.points(self.values([lane.point for lane in filled]))
        wide.prepare()
        states = self._states(filled)
        limits = [limit_of(state) for state in states[: len(wave)]]
        state, at, begun = wide.pack(states), wave[0].step, wave[0].step
        names = order(state)
        for lane in wave:
            lane.state = None
        waiting: list[tuple[int, int, Metrics, Figures | None]] = []
        while at < until and not self.stop and any(lane.status is None for lane in wave):
            count = min(first.log_every - at % first.log_every, until - at)
            state, rows = wide.section(state, points, count)
            before, at = at, at + count
            due = at // first.evaluate_every > before // first.evaluate_every or at == until
            waiting.append((at, count, rows, wide.judge(state, points) if due else None))
            # This window is being computed: the one before it is looked at meanwhile.
            if len(waiting) > 1:
                self._look(wave, limits, names, *waiting.pop(0))
        for window in waiting:
            self._look(wave, limits, names, *window)
        wide.timed(at - begun, time.monotonic() - start)
        if at < self.steps and (left := [(i, lane) for i, lane in enumerate(wave) if lane.status is None]):
            host = on_host(state)
            for i, lane in left:
                lane.state = jax.tree.map(lambda leaf, i=i: leaf[i].copy(), host)
        for lane in wave:
            if lane.status is None and at == self.steps:
                lane.end("finished")

    def _look(
        self,
        wave: Sequence[Lane],
        limits: Sequence[int | None],
        names: Sequence[str],
        at: int,
        count: int,
        rows: Metrics,
        found: Figures | None,
    ) -> None:
        """Waits for a window, and hands each lane that is under way what is its."""
        metrics, figures = jax.device_get((rows, found))
        running = 0
        for i, (lane, limit) in enumerate(zip(wave, limits, strict=True)):
            if lane.status is not None:
                continue
            running += 1
            lane.window(at, {name: row[i, :count] for name, row in metrics.items()}, limit)
            if lane.status is None and figures is not None:
                lane.judged(at, jax.tree.map(lambda leaf, i=i: leaf[i], figures), names)
            if lane.status == "diverged":
                self.observer.advance(1, self.steps - at)
        self.observer.advance(running, running * count)

    def _states(self, lanes: Sequence[Lane]) -> list[Any]:
        """The states of lanes, on the host; of those that have not begun, their first."""
        points = self.values([lane.point for lane in lanes])
        return [
            self.program.init({name: column[i] for name, column in points.items()})
            if lane.state is None
            else lane.state
            for i, lane in enumerate(lanes)
        ]

    def _suiting(self, count: int, steps: int) -> Wide:
        """The program for so many lanes that have so many steps to go."""
        devices = max(1, len(self.devices))
        if self.wide is None:
            self.wide = self.chosen(count, steps)
        wide = self.wide
        narrow = min(wide.width, math.ceil(count / devices) * devices)
        if self.lanes or narrow in [made.width for made in self.program.made]:
            return self._made(narrow)
        # Fewer than it has lanes: a smaller program, where it saves more than it costs.
        saved = (wide.step_seconds or 0.0) * steps * (1 - narrow / wide.width)
        return self._made(narrow) if saved > wide.compile_seconds else wide

    def _made(self, lanes: int) -> Wide:
        return self.program.wide(lanes, self.devices)

    def chosen(self, count: int, steps: int) -> Wide:
        """The program for as many lanes side by side as are wanted, or as turn out to be fast."""
        devices = max(1, len(self.devices))
        most, first = self._most(count), self._first(count)
        wide = self._made(first * devices).prepare()
        if self.lanes is not None or most == 1:
            return wide
        trials = width.choose(self.trial, first, most, math.ceil(count / devices) * steps)
        if not trials:
            raise InputError(f"one lane alone is too large for the memory of {(self.devices or jax.devices())[0]}")
        where = f" on each of {devices} devices" if devices > 1 else ""
        figures = ", ".join(f"{1e6 * one.seconds / devices:.0f} us with {one.lanes}" for one in sorted(trials))
        self.observer.say(f"lanes side by side{where}: {trials[0].lanes}; a step of one takes {figures}")
        return self._made(trials[0].lanes * devices)

    def _most(self, count: int) -> int:
        """How many of so many lanes a device could have side by side."""
        most = math.ceil(count / max(1, len(self.devices)))
        return max(1, min(most, memory.room(self.program, self.devices)))

    def _first(self, count: int) -> int:
        """How many a device has by hand, or in the first trial."""
        most = self._most(count)
        if self.lanes is not None or most == 1:
            return min(self.lanes or 1, most)
        return width.first_guess(self.program.flops, most, (self.devices or jax.devices())[0].platform)

    def trial(self, lanes: int) -> width.Trial | None:
        """How fast so many lanes a device are; what they compute is thrown away. None where there is no memory."""
        if lanes > memory.room(self.program, self.devices):
            return None
        start = time.monotonic()
        wide = self._made(lanes * max(1, len(self.devices)))
        points = wide.points(self.values([self.sample] * wide.width))
        state = wide.pack([self.first_state] * wide.width)
        wide.settle()
        count, runs = 1, 0
        state, _ = jax.block_until_ready(wide.section(state, points, 1))
        while runs < 3:
            begun = time.monotonic()
            state, _ = jax.block_until_ready(wide.section(state, points, count))
            took = time.monotonic() - begun
            if took < TRIAL_SECONDS and count < self.program.first.log_every:
                count = min(2 * count, self.program.first.log_every)
                continue
            runs += 1
            wide.timed(count, took)
        seconds = (wide.step_seconds or 0.0) / lanes
        return width.Trial(lanes, seconds, time.monotonic() - start)
