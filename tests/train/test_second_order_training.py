"""Methods of second order in the training step: with the full batch, with small ones, and with dropout."""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, experiment, losses, models, optim, train
from lec7.errors import InputError


def trained(small, optimizer, batch_size, steps, keep=1.0):
    model = models.from_nnx(lambda rngs: models.MLP(6, (8,), 3, keep=keep, rngs=rngs))
    step = train.make_step(model, losses.cross_entropy, optimizer)
    state = train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 6)))
    rows = []
    for state, metrics in train.fit(step, state, small.source, steps=steps, batch_size=batch_size, every=10):
        rows.append(metrics)
    return state, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["newton_cg", "lbfgs"])
def test_the_full_batch_is_learned_and_each_step_lowers_the_loss(small, name):
    state, metrics = trained(small, optax.chain(optim.by_name(name, 0.1), averaging.ema(0.9)), 100, 20)
    loss = metrics["loss"]
    assert (np.diff(loss) < 1e-5).all()
    assert loss[-1] < 0.7 * loss[0]
    assert {"step_size", "evaluations", "failed_searches"} <= metrics.keys()
    assert (metrics["evaluations"] >= 1).all()
    assert "ema" in averaging.averages(state.opt_state, state.params)


@pytest.mark.slow
def test_small_batches_and_dropout_run_and_are_searched_with_the_noise_of_the_step(small):
    _, metrics = trained(small, optim.lbfgs(), 20, 30, keep=0.5)
    assert np.isfinite(metrics["loss"]).all()
    # With noise of its own at each evaluation, a search would not end in a step or two.
    assert metrics["evaluations"].mean() < 5


EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.slow
def test_a_network_that_is_too_large_for_a_matrix_is_refused_before_the_run():
    file = experiment.load(EXPERIMENTS / "digits.py")
    with pytest.raises(InputError, match=r"BFGS keeps a matrix of 85,514 x 85,514 numbers .* use optim.lbfgs\(\)"):
        experiment.check(file.build(file.hyperparameters(optimizer="bfgs")))


@pytest.mark.slow
def test_the_experiment_prints_its_tables_and_draws(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    second_order = importlib.import_module("second_order")
    options = second_order.Options(gradients=60, small_gradients=2, output=tmp_path / "picture.png")
    assert len(list(second_order.main(options))) == 2
    printed = capsys.readouterr().out
    for name in ("Newton-CG", "BFGS", "L-BFGS", "Adam, rate", "momentum, rate"):
        assert f"| {name}" in printed
    assert (tmp_path / "picture.png").stat().st_size > 10_000
