"""Independent members in one program: each is the run of its seed."""

import dataclasses
import re
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, data, ensemble, experiment, losses, models, optim, schedules
from lec7.ensemble.members import SEED, Ensemble
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.train.checkpoints import Checkpoints
from lec7.train.lanes import hanging

SEEDS = (0, 3, 4, 9)


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    width: int = 16
    steps: int = 55
    seed: int = 0


def build(hp):
    """Digits, with all that a state can have: batch norm, dropout, Adam, two averages, snapshots."""
    train, test = data.digits()
    rate = schedules.cyclic_cosine(1e-2, 20)
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(64, (hp.width,), 10, keep=0.8, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optax.chain(optim.adam(rate), averaging.ema(0.9), averaging.swa(30, 5), averaging.snapshots(3, 20)),
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=64,
        seed=hp.seed,
        log_every=20,
        evaluate_every=20,
    )


@pytest.fixture(scope="module")
def solo():
    """The states of runs of one seed each, as `Experiment.fit` leaves them, and their losses."""
    runs = {}
    for seed in SEEDS:
        alone = build(Hyperparameters(seed=seed))
        state, losses_ = alone.init(), []
        for state, metrics in alone.fit(state):
            losses_.append(metrics["loss"])
        runs[seed] = state, np.concatenate(losses_)
    return runs


def member(state, i):
    return jax.tree.map(lambda x: x[i], state)


def trained(many, state):
    """The last state, and the losses [members, steps]."""
    losses = []
    for state, metrics in many.fit(state):
        losses.append(metrics["loss"])
    return state, np.concatenate(losses, axis=1)


@pytest.fixture(scope="module")
def dealt_out():
    """On four devices, one at a time on each, as is the default on a CPU."""
    many = ensemble.make(build, Hyperparameters(), SEEDS)
    return many, *trained(many, many.init())


@pytest.mark.slow
def test_each_member_is_the_run_of_its_seed_bit_for_bit(dealt_out, solo, same):
    many, state, losses = dealt_out
    assert (many.chunk, len(many.devices)) == (1, 8)
    for i, seed in enumerate(SEEDS):
        same(member(state, i), solo[seed][0])
        np.testing.assert_array_equal(losses[i], solo[seed][1])


@pytest.mark.slow
def test_one_compilation_serves_all_members_and_windows(caplog):
    many = ensemble.make(build, Hyperparameters(), SEEDS)
    state = many.init()
    with jax.log_compiles():
        _, losses = trained(many, state)
    assert losses.shape == (4, 55)  # windows of 20, 20 and 15 steps
    compiled = [record.message.split()[1] for record in caplog.records if record.message.startswith("Compiling")]
    assert compiled.count("jit(window)") == 1
    assert len(compiled) <= 4, compiled  # and a few slices


@pytest.mark.slow
def test_the_member_axis_is_dealt_out_over_devices(dealt_out):
    _, state, _ = dealt_out
    for leaf in jax.tree.leaves((state.params, state.opt_state)):
        assert len(leaf.sharding.device_set) == 4
        assert all(shard.data.shape[0] == 1 for shard in leaf.addressable_shards)


@pytest.mark.slow
@pytest.mark.parametrize(("chunk", "devices"), [(1, 1), (2, 2), (3, 1), (4, 1)])
def test_in_chunks_of_any_size_members_are_the_same_runs(solo, chunk, devices, same):
    many = ensemble.make(build, Hyperparameters(), SEEDS, chunk=chunk, devices=jax.devices()[:devices])
    state, losses = trained(many, many.init())
    for i, seed in enumerate(SEEDS):
        if chunk == 1:
            same(member(state, i), solo[seed][0])
        np.testing.assert_allclose(losses[i], solo[seed][1], rtol=2e-2, atol=1e-3)  # to rounding, 55 steps on
        np.testing.assert_allclose(losses[i, :5], solo[seed][1][:5], rtol=1e-4)


