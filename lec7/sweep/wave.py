"""Lanes side by side, from where they stand to a step."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from lec7.experiment.evaluation import Figures, order
from lec7.experiment.signals import StopRequest
from lec7.experiment.window import is_due, limit_of
from lec7.sweep.lane import Lane
from lec7.sweep.observer import Observer
from lec7.sweep.program import Wide, on_host
from lec7.sweep.space import Point
from lec7.train import TrainState
from lec7.typing import Metrics

SAVE_SECONDS = 60.0
"""How long lanes are under way before they are saved again, at an evaluation."""


class Around(NamedTuple):
    """What a wave meets.

    Attributes:
        values: from points to the traced fields, with a leading axis of lanes.
        save: keeps lanes that are under way.
        observer: who watches.
        stop: what asks to stop.
    """

    values: Callable[[Sequence[Point]], Mapping[str, np.ndarray]]
    save: Callable[[Sequence[Lane]], None]
    observer: Observer
    stop: StopRequest


class Window(NamedTuple):
    """What is being computed of a number of steps that end at one, with figures if they are due."""

    at: int
    steps: int
    rows: Metrics
    figures: Figures | None


def train(wide: Wide, lanes: Sequence[Lane], until: int, around: Around) -> None:
    """Trains lanes that stand at one step up to another: each comes back ended, or with its state on the host.

    Args:
        wide: a program of at least so many lanes; what it has more is filled with copies of the last.
        lanes: under way, all at the same step.
        until: the step to get to.
        around: what else there is.
    """
    experiment, start, saved = wide.program.first, time.monotonic(), time.monotonic()
    filled = [*lanes, *[lanes[-1]] * (wide.width - len(lanes))]
    values = around.values([lane.point for lane in filled])
    points = wide.points(values)
    wide.prepare()
    states = [
        wide.program.init({name: column[i] for name, column in values.items()}) if lane.state is None else lane.state
        for i, lane in enumerate(lanes)
    ]
    states += [states[-1]] * (wide.width - len(lanes))
    limits = [limit_of(state.opt_state) for state in states]
    state, at, waiting = wide.pack(states), lanes[0].step, []
    names, begun = order(state), at
    for lane in lanes:
        lane.state = None

    def look(windows: Sequence[Window]) -> None:
        for window in windows:
            _look(window, lanes, limits, names, experiment.steps, around.observer)

    while at < until and not around.stop and any(lane.status is None for lane in lanes):
        count = min(experiment.log_every - at % experiment.log_every, until - at)
        state, rows = wide.section(state, points, count)
        before, at = at, at + count
        due = is_due(before, at, experiment.evaluate_every, until)
        waiting.append(Window(at, count, rows, wide.judge(state, points) if due else None))
        # This window is being computed: the one before it is looked at meanwhile.
        look(waiting[:-1])
        waiting = waiting[-1:]
        if due and at < until and time.monotonic() - saved > SAVE_SECONDS:
            look(waiting)
            waiting, saved = [], time.monotonic()
            around.save(_bring_home(state, lanes))
    look(waiting)
    if at > begun:
        wide.timed(at - begun, time.monotonic() - start)
    if at < experiment.steps:
        _bring_home(state, lanes)
    for lane in lanes:
        if lane.status is None and at == experiment.steps:
            lane.end("finished")


def _bring_home(state: TrainState, lanes: Sequence[Lane]) -> list[Lane]:
    """Gives lanes that are under way their states, on the host; gives these lanes."""
    left = [(i, lane) for i, lane in enumerate(lanes) if lane.status is None]
    if left:
        host = on_host(state)
        for i, lane in left:
            lane.state = jax.tree.map(lambda leaf, i=i: leaf[i].copy(), host)
    return [lane for _, lane in left]


def _look(
    window: Window,
    lanes: Sequence[Lane],
    limits: Sequence[int | None],
    names: Sequence[str],
    steps: int,
    observer: Observer,
) -> None:
    """Waits for a window, and hands each lane that is under way what is its."""
    metrics, figures = jax.device_get((window.rows, window.figures))
    under_way = [(i, lane) for i, lane in enumerate(lanes) if lane.status is None]
    for i, lane in under_way:
        lane.window(window.at, {name: row[i, : window.steps] for name, row in metrics.items()}, limits[i])
        if lane.status is None and figures is not None:
            lane.judged(window.at, jax.tree.map(lambda leaf, i=i: leaf[i], figures), names)
        if lane.status == "diverged":
            observer.advance(steps - window.at)
    observer.advance(len(under_way) * window.steps)
