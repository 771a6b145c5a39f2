"""One run from its first step, or from a checkpoint, to its result."""

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, Literal, Protocol

import jax
import numpy as np

from lec7 import averaging, optim, train
from lec7.experiment.definition import Experiment
from lec7.experiment.folder import RunFolder
from lec7.experiment.log import Log
from lec7.experiment.signals import StopRequest, stop_request
from lec7.train.checkpoints import Checkpoints
from lec7.typing import Metrics


class Observer(Protocol):
    """Who watches a run: a progress bar, lines, or nobody."""

    def begin(self, step: int, steps: int) -> None:
        """Training starts at `step`, to end at `steps`."""
        ...

    def row(self, row: dict[str, Any]) -> None:
        """A row was logged."""
        ...

    def say(self, text: str) -> None:
        """Something that a person should read."""
        ...


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: at which step, with which figures of its latest evaluation, after how many seconds."""

    status: Literal["finished", "interrupted", "diverged"]
    step: int
    metrics: dict[str, float]
    seconds: float
    message: str = ""
    signal: int | None = None


class Diverged(Exception):
    """The loss is not finite."""

    def __init__(self, step: int, what: str):
        super().__init__(what)
        self.step = step


def evaluate(experiment: Experiment, state: train.TrainState) -> dict[str, float]:
    """The figures on the test examples: `test/...` with the averaged parameters, `test/..._raw` with those as they are.

    Where the optimizer keeps no average there is the first kind alone.
    """
    return _evaluate(experiment, jax.jit(experiment.make_evaluate()), state)


def _evaluate(experiment: Experiment, evaluator, state: train.TrainState) -> dict[str, float]:
    averaged = {f"test/{name}": value for name, value in evaluator(state.averaged, experiment.test).items()}
    if averaging.find(state.opt_state):
        raw = evaluator(state.variables, experiment.test)
        averaged |= {f"test/{name}_raw": value for name, value in raw.items()}
    return {name: float(value) for name, value in jax.device_get(averaged).items()}


def run(experiment: Experiment, folder: RunFolder, observer: Observer, *, resume: bool = False) -> Outcome:
    """Trains, evaluates, logs and saves until the last step, a signal, or a loss that is not finite.

    Args:
        experiment: what to run.
        folder: where to leave it; its `config.json` is written already.
        observer: who watches.
        resume: go on from the newest whole checkpoint.

    Returns:
        How it ended; `result.json` holds the same.
    """
    (folder.path / "result.json").unlink(missing_ok=True)
    start = time.monotonic()
    with Checkpoints(folder.checkpoints_path) as checkpoints:
        state = experiment.init()
        if resume:
            state = _restore(checkpoints, state, observer)
        begun = int(state.step)
        observer.begin(begun, experiment.steps)
        with Log(folder, since=begun) as log, stop_request() as stop:
            latest = _latest_evaluation(folder)
            try:
                for row in _train(experiment, state, checkpoints, stop):
                    log.write(row)
                    observer.row(row)
                    latest = {name: value for name, value in row.items() if name.startswith("test/")} or latest
                    begun = row["step"]
                status, message = ("interrupted" if stop else "finished"), ""
            except Diverged as error:
                checkpoints.wait()
                saved = (
                    f"last good checkpoint: step {checkpoints.steps[-1]}" if checkpoints.steps else "no checkpoint yet"
                )
                status, message, begun = "diverged", f"{error}; {saved}", error.step
            outcome = Outcome(status, begun, latest, time.monotonic() - start, message, stop.signal)
    folder.write("result.json", dataclasses.asdict(outcome))
    return outcome


def _train(
    experiment: Experiment, state: train.TrainState, checkpoints: Checkpoints, stop: StopRequest
) -> Iterator[dict[str, Any]]:
    """The rows of the log, in order; checkpoints are begun on the way, each after its rows."""
    evaluator = jax.jit(experiment.make_evaluate())
    every = experiment.evaluate_every
    at, waiting = int(state.step), []
    clock, skip = _Clock(), optim.skipped(state.opt_state)
    limit = None if skip is None else int(skip.limit)
    windows = train.fit(
        experiment.make_step(),
        state,
        experiment.train,
        steps=experiment.steps,
        batch_size=experiment.batch_size,
        every=experiment.log_every,
    )
    for state, metrics in windows:
        # This window is being computed: the one before it is looked at meanwhile.
        yield from (_row(*window, experiment.batch_size, clock, limit) for window in waiting)
        before, at = at, at + len(metrics["loss"])
        waiting = [(at, metrics)]
        due = at // every > before // every or at == experiment.steps
        if due or stop:
            yield from (_row(*window, experiment.batch_size, clock, limit) for window in waiting)
            waiting = []
            figures = _evaluate(experiment, evaluator, state) if due else {}
            if due:
                yield {"step": at, **figures}
                if not np.isfinite(figures["test/loss"]):
                    raise Diverged(at, f"the loss on the test examples became {figures['test/loss']} at step {at}")
            checkpoints.save(state, _score(figures))
            clock.restart()
        if stop:
            return


class _Clock:
    """Examples a second from row to row, evaluations and checkpoints apart."""

    def __init__(self) -> None:
        self.start = self.mark = time.monotonic()

    def restart(self) -> None:
        self.mark = time.monotonic()

    def rate(self, examples: int) -> float:
        mark, self.mark = self.mark, time.monotonic()
        return examples / (self.mark - mark)


LATEST = ("learning_rate", "skipped", "plateau_scale")
"""Metrics of which a window's last value counts, and not the mean."""


