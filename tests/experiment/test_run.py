"""A run in this process: what it leaves, and how it ends."""

import dataclasses
import json
import signal
import threading

import jax
import numpy as np
import optax
import pytest
from on_host import OnHost
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lec7 import experiment, losses, optim, report, schedules, train
from lec7.errors import InputError
from lec7.experiment.run import Outcome
from lec7.train.checkpoints import Checkpoints


class Watcher:
    """Keeps what it is told; may send a signal at a step."""

    def __init__(self, kill_at=None):
        self.rows, self.said, self.kill_at = [], [], kill_at

    def begin(self, step, steps):
        self.range = (step, steps)

    def row(self, row):
        self.rows.append(row)
        if row["step"] == self.kill_at:
            self.kill_at = None
            signal.raise_signal(signal.SIGTERM)

    def say(self, text):
        self.said.append(text)


def of_small(small, steps, batch_size):
    """The experiment of the small classifier."""
    return experiment.Experiment(
        model=small.model,
        loss=losses.cross_entropy,
        optimizer=small.optimizer,
        train=small.source,
        test=small.source,
        steps=steps,
        batch_size=batch_size,
        log_every=5,
        evaluate_every=10,
    )


@pytest.fixture
def built(small):
    return of_small(small, steps=50, batch_size=10)


@pytest.fixture
def folder(tmp_path):
    return experiment.RunFolder.create(tmp_path, "run", "x", overwrite=False, needed=0)


