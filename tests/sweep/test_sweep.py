"""Lanes of a sweep are single runs, each by itself."""

import dataclasses
import functools
import json
import math
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import as_users
import jax
import numpy as np
import optax
import pytest

from lec7 import augment, averaging, data, experiment, losses, models, optim, sweep
from lec7.errors import InputError
from lec7.experiment import Experiment, RunFolder
from lec7.sweep.course import Course
from lec7.sweep.run import Stopped
from lec7.sweep.store import read_rows


@dataclass(frozen=True)
class Hyperparameters:
    learning_rate: float = 0.1
    dropout: float = 0.2
    shift: float = 0.0
    width: int = 8
    steps: int = 20
    nothing: str = ""
    seed: int = 0


@functools.cache
def digits():
    return data.digits()


def build(hp: Hyperparameters) -> Experiment:
    """All that draws: order, dropout, augmentation; with batch norm and an average."""
    train, test = digits()
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(64, (hp.width,), 10, keep=1 - hp.dropout, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optax.chain(optim.momentum(hp.learning_rate), averaging.ema(0.9)),
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=16,
        seed=hp.seed,
        log_every=4,
        evaluate_every=10,
        augment=lambda key, batch: (
            batch | {"image": batch["image"] + 0.1 * jax.random.normal(key, batch["image"].shape)}
        ),
    )


def light(hp: Hyperparameters) -> Experiment:
    """One that compiles fast, for what is not about its figures."""
    made = build(hp)
    model = models.from_nnx(lambda rngs: models.MLP(64, (), 10, rngs=rngs))
    return dataclasses.replace(made, model=model, optimizer=optim.sgd(hp.learning_rate), augment=None)


HP = Hyperparameters()
ONE = jax.devices()[:1]


class Watching:
    """Keeps what an observer is told; `stop_after` rows it raises, as a kill would."""

    def __init__(self, stop_after=math.inf):
        self.rows, self.said, self.left, self.stop_after = [], [], 0, stop_after

    def begin(self, lanes, steps):
        self.left += steps

    def advance(self, steps):
        self.left -= steps

    def row(self, row):
        if len(self.rows) >= self.stop_after:
            raise Killed
        self.rows.append(row)

    def say(self, text):
        self.said.append(text)


class Killed(Exception):
    pass


def single(hp, path):
    """The outcome and the log of the run that `lec7 run` makes of these hyperparameters."""
    folder = RunFolder(path)
    made = build(experiment.file.as_float32(hp))
    outcome = experiment.run(made, folder, Watching())
    curves = {}
    for row in folder.metrics():
        for name, value in row.items():
            if name.startswith(("train/", "test")):
                curves.setdefault(name, []).append((row["step"], float(value)))
    return outcome, curves


@pytest.fixture(scope="module")
def compiled():
    """Counts how often a section of training is compiled."""
    names = []

    def listen(event, duration, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


SPACE = {"learning_rate": [0.05, 0.2], "dropout": [0.0, 0.5], "seed": [0, 3]}


@pytest.fixture(scope="module")
def one_at_a_time():
    return sweep.run(build, SPACE, HP, machine=sweep.Machine(lanes=1, devices=ONE))


def tell_lanes_and_single_runs(directory):
    """Prints, of three lanes of a sweep, their metrics and curves, and those of the single runs, as JSON."""
    rows = sweep.run(build, SPACE, HP, machine=sweep.Machine(lanes=1, devices=ONE)).rows
    for row in (rows[0], rows[3], rows[6]):
        outcome, curves = single(dataclasses.replace(HP, **row.hyperparameters), Path(directory) / str(row.lane))
        print(json.dumps({"lane": [row.metrics, row.curves], "run": [outcome.metrics, curves]}))


@pytest.fixture(scope="module")
def lanes_and_single_runs(tmp_path_factory):
    lines = as_users.printed(tell_lanes_and_single_runs, tmp_path_factory.mktemp("runs")).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("lane", range(3))
def test_a_lane_is_the_single_run_bit_for_bit(lane, lanes_and_single_runs):
    assert lanes_and_single_runs[lane]["lane"] == lanes_and_single_runs[lane]["run"]


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "devices"), [(4, 1), (1, 8)])
def test_lanes_side_by_side_and_on_many_devices_are_the_same_to_rounding(lanes, devices, one_at_a_time):
    found = sweep.run(build, SPACE, HP, machine=sweep.Machine(lanes=lanes, devices=jax.devices()[:devices]))
    assert [row.lane for row in found.rows] == list(range(8))
    for mine, row in zip(found.rows, one_at_a_time.rows, strict=True):
        assert mine.hyperparameters == row.hyperparameters
        for name, curve in row.curves.items():
            np.testing.assert_allclose(mine.curves[name], curve, rtol=1e-5, atol=1e-6)


