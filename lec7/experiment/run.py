"""One run from its first step, or from a checkpoint, to its result."""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import jax
import numpy as np

from lec7 import train
from lec7.experiment.evaluation import Evaluate, not_begun
from lec7.experiment.folder import RunFolder
from lec7.experiment.log import Log, MakeWriter, NoLog
from lec7.experiment.signals import StopRequest, stop_request
from lec7.experiment.window import evaluation_failure, failure, is_due, limit_of, means
from lec7.train.checkpoints import Checkpoints
from lec7.train.fit import WAITING
from lec7.train.processes import is_first, on_first
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
    """How a run ended.

    Attributes:
        status: how it ended.
        step: steps taken.
        metrics: figures of its latest evaluation, by name.
        seconds: since the run began.
        message: what a person should know.
        signal: the number of the signal that stopped it.
    """

    status: Literal["finished", "interrupted", "diverged"]
    step: int
    metrics: dict[str, float]
    seconds: float
    message: str = ""
    signal: int | None = None


NEW_AVERAGES = "new_averages"
"""What the log has in a row of the step at which averages began anew."""


class Diverged(Exception):
    """The loss is not finite."""

    def __init__(self, step: int, what: str):
        super().__init__(what)
        self.step = step


class Trainable(Protocol):
    """What `run` runs: an `Experiment`, or many of them in one program, whose states and metrics have one more axis."""

    @property
    def steps(self) -> int:
        """Number of training steps."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples a step."""
        ...

    @property
    def evaluate_every(self) -> int:
        """Steps from one evaluation, and checkpoint, to the next."""
        ...

    def init(self) -> train.TrainState:
        """The state before the first step."""
        ...

    def fit(self, state: train.TrainState) -> Iterator[tuple[train.TrainState, Metrics]]:
        """Trains from a state to the last step, window by window; metrics are arrays [..., steps of the window]."""
        ...

    def with_new_averages(self, state: train.TrainState) -> train.TrainState:
        """The state with averages and snapshots that begin at its parameters."""
        ...

    def make_evaluation(self) -> Evaluate:
        """What tells a state's figures on the test examples."""
        ...


def evaluate(experiment: Trainable, state: train.TrainState) -> dict[str, float]:
    """The figures on the test examples: `test/...` with the averaged parameters, `test_raw/...` with those as they are.

    Where no average has begun there is the first kind alone; where several have, the first is in `test/...` and the
    others go by their names. Batch statistics of averages are recomputed on training examples.

    Args:
        experiment: what the state is of.
        state: at any step.

    Returns:
        Figures by name.
    """
    return experiment.make_evaluation()(state)


def run(
    experiment: Trainable,
    folder: RunFolder,
    observer: Observer,
    *,
    resume: bool = False,
    averages: bool = True,
    writers: Sequence[MakeWriter] = (),
) -> Outcome:
    """Trains, evaluates, logs and saves until the last step, a signal, or a loss that is not finite.

    Of several processes (`jax.distributed`) all have to run it, with a folder that all see: each saves its part of a
    checkpoint, the first one alone logs, and what stops one stops all after the same step.

    Args:
        experiment: what to run.
        folder: where to leave it; its `config.json` is written already.
        observer: who watches.
        resume: go on from the newest whole checkpoint.
        averages: on resuming, whether averages and snapshots go on too, or begin anew at the parameters of then. A
            row of the log says at which step they did, so that they also do when that checkpoint is resumed again.
        writers: who is told the rows of the log beside `metrics.jsonl` and TensorBoard.

    Returns:
        How it ended; `result.json` holds the same.

    Raises:
        InputError: another run has the folder.
    """
    with folder.locked():
        return _run(experiment, folder, observer, resume, averages, writers)


def _run(
    experiment: Trainable,
    folder: RunFolder,
    observer: Observer,
    resume: bool,
    averages: bool,
    writers: Sequence[MakeWriter],
) -> Outcome:
    start = time.monotonic()
    # The first process reads the log before it writes to it, and tells the others.
    averages_from = on_first(lambda: _averages_from(folder))
    with Checkpoints(folder.checkpoints_path) as checkpoints:
        state, anew = experiment.init(), False
        if resume:
            state, anew = _restore(experiment, checkpoints, state, observer, averages, averages_from)
        begun = state.steps_taken
        latest = on_first(lambda: _latest_evaluation(folder, begun))
        on_first(lambda: (folder.path / "result.json").unlink(missing_ok=True))  # of what was interrupted, or diverged
        observer.begin(begun, experiment.steps)
        if never := not_begun(state, more=experiment.steps - begun):
            observer.say(f"averages that will not begin before the end, step {experiment.steps}: {', '.join(never)}")
        shared = jax.process_count() > 1
        with Log(folder, begun, writers) if is_first() else NoLog() as log, stop_request(shared) as stop:
            if anew and begun != averages_from:
                log.write({"step": begun, NEW_AVERAGES: 1})
            try:
                for row in _train(experiment, state, checkpoints, stop, observer):
                    log.write(row)
                    observer.row(row)
                    latest = {name: value for name, value in row.items() if name.startswith("test")} or latest
                    begun = row["step"]
                status, message = ("finished" if stop.signal is None else "interrupted"), ""
            except Diverged as error:
                checkpoints.wait()
                saved = (
                    f"last good checkpoint: step {checkpoints.steps[-1]}" if checkpoints.steps else "no checkpoint yet"
                )
                status, message, begun = "diverged", f"{error}; {saved}", error.step
            outcome = Outcome(status, begun, latest, time.monotonic() - start, message, stop.signal)
    if is_first():
        folder.write("result.json", dataclasses.asdict(outcome))
    return outcome


