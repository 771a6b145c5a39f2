"""Lanes through a program, as many at a time as suits the machine."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import jax

from lec7.errors import InputError
from lec7.sweep import memory, width
from lec7.sweep.lane import Lane
from lec7.sweep.program import Program, Wide
from lec7.sweep.space import Point
from lec7.sweep.wave import Around, train
from lec7.typing import Device, PyTree

TRIAL_SECONDS = 0.2
"""How long steps are timed for, at least, three times."""


class Runner:
    """The lanes of one group.

    Args:
        program: what they run.
        sample: a point to measure with.
        devices: what they are dealt out to.
        lanes: how many side by side on a device; None to find out.
        around: what else there is.
        name: what the group has that others have not.
    """

    def __init__(
        self,
        program: Program,
        sample: Point,
        devices: Sequence[Device],
        lanes: int | None,
        around: Around,
        name: str = "",
    ):
        self.name = name
        self.program, self.sample, self.devices, self.lanes, self.around = program, sample, devices, lanes, around
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
        return self.program.init({name: column[0] for name, column in self.around.values([self.sample]).items()})

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
            while waiting and not self.around.stop:
                wide = self._suiting(most if self.lanes else len(waiting), until - at)
                if self.around.stop:
                    return
                wave, waiting = waiting[: wide.width], waiting[wide.width :]
                while afterwards:
                    afterwards.pop(0)()
                train(wide, wave, until, self.around)
                yield wave

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
        if not trials and not self.around.stop:
            raise InputError(f"one lane alone is too large for the memory of {(self.devices or jax.devices())[0]}")
        if not trials:
            return wide
        where = f" on each of {devices} devices" if devices > 1 else ""
        figures = ", ".join(f"{1e6 * one.seconds / devices:.0f} us with {one.lanes}" for one in sorted(trials))
        of = f"{self.name}: " if self.name else ""
        self.around.observer.say(f"{of}lanes side by side{where}: {trials[0].lanes}; a step of one takes {figures}")
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
        """How fast so many lanes a device are; None where there is no memory for them."""
        if self.around.stop or lanes > memory.room(self.program, self.devices):
            return None
        start = time.monotonic()
        try:
            wide = self._made(lanes * max(1, len(self.devices)))
            self._measure(wide)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):  # more than the estimate said
                return None
            raise
        return width.Trial(lanes, (wide.step_seconds or 0.0) / lanes, time.monotonic() - start)

    def _measure(self, wide: Wide) -> None:
        """Times some steps, three times; what they compute is thrown away."""
        points = wide.points(self.around.values([self.sample] * wide.width))
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