def test_lanes_lie_on_all_devices():
    course = Course(light, HP, sweep.Judge(), sweep.Machine(lanes=1), None, None, Watching(), no_stop())
    course.go([{"seed": seed} for seed in range(8)])
    (runner,) = course.runners.values()
    assert runner.wide.width == 8
    state = runner.wide.pack([runner.first_state] * 8)
    assert all(leaf.sharding.device_set == set(jax.devices()) for leaf in jax.tree.leaves(state))


def no_stop():
    return experiment.signals.StopRequest()


def test_there_are_as_many_programs_as_groups(compiled):
    course = Course(light, HP, sweep.Judge(), sweep.Machine(lanes=2, devices=ONE), None, None, Watching(), no_stop())
    points = [{"width": w, "learning_rate": r, "seed": s} for w in (8, 9) for r in (0.1, 0.2) for s in (0, 1)]
    course.go(points)
    assert [len(runner.program.made) for runner in course.runners.values()] == [1, 1]
    before = len(compiled)
    course.go(points)
    assert not [name for name in compiled[before:] if "section" in name or "judge" in name]
    assert [row.lane for row in course.rows] == list(range(16))


def test_a_lane_that_diverges_is_marked_and_harms_no_other():
    machine = sweep.Machine(lanes=2, devices=ONE)
    good = sweep.run(light, {"learning_rate": [0.1, 0.05]}, HP, machine=machine)
    watching = Watching()
    mixed = sweep.run(light, {"learning_rate": [0.1, 3e38]}, HP, machine=machine, observer=watching)
    assert mixed.rows[0] == good.rows[0]
    bad = mixed.rows[1]
    assert bad.status == "diverged"
    assert bad.step < 20
    assert bad.message.startswith("the loss became nan at step") or "inf" in bad.message
    assert all(step <= bad.step and math.isfinite(value) for curve in bad.curves.values() for step, value in curve)
    assert watching.left == 0
    assert mixed.best.hyperparameters == {"learning_rate": 0.1}


@pytest.mark.slow
def test_a_field_that_can_not_be_traced_makes_programs_of_its_own():
    def choosy(hp: Hyperparameters):
        made = light(hp)
        return dataclasses.replace(made, batch_size=16 if hp.shift > 0.5 else 8)

    watching = Watching()
    space = {"shift": [0.0, 1.0], "learning_rate": [0.1, 0.2]}
    found = sweep.run(choosy, space, HP, machine=sweep.Machine(lanes=2, devices=ONE), observer=watching)
    (said,) = watching.said
    assert said.startswith("shift can't be traced, and makes programs of its own: Attempted boolean conversion")
    assert "test_sweep.py" in said
    assert [row.status for row in found.rows] == ["finished"] * 4


@pytest.mark.slow
def test_lengths_that_hang_on_a_float_are_known_to_programs():
    watching = Watching()

    def longer(hp: Hyperparameters):
        return dataclasses.replace(light(hp), steps=hp.shift * 10)

    with pytest.raises((InputError, TypeError)):
        sweep.run(longer, {"shift": [1.0, 2.0]}, dataclasses.replace(HP, shift=1.0), observer=watching)

    def rounded(hp: Hyperparameters):
        return dataclasses.replace(light(hp), steps=int(hp.shift * 10))

    machine = sweep.Machine(lanes=1, devices=ONE)
    space = {"shift": [1.0, 2.0]}
    found = sweep.run(rounded, space, dataclasses.replace(HP, shift=1.0), machine=machine, observer=watching)
    assert [row.step for row in found.rows] == [10, 20]
    assert watching.said[-1].startswith("shift can't be traced")