def _train(
    experiment: Trainable, state: train.TrainState, checkpoints: Checkpoints, stop: StopRequest, observer: Observer
) -> Iterator[dict[str, Any]]:
    """The rows of the log, in order; checkpoints are begun on the way, each after its rows."""
    evaluation = experiment.make_evaluation()
    every = experiment.evaluate_every
    at, waiting = state.steps_taken, []
    clock, limit = _Clock(), limit_of(state.opt_state)
    for state, metrics in experiment.fit(state):
        # This window is being computed: the one before it is looked at meanwhile.
        yield from (_row(*window, experiment.batch_size, clock, limit) for window in waiting)
        before, at = at, at + metrics["loss"].shape[-1]
        waiting = [(at, metrics)]
        due, stopping = is_due(before, at, every, experiment.steps), stop.is_asked()
        if due or stopping:
            yield from (_row(*window, experiment.batch_size, clock, limit) for window in waiting)
            waiting = []
            figures = evaluation(state) if due else {}
            if due:
                yield {"step": at, **figures}
                if failed := evaluation_failure(figures, at):
                    raise Diverged(at, failed)
            checkpoints.save(state, _score(figures))
            clock.restart()
        if (stopping or at == experiment.steps) and (missing := not_begun(state)):
            observer.say(f"averages that have not begun at step {at}: {', '.join(missing)}")
        if stopping:
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


def _row(step: int, metrics: Metrics, batch_size: int, clock: _Clock, limit: int | None) -> dict[str, Any]:
    """A window's means, over the steps that were not skipped, and over members; `limit` is how many may be in a row."""
    values: dict[str, np.ndarray] = jax.device_get(metrics)
    if (failed := failure(values, limit)) is not None:
        *member, first = failed.place
        at = step - values["loss"].shape[-1] + first + 1
        where = ", ".join([*(f"member {i}" for i in member), *failed.rates])
        raise Diverged(at, f"{failed.what} at step {at} ({where})")
    waiting = values.pop(WAITING, None)
    row: dict[str, Any] = {"step": step} | {f"train/{name}": value for name, value in means(values).items()}
    row["examples_per_second"] = clock.rate(batch_size * values["loss"].size)
    row["seconds"] = time.monotonic() - clock.start
    return row if waiting is None else row | {WAITING: float(waiting[-1])}


def _score(figures: dict[str, float]) -> float:
    """What the best checkpoint has most of: accuracy where there is one, or else little loss; never the untested."""
    if not figures:
        return -math.inf
    return figures.get("test/accuracy", -figures["test/loss"])


def _restore(
    experiment: Trainable,
    checkpoints: Checkpoints,
    state: train.TrainState,
    observer: Observer,
    averages: bool,
    averages_from: int,
) -> tuple[train.TrainState, bool]:
    """The state to go on with, and whether its averages begin anew; those of a step up to `averages_from` do."""
    if not checkpoints.steps:
        observer.say("there is no checkpoint yet: starting at step 0")
        return state, False
    # They began anew, and the run was killed before it saved them: those of the checkpoint were given up.
    averages = averages and checkpoints.steps[-1] > averages_from
    restored = checkpoints.restore(state, averages=averages)
    for step, reason in restored.damaged.items():
        observer.say(f"the checkpoint of step {step} is damaged ({reason}): going back to the one before")
        checkpoints.delete(step)
    if averages and restored.step > averages_from:
        return restored.state, False
    observer.say(f"averages and snapshots begin anew at step {restored.step}")
    return experiment.with_new_averages(restored.state), True


def _averages_from(folder: RunFolder) -> int:
    """The latest step at which averages began anew; -1 where they never did."""
    return max((row["step"] for row in folder.metrics() if NEW_AVERAGES in row), default=-1)


def _latest_evaluation(folder: RunFolder, step: int) -> dict[str, float]:
    """The figures of the latest evaluation up to a step; later rows are of a run that was killed, and are taken out."""
    rows = [row for row in folder.metrics() if "test/loss" in row and row["step"] <= step]
    return {name: value for name, value in rows[-1].items() if name != "step"} if rows else {}