def figures(folder):
    """The log without its clock."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "examples_per_second")} for row in folder.metrics()]


def test_a_run_leaves_its_folder(built, folder):
    watcher = Watcher()
    outcome = experiment.run(built, folder, watcher)
    assert (outcome.status, outcome.step) == ("finished", 50)
    assert watcher.range == (0, 50)
    assert watcher.rows == folder.metrics()
    assert [row["step"] for row in watcher.rows if "test/loss" in row] == [10, 20, 30, 40, 50]
    assert [row["step"] for row in watcher.rows if "train/loss" in row] == list(range(5, 51, 5))
    assert folder.result["metrics"] == outcome.metrics
    assert {"test/accuracy", "test_raw/accuracy", "test/loss", "test_raw/loss"} == set(outcome.metrics)
    assert report.curves(folder).stat().st_size > 10_000

    events = EventAccumulator(str(folder.events_path)).Reload()
    scalars = {event.step: event.value for event in events.Scalars("train/loss")}
    for row in watcher.rows:
        if "train/loss" in row:
            np.testing.assert_allclose(scalars[row["step"]], row["train/loss"], rtol=1e-6)


def test_the_logged_figures_are_those_of_the_steps(built, folder):
    experiment.run(dataclasses.replace(built, steps=10), folder, Watcher())
    losses = np.concatenate(
        [
            m["loss"]
            for _, m in train.fit(built.make_step(), built.init(), built.train, steps=10, batch_size=10, every=5)
        ]
    )
    logged = [row["train/loss"] for row in folder.metrics() if "train/loss" in row]
    np.testing.assert_allclose(logged, losses.reshape(2, 5).mean(1), rtol=1e-6)


@pytest.mark.slow
def test_averaged_and_raw_figures_are_those_of_averaged_and_raw_parameters(built, small):
    state = built.init()
    for t in range(3):
        state, _ = small.step(state, small.batch(t))
    got = experiment.evaluate(built, state)
    evaluate = built.make_evaluate()
    averaged = train.make_refresh(small.model, batch_size=10)(state.averaged, small.source, state.key)
    assert got["test/loss"] == pytest.approx(float(evaluate(averaged, built.test)["loss"]), rel=1e-5)
    assert got["test_raw/loss"] == pytest.approx(float(evaluate(state.variables, built.test)["loss"]), rel=1e-5)
    assert got["test/loss"] != got["test_raw/loss"]


def test_without_an_average_there_are_raw_figures_alone(built, folder):
    plain = dataclasses.replace(built, optimizer=optax.sgd(0.1), steps=5)
    assert set(experiment.run(plain, folder, Watcher()).metrics) == {"test/accuracy", "test/loss"}


@pytest.mark.slow
@pytest.mark.parametrize("stop", [5, 20, 35])
def test_a_stopped_run_goes_on_to_the_same_end_bit_for_bit(built, tmp_path, same, stop):
    whole = experiment.RunFolder.create(tmp_path, "whole", "x", overwrite=False, needed=0)
    parts = experiment.RunFolder.create(tmp_path, "parts", "x", overwrite=False, needed=0)
    experiment.run(built, whole, Watcher())
    outcome = experiment.run(built, parts, Watcher(kill_at=stop))
    assert (outcome.status, outcome.signal) == ("interrupted", signal.SIGTERM)
    assert stop <= outcome.step < 50
    watcher = Watcher()
    assert experiment.run(built, parts, watcher, resume=True).status == "finished"
    assert watcher.range == (outcome.step, 50)
    assert figures(parts) == figures(whole)
    states = []
    for folder in (whole, parts):
        with Checkpoints(folder.checkpoints_path) as checkpoints:
            states.append(checkpoints.restore(jax.eval_shape(built.init), 50).state)
    same(*states)


@pytest.mark.slow
def test_a_resumed_run_says_what_is_damaged_and_ends_the_same(built, folder):
    experiment.run(built, folder, Watcher())
    before = figures(folder)
    for path in (folder.checkpoints_path / "50").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:100])
    watcher = Watcher()
    assert experiment.run(built, folder, watcher, resume=True).step == 50
    assert "checkpoint of step 50 is damaged" in watcher.said[0]
    assert figures(folder) == before


@pytest.mark.slow
def test_a_resume_that_is_refused_leaves_the_result_of_what_was_stopped(built, folder):
    outcome = experiment.run(built, folder, Watcher(kill_at=15))
    assert outcome.status == "interrupted"
    good = folder.metrics_path.read_text()
    folder.metrics_path.write_text("no row\n" + good)
    with pytest.raises(InputError, match="damaged in line 1"):
        experiment.run(built, folder, Watcher(), resume=True)
    assert folder.result["status"] == "interrupted"
    folder.metrics_path.write_text(good)
    assert experiment.run(built, folder, Watcher(), resume=True).status == "finished"


def test_a_run_killed_before_its_first_checkpoint_starts_over(built, folder):
    watcher = Watcher()
    folder.metrics_path.write_text('{"step": 5, "train/loss": 1.0}\n{"step": 1')
    experiment.run(dataclasses.replace(built, steps=5), folder, watcher, resume=True)
    assert "no checkpoint yet" in watcher.said[0]
    assert [row["step"] for row in folder.metrics()] == [5, 5]
    assert folder.metrics()[0]["train/loss"] != 1.0


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(built, folder):
    def rate(step):
        return jax.numpy.where(step == 22, 1e38, 1e-3)

    wild = dataclasses.replace(built, optimizer=optim.sgd(rate))
    outcome = experiment.run(wild, folder, Watcher())
    assert (outcome.status, outcome.step) == ("diverged", 24)
    assert "at step 24 (learning_rate 0.001); last good checkpoint: step 20" in outcome.message
    assert json.loads((folder.path / "result.json").read_text())["status"] == "diverged"


@pytest.mark.slow
def test_what_the_check_traced_is_not_traced_again(small):
    calls = []

    def loss(outputs, batch):
        calls.append(outputs)
        return losses.cross_entropy(outputs, batch)

    for source in (small.source, OnHost(small.source)):
        built = dataclasses.replace(of_small(small, 6, 8), loss=loss, log_every=3, train=source)
        calls.clear()
        experiment.check(built)
        assert len(list(built.fit(built.init()))) == 2
        assert len(calls) == 1


@pytest.mark.slow
def test_in_a_thread_a_run_leaves_signals_alone(built, folder):
    before, outcomes = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=lambda: outcomes.append(experiment.run(built, folder, Watcher())))
    thread.start()
    thread.join()
    assert [outcome.status for outcome in outcomes] == ["finished"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_folder_that_was_killed_ahead_of_its_first_file_can_be_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tmp1.tmp").touch()
    experiment.RunFolder.create(tmp_path, "run", "x", overwrite=True, needed=0)
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(InputError, match="is no run of lec7's, and so is not overwritten"):
        experiment.RunFolder.create(tmp_path, "run", "x", overwrite=True, needed=0)


@pytest.mark.slow
def test_the_learning_rate_is_logged(built, folder):
    tx = optim.momentum(schedules.cosine(1.0, 50))
    experiment.run(dataclasses.replace(built, optimizer=tx, steps=10), folder, Watcher())
    logged = [row["train/learning_rate"] for row in folder.metrics() if "train/loss" in row]
    np.testing.assert_allclose(logged, [schedules.cosine(1.0, 50)(t) for t in (4, 9)], rtol=1e-6)


def test_an_outcome_is_json(built, folder):
    folder.write("result.json", dataclasses.asdict(Outcome("finished", 1, {"test/loss": float("nan")}, 1.0)))
    assert folder.result["metrics"]["test/loss"] == "nan"


def test_a_result_has_no_figures_of_steps_that_were_lost(built, folder):
    experiment.run(built, folder, Watcher(kill_at=10))
    step = folder.result["step"]
    with folder.metrics_path.open("a") as log:  # as of a run that was killed ahead of its checkpoint
        log.write(json.dumps({"step": step + 5, "test/loss": 123.0}) + "\n")
    outcome = experiment.run(
        dataclasses.replace(built, evaluate_every=50), folder, Watcher(kill_at=step + 5), resume=True
    )
    assert outcome.status == "interrupted"
    assert outcome.metrics["test/loss"] != 123.0