@pytest.mark.slow
def test_examples_that_hang_on_the_seed_are_a_lanes_own():
    def own(hp: Hyperparameters):
        made = light(hp)
        order = jax.random.permutation(jax.random.key(hp.seed), 1437)[:64]
        return dataclasses.replace(made, train=data.take(made.train, order))

    machine = sweep.Machine(devices=ONE)
    found = sweep.run(own, {"seed": [0, 1]}, HP, machine=dataclasses.replace(machine, lanes=2))
    for row in found.rows:
        alone = sweep.run(own, {"seed": [row.hyperparameters["seed"]]}, HP, machine=machine)
        np.testing.assert_allclose(row.metrics["test/loss"], alone.rows[0].metrics["test/loss"], rtol=1e-5)
    assert found.rows[0].metrics["test/loss"] != found.rows[1].metrics["test/loss"]


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        ({"dropout": [0.1, 1.5]}, {}, "with dropout 1.5: keep is"),
        ({"width": range(1, 40)}, {}, "39 programs, more than 32, .* width .39 values"),
        ({"seed": range(4)}, {"judge": sweep.Judge("test/acuracy")}, "no figure 'test/acuracy'; did you mean"),
        ({"seed": range(4)}, {"machine": sweep.Machine(lanes=0)}, "lanes is 0"),
        ({"width": [50_000_000], "seed": range(9)}, {"machine": sweep.Machine(lanes=8, devices=ONE)}, "MB of a device"),
        ({"seed": range(2)}, {"draw": sweep.Draw(2, "tpe"), "halving": sweep.Halving()}, "without the sampler tpe"),
    ],
    ids=["value", "programs", "metric", "lanes", "memory", "halving"],
)
def test_bad_input_is_refused_before_anything_is_compiled_or_made(space, options, message, compiled):
    before, made = len(compiled), []

    def wide(hp: Hyperparameters):
        widths = (hp.width,) if hp.width > 100 else ()
        model = models.from_nnx(lambda rngs: models.MLP(64, widths, 10, keep=1 - hp.dropout, rngs=rngs))
        return dataclasses.replace(light(hp), model=model)

    with pytest.raises(InputError, match=message):
        sweep.run(wide, space, HP, folder=lambda: made.append(0), **options)
    assert not [name for name in compiled[before:] if "section" in name or "judge" in name]
    assert not made


def test_a_sweep_that_was_killed_goes_on_without_what_it_has(tmp_path):
    machine = sweep.Machine(lanes=2, devices=ONE)
    with pytest.raises(Killed):
        sweep.run(light, SPACE, HP, machine=machine, folder=tmp_path, observer=Watching(stop_after=4))
    had = [row.lane for row in read_rows(tmp_path)]
    assert len(had) >= 4
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"lane": 7, "hyperpar')  # the kill came in the midst of a line
    watching = Watching()
    found = sweep.run(light, SPACE, HP, machine=machine, folder=tmp_path, observer=watching)
    whole = sweep.run(light, SPACE, HP, machine=machine)
    assert found.rows == whole.rows == tuple(read_rows(tmp_path))
    assert watching.left == 0


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    machine = sweep.Machine(lanes=1, devices=ONE)
    sweep.run(light, {"learning_rate": [0.1]}, HP, machine=machine, folder=tmp_path)
    with pytest.raises(InputError, match="lane 0 was run with"):
        sweep.run(light, {"learning_rate": [0.2]}, HP, machine=machine, folder=tmp_path)


HALVED = {"learning_rate": [0.2, 1e-4, 0.1, 1e-3, 0.05], "seed": [0, 1]}


def test_halving_drops_the_worst_settings_and_changes_no_other_lane():
    machine = sweep.Machine(lanes=4, devices=ONE)
    watching = Watching()
    halving = sweep.Halving(eta=2)
    found = sweep.run(light, HALVED, HP, halving=halving, machine=machine, observer=watching)
    whole = sweep.run(light, HALVED, HP, machine=machine)
    assert watching.left == 0
    steps = {row.hyperparameters["learning_rate"]: row.step for row in found.rows}
    assert sorted(steps.values()) == [5, 5, 10, 20, 20]
    for row, full in zip(found.rows, whole.rows, strict=True):
        assert row.status == ("finished" if row.step == 20 else "stopped")
        if row.status == "finished":
            assert dict(row.metrics) == pytest.approx(dict(full.metrics), rel=1e-5)
    # By the rule, worked out from the curves of the sweep that dropped nothing.
    at_5 = {}
    for row in found.rows:
        at_5.setdefault(row.hyperparameters["learning_rate"], []).append(dict(row.curves["test/accuracy"])[5])
    ranked = sorted(at_5, key=lambda rate: -np.mean(at_5[rate]))
    assert {rate for rate, step in steps.items() if step > 5} == set(ranked[:3])