@pytest.mark.slow
def test_wide_layers_and_an_experiment_file_bit_for_bit_too(same):
    """The digits experiment as the command builds it: matrices large enough for XLA's own matrix product."""
    file = experiment.load(Path(__file__).parents[2] / "experiments" / "digits.py")
    hp = file.hyperparameters(steps=100, seed=5)
    state = ensemble.train(file.make, hp, (5, 6))
    for i, seed in enumerate((5, 6)):
        built = experiment.instantiate(file, dataclasses.replace(hp, seed=seed))
        for alone, _ in built.fit(built.init()):
            pass
        same(member(state, i), alone)


@pytest.mark.slow
def test_members_before_the_first_step_are_those_of_single_runs(dealt_out, same):
    many, _, _ = dealt_out
    state = many.init()
    for i, seed in enumerate(SEEDS):
        same(member(state, i), build(Hyperparameters(seed=seed)).init())


@pytest.mark.slow
def test_what_members_are_evaluated_with_is_what_single_runs_are(dealt_out, solo):
    many, state, _ = dealt_out
    found = many.variables(state)
    assert set(found) == {"ema", "swa", "raw", "snapshots"}
    alone = build(Hyperparameters())  # but for the seed, which a state has already, all are the same
    for i, seed in enumerate(SEEDS):
        for kind, variables in alone.variables(solo[seed][0]).items():
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), member(found[kind], i), variables
            )


@pytest.mark.slow
def test_the_figures_are_of_all_together_and_of_single_members(dealt_out, solo):
    many, state, _ = dealt_out
    figures = many.make_evaluation()(state)
    kinds = {name.partition("/")[0] for name in figures}
    assert kinds == {"test", "test_swa", "test_raw", "test_members", "test_snapshots"}
    evaluation = build(Hyperparameters()).make_evaluation()
    single = [evaluation(solo[seed][0]) for seed in SEEDS]
    for name in ("loss", "accuracy"):
        assert figures[f"test_members/{name}"] == pytest.approx(np.mean([one[f"test/{name}"] for one in single]), 1e-4)
    probabilities = ensemble.predict(many.first.model, many.variables(state)["ema"], many.test.arrays["image"])
    expected = ensemble.scores(probabilities, many.test.arrays["label"])
    assert figures["test/loss"] == pytest.approx(float(expected["nll"]), rel=1e-4)
    assert figures["test/accuracy"] == pytest.approx(float(expected["accuracy"]), rel=1e-6)


@pytest.mark.slow
def test_the_report_has_a_line_for_all_together_and_for_each(dealt_out):
    many, state, _ = dealt_out
    lines = ensemble.report(many, state)
    assert [(line.who, line.parameters) for line in lines] == [
        *((who, kind) for kind in ("ema", "swa", "raw") for who in ("4 together", *(f"seed {s}" for s in SEEDS))),
        ("8 together", "snapshots"),
    ]
    assert list(lines[0].figures) == ["accuracy", "loss", "nll", "brier", "ece", "disagreement"]
    assert lines[0].figures["loss"] == pytest.approx(lines[0].figures["nll"], rel=1e-5)
    figures = many.make_evaluation()(state)
    assert lines[0].figures["loss"] == pytest.approx(figures["test/loss"], rel=1e-5)
    assert lines[-1].figures["loss"] == pytest.approx(figures["test_snapshots/loss"], rel=1e-5)


@pytest.mark.slow
def test_new_averages_begin_at_the_members_parameters(dealt_out, same):
    many, state, _ = dealt_out
    new = many.with_new_averages(state)
    same(new.params, state.params)
    rest, averages = averaging.take_out(new.opt_state)
    same(rest, averaging.take_out(state.opt_state)[0])
    assert {int(t) for average in averages for t in average.t} == {0}


class Watcher:
    """May send a signal at a step."""

    def __init__(self, kill_at=None):
        self.kill_at = kill_at

    def begin(self, step, steps): ...

    def row(self, row):
        if row["step"] == self.kill_at:
            self.kill_at = None
            signal.raise_signal(signal.SIGTERM)

    def say(self, text): ...


def run_folder(path):
    return experiment.RunFolder.create(path, "run", "x", overwrite=False, needed=0)