def _row(step: int, metrics: Metrics, batch_size: int, clock: _Clock, limit: int | None) -> dict[str, Any]:
    """A window's means, over the steps that were not skipped; `limit` is how many may be, one after another."""
    values: dict[str, np.ndarray] = jax.device_get(metrics)
    taken = np.isfinite(values["loss"])
    stop = ~taken if limit is None else values["skipped_in_row"] > limit
    if stop.any():
        first = int(np.flatnonzero(stop)[0])
        at = step - len(taken) + first + 1
        rates = ", ".join(f"{name} {row[first]:g}" for name, row in values.items() if name.startswith("learning_rate"))
        what = f"the loss became {values['loss'][first]}"
        if limit is not None:
            what = f"the gradient was not finite for {values['skipped_in_row'][first]} steps in a row, {limit} may be,"
        raise Diverged(at, f"{what} at step {at} ({rates})")
    row: dict[str, Any] = {"step": step}
    for name, window in values.items():
        mean = window[-1] if name.startswith(LATEST) else window[taken].mean(dtype=np.float64) if any(taken) else np.nan
        row[f"train/{name}"] = float(mean)
    row["examples_per_second"] = clock.rate(batch_size * len(values["loss"]))
    row["seconds"] = time.monotonic() - clock.start
    return row


def _score(figures: dict[str, float]) -> float:
    """What the best checkpoint has most of: accuracy where there is one, or else little loss; never the untested."""
    if not figures:
        return -math.inf
    return figures.get("test/accuracy", -figures["test/loss"])


def _restore(checkpoints: Checkpoints, state: train.TrainState, observer: Observer) -> train.TrainState:
    if not checkpoints.steps:
        observer.say("there is no checkpoint yet: starting at step 0")
        return state
    restored = checkpoints.restore(state)
    for step, reason in restored.damaged.items():
        observer.say(f"the checkpoint of step {step} is damaged ({reason}): going back to the one before")
        checkpoints.delete(step)
    return restored.state


def _latest_evaluation(folder: RunFolder) -> dict[str, float]:
    rows = [row for row in folder.metrics() if "test/loss" in row]
    return {name: value for name, value in rows[-1].items() if name != "step"} if rows else {}