@pytest.mark.slow
def test_what_diverged_is_not_counted_among_those_that_are_left():
    space = {"learning_rate": [0.2, 3e38, 0.1, 1e-4]}
    machine = sweep.Machine(lanes=4, devices=ONE)
    found = sweep.run(light, space, HP, halving=sweep.Halving(eta=2), machine=machine)
    assert [row.status for row in found.rows].count("diverged") == 1
    assert sorted(row.step for row in found.rows if row.status == "stopped") == [5, 10]


@pytest.mark.slow
def test_halving_that_was_killed_goes_on_to_the_same_end(tmp_path):
    options = {"halving": sweep.Halving(eta=2), "machine": sweep.Machine(lanes=4, devices=ONE)}
    with pytest.raises(Killed):
        sweep.run(light, HALVED, HP, folder=tmp_path, observer=Watching(stop_after=5), **options)
    watching = Watching()
    found = sweep.run(light, HALVED, HP, folder=tmp_path, observer=watching, **options)
    for row, other in zip(found.rows, sweep.run(light, HALVED, HP, **options).rows, strict=True):
        assert (row.step, row.status) == (other.step, other.status)
        assert dict(row.metrics) == pytest.approx(dict(other.metrics), rel=1e-5)
    assert not list((tmp_path / "states").iterdir())


@pytest.mark.slow
def test_lanes_under_way_are_saved_when_a_signal_comes(tmp_path):
    """At the first row SIGINT comes: what is under way goes on from where it stood."""

    class Interrupting(Watching):
        def advance(self, steps):
            super().advance(steps)
            if self.left < 100 and not self.rows:
                os.kill(os.getpid(), signal.SIGINT)
                self.rows.append(None)

    machine, space = sweep.Machine(lanes=4, devices=ONE), {"seed": range(8)}
    with pytest.raises(Stopped) as stopped:
        sweep.run(light, space, HP, machine=machine, folder=tmp_path, observer=Interrupting())
    assert stopped.value.signal == signal.SIGINT
    watching = Watching()
    found = sweep.run(light, space, HP, machine=machine, folder=tmp_path, observer=watching)
    assert found.rows == sweep.run(light, space, HP, machine=machine).rows


@pytest.mark.slow
def test_lanes_that_take_long_are_saved_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr("lec7.sweep.wave.SAVE_SECONDS", 0.0)
    machine, space = sweep.Machine(lanes=4, devices=ONE), {"seed": range(4)}

    class Killing(Watching):
        def advance(self, steps):
            super().advance(steps)
            if self.left < 20:  # beyond step 12, at which all are evaluated
                raise Killed

    with pytest.raises(Killed):
        sweep.run(light, space, HP, machine=machine, folder=tmp_path, observer=Killing())
    watching = Watching()
    taken = []
    watching.advance = taken.append
    found = sweep.run(light, space, HP, machine=machine, folder=tmp_path, observer=watching)
    assert taken[0] == 4 * 12
    assert found.rows == sweep.run(light, space, HP, machine=machine).rows


@pytest.mark.slow
def test_a_sweep_that_is_stopped_again_and_again_keeps_what_it_has(tmp_path):
    """Each time at another place: while it is compiled, and after some steps."""

    class Interrupting(Watching):
        def __init__(self, at):
            super().__init__()
            self.at = at

        def advance(self, steps):
            super().advance(steps)
            if self.left <= self.at:
                self.at = -1
                os.kill(os.getpid(), signal.SIGINT)

    machine, space = sweep.Machine(lanes=2, devices=ONE), {"seed": range(2)}
    lefts = []
    for at in (40, 34, 20):  # of 40 steps in all: at once, and twice on the way
        watching = Interrupting(at)
        with pytest.raises(Stopped):
            sweep.run(light, space, HP, machine=machine, folder=tmp_path, observer=watching)
        lefts.append(watching.left)
    assert lefts[0] == 40 > lefts[1] > lefts[2] > 0
    watching = Watching()
    taken = []
    watching.advance = taken.append
    found = sweep.run(light, space, HP, machine=machine, folder=tmp_path, observer=watching)
    assert taken[0] == 40 - lefts[2]
    assert found.rows == sweep.run(light, space, HP, machine=machine).rows
    assert not list((tmp_path / "states").iterdir())