@pytest.mark.slow
def test_as_a_run_it_is_stopped_and_resumed_bit_for_bit(dealt_out, tmp_path, same):
    many, state, losses = dealt_out
    folder = run_folder(tmp_path)
    assert experiment.run(many, folder, Watcher(kill_at=20)).status == "interrupted"
    outcome = experiment.run(many, folder, Watcher(), resume=True)
    assert (outcome.status, outcome.step) == ("finished", 55)
    with Checkpoints(folder.checkpoints_path) as checkpoints:
        same(checkpoints.restore(many.init()).state, state)
    rows = [row for row in folder.metrics() if "train/loss" in row]
    np.testing.assert_allclose(rows[0]["train/loss"], losses[:, :20].mean(), rtol=1e-6)
    assert outcome.metrics == pytest.approx(many.make_evaluation()(state))


def wild(hp):
    """A rate that is beyond all bounds for one seed, at the seventh step."""
    rate = jnp.where(hp.seed == 4, 1e38, 1e-3)
    return dataclasses.replace(build(hp), optimizer=optim.sgd(lambda t: jnp.where(t == 6, rate, 1e-3)))


def test_a_member_that_diverges_stops_the_run_and_is_named(tmp_path):
    many = ensemble.make(wild, Hyperparameters(), SEEDS)
    outcome = experiment.run(many, run_folder(tmp_path), Watcher())
    assert (outcome.status, outcome.step) == ("diverged", 8)
    assert re.search(r"the loss became (nan|inf) at step 8 \(member 2, learning_rate 0.001\)", outcome.message)


def bagged(hp):
    """Each member with training examples of its own, drawn with replacement."""
    built = build(dataclasses.replace(hp, steps=10))
    indices = jax.random.randint(jax.random.key(hp.seed), (500,), 0, len(built.train))
    return dataclasses.replace(built, train=data.take(built.train, indices))


@pytest.mark.slow
def test_members_may_have_training_examples_of_their_own(same):
    state = ensemble.train(bagged, Hyperparameters(), (1, 2))
    for i, seed in enumerate((1, 2)):
        built = bagged(Hyperparameters(seed=seed))
        for alone, _ in built.fit(built.init()):
            pass
        same(member(state, i), alone)


def on_tests_of_its_own(hp):
    built = build(hp)
    return dataclasses.replace(built, test=data.take(built.test, jnp.arange(100) + hp.seed))


def knows_its_seed(hp):
    return dataclasses.replace(build(hp), batch_size=64 + np.random.default_rng(hp.seed).integers(2))


@dataclasses.dataclass(frozen=True)
class Seedless:
    steps: int = 5


def two_answers(hp):
    """A linear model whose outputs are a dict, on pixels that `jnp` standardises while it is built."""
    train, test = data.digits()
    pixels = train.arrays["image"].reshape(-1, 64)
    mean, std = jnp.mean(pixels, axis=0, keepdims=True), jnp.std(pixels, axis=0, keepdims=True) + 0.1

    def standardised(source):
        return data.ArraySource(source.arrays | {"image": (source.arrays["image"].reshape(-1, 64) - mean) / std})

    def apply(own, x, **mode):
        logits = x @ own.params["w"]
        return {"logits": logits, "twice": 2 * logits}, own.state

    def loss(outputs, batch):
        return losses.cross_entropy(outputs["logits"], batch) | {"twice": outputs["twice"].sum(-1)}

    return dataclasses.replace(
        build(dataclasses.replace(hp, steps=5)),
        model=models.Model(lambda key, x: models.Variables({"w": jax.random.normal(key, (64, 10)) / 8}, {}), apply),
        loss=loss,
        optimizer=optim.sgd(0.1),
        train=standardised(train),
        test=standardised(test),
    )


@pytest.fixture(scope="module")
def elsewhere():
    """Members on one device that is not the first."""
    many = ensemble.make(two_answers, Hyperparameters(), (0, 3), devices=jax.devices()[5:6])
    return many, trained(many, many.init())[0]


def test_a_single_device_that_is_asked_for_is_used(elsewhere):
    many, state = elsewhere
    assert {device for leaf in jax.tree.leaves(state) for device in leaf.devices()} == {jax.devices()[5]}
    assert many.variables(state)["raw"].params["w"].devices() == {jax.devices()[5]}


def test_examples_that_the_device_computes_for_all_members_are_those_of_all(elsewhere):
    """All that `jnp` makes inside of a trace is traced: that alone does not make it the seed's."""
    many, _ = elsewhere
    assert many._source.arrays["image"].shape == many.first.train.arrays["image"].shape == (1437, 64)


def test_what_hangs_on_a_seed_is_told_through_all_that_is_made_of_it():
    def arrays(seed):
        a, b = jnp.arange(4), jax.random.key(seed)
        noise = jax.random.normal(b, (4,))
        own, shared = jax.jit(lambda a, noise: (a + noise, a + 1))(a, noise)
        return {
            "a": jnp.sort(a * 2),
            "b": jax.random.permutation(jax.random.key(0), a),
            "c": jnp.cumsum(a + noise),
            "own": own,
            "shared": shared,
        }

    assert hanging(arrays, SEED) == {"a": False, "b": False, "c": True, "own": True, "shared": False}


def test_outputs_that_are_no_single_array_are_averaged_each(elsewhere):
    many, state = elsewhere
    figures, w, test = many.make_evaluation()(state), np.asarray(state.params["w"]), many.test.arrays
    twice = (2 * np.asarray(test["image"]) @ w.mean(0)).sum(-1)
    assert figures["test/twice"] == pytest.approx(twice.mean(), rel=1e-4)
    lines = ensemble.report(many, state)
    assert [line.who for line in lines] == ["2 together", "seed 0", "seed 3"]
    assert lines[0].figures == pytest.approx({name: figures[f"test/{name}"] for name in ("loss", "accuracy", "twice")})


@pytest.mark.slow
def test_the_report_leaves_out_snapshots_that_are_not_taken(dealt_out):
    """Of members that have more and fewer of them, as where steps were skipped."""
    many, state, _ = dealt_out

    def fewer(node):
        if not (isinstance(node, averaging.AverageState) and isinstance(node.kept, averaging.Snapshots)):
            return node
        return dataclasses.replace(node, kept=node.kept._replace(n=jnp.array([2, 1, 1, 0], jnp.int32)))

    opt_state = jax.tree.map(fewer, state.opt_state, is_leaf=lambda node: isinstance(node, averaging.AverageState))
    state = state.replace(opt_state=opt_state)
    line = ensemble.report(many, state)[-1]
    assert (line.who, line.parameters) == ("4 together", "snapshots")
    figures = many.make_evaluation()(state)
    assert line.figures["loss"] == pytest.approx(figures["test_snapshots/loss"], rel=1e-5)
    assert line.figures["nll"] == pytest.approx(figures["test_snapshots/loss"], rel=1e-5)


BAD = {
    "no devices": ((build, Hyperparameters(), (0, 1), None, ()), "devices are none, expected at least one"),
    "nobody side by side": ((build, Hyperparameters(), (0, 1), 0), "chunk is 0, expected how many run side by side"),
    "no seeds": ((build, Hyperparameters(), ()), r"seeds are \(\), expected at least one"),
    "a negative seed": ((build, Hyperparameters(), (0, -1)), "seeds have -1 among them, expected ints from 0 to"),
    "a broken seed": ((build, Hyperparameters(), (0, 1.5)), "seeds have 1.5 among them, expected ints from 0 to"),
    "a number of seeds": ((build, Hyperparameters(), 4), r"seeds are 4, expected at least one int, .* range\(4\)"),
    "a seed twice": ((build, Hyperparameters(), (3, 1, 3)), "seeds have 3 twice, expected different ones"),
    "no field": ((build, Seedless(), (0, 1)), "expected a dataclass with a field seed"),
    "no dataclass": ((build, {"seed": 0}, (0, 1)), "expected a dataclass with a field seed"),
    "a seed that must be known": ((knows_its_seed, Hyperparameters(), (0, 1)), "can't do with a seed that is traced"),
    "tests of their own": ((on_tests_of_its_own, Hyperparameters(), (0, 1)), "the test examples hang on the seed"),
    "no steps": ((build, Hyperparameters(steps=0), (0, 1)), "steps is 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_met_before_any_work(what):
    arguments, message = BAD[what]
    with pytest.raises(InputError, match=message):
        ensemble.make(*arguments)


def test_an_ensemble_runs_where_an_experiment_does():
    names = {name for name in dir(experiment.run.__globals__["Trainable"]) if not name.startswith("_")}
    assert names <= set(dir(Ensemble))