def test_a_folder_of_other_hyperparameters_is_refused(tmp_path):
    machine = sweep.Machine(lanes=1, devices=ONE)
    sweep.run(light, {"learning_rate": [0.1]}, HP, machine=machine, folder=tmp_path)
    with pytest.raises(InputError, match=r"a sweep with other hyperparameters .steps."):
        sweep.run(light, {"learning_rate": [0.1]}, dataclasses.replace(HP, steps=10), machine=machine, folder=tmp_path)


@pytest.mark.slow
def test_optuna_that_knows_all_there_is_ends():
    pytest.importorskip("optuna")
    machine = sweep.Machine(lanes=2, devices=ONE)
    found = sweep.run(light, {"nothing": ["a", "b", "c"]}, HP, draw=sweep.Draw(3, "tpe", batch=2), machine=machine)
    assert sorted(row.hyperparameters["nothing"] for row in found.rows) == ["a", "b", "c"]
    with pytest.raises(InputError, match="40 programs, more than 32"):
        sweep.run(light, {"width": range(8, 48)}, HP, draw=sweep.Draw(4, "tpe"), machine=machine)


@pytest.mark.slow
def test_optuna_is_asked_in_batches_and_told(tmp_path):
    pytest.importorskip("optuna")
    space = {"learning_rate": sweep.log(1e-4, 1.0), "nothing": ["", "x"], "seed": range(2)}
    options = {"draw": sweep.Draw(6, "tpe", batch=3), "machine": sweep.Machine(lanes=2, devices=ONE)}
    found = sweep.run(light, space, HP, folder=tmp_path, **options)
    assert [row.lane for row in found.rows] == list(range(12))
    assert len(found.settings()) == 6
    assert all(1e-4 <= row.hyperparameters["learning_rate"] <= 1 for row in found.rows)
    assert sweep.run(light, space, HP, folder=tmp_path, **options).rows == found.rows


def test_how_many_lanes_are_side_by_side_is_measured_and_told():
    watching = Watching()
    found = sweep.run(light, {"seed": range(5)}, HP, machine=sweep.Machine(devices=ONE), observer=watching)
    assert len(found.rows) == 5
    (said,) = watching.said
    assert said.startswith("lanes side by side: ")


@pytest.mark.slow
def test_what_a_device_has_no_memory_for_is_no_choice(monkeypatch):
    """The estimate may be wrong: then the device says so."""
    from lec7.sweep.runner import Runner

    measure = Runner._measure

    def scarce(self, wide):
        if wide.width > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        measure(self, wide)

    monkeypatch.setattr(Runner, "_measure", scarce)
    watching = Watching()
    sweep.run(light, {"seed": range(8)}, HP, machine=sweep.Machine(devices=ONE), observer=watching)
    assert watching.said[0].startswith(("lanes side by side: 1;", "lanes side by side: 2;"))


@pytest.mark.slow
def test_augmentations_and_schedules_are_swept():
    """An augmentation's factor is traced as well; it changes what it should, and the lane without it is the run."""

    def shifted(hp: Hyperparameters):
        images = jax.tree.map(lambda x: x, digits()[0].arrays)
        source = data.ArraySource(images | {"image": images["image"].reshape(-1, 8, 8, 1)})
        test = digits()[1].arrays
        held_out = data.ArraySource(test | {"image": test["image"].reshape(-1, 8, 8, 1)})
        made = light(hp)
        pipeline = augment.pipeline(augment.brightness(hp.shift))
        return dataclasses.replace(
            made,
            train=source,
            test=held_out,
            inputs=lambda batch: batch["image"].reshape(-1, 64),
            augment=augment.on_batch(pipeline),
        )

    machine = sweep.Machine(lanes=2, devices=ONE)
    found = sweep.run(shifted, {"shift": [0.1, 0.4]}, dataclasses.replace(HP, shift=0.1), machine=machine)
    for row in found.rows:
        alone = sweep.run(shifted, {"shift": [row.hyperparameters["shift"]]}, HP, machine=machine)
        np.testing.assert_allclose(row.metrics["test/loss"], alone.rows[0].metrics["test/loss"], rtol=1e-5)
    assert found.rows[0].metrics != found.rows[1].metrics
