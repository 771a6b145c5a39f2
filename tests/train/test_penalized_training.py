"""Penalties in the step: in the loss that is minimized, told apart, and not in the evaluation."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import data, ensemble, experiment, losses, models, optim, regularize, train
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.models import Model, Variables

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 5)), RNG.normal(size=(12, 2))
W = RNG.normal(size=(5, 2))
BATCH = {"image": X, "target": Y}


def linear_model():
    """Linear regression as a plain pair of functions."""

    def apply(variables, inputs, *, train, key=None):
        return inputs @ variables.params["w"], variables.state

    return Model(lambda key, inputs: Variables({"w": jnp.asarray(W)}, {}), apply)


def step_of(tx, penalty):
    model = linear_model()
    step = train.make_step(model, losses.squared_error, tx, penalty=penalty)
    return train.jit(step)(train.init(jax.random.key(0), model, tx, jnp.asarray(X)), jax.tree.map(jnp.asarray, BATCH))


def test_a_step_descends_the_loss_and_the_penalties(x64):
    """Ridge and lasso by hand."""
    state, metrics = step_of(optim.sgd(0.1), regularize.penalties(regularize.l2(0.3), regularize.l1(0.2)))
    grad = X.T @ (X @ W - Y) / 12 + 0.6 * W + 0.2 * np.sign(W)
    np.testing.assert_allclose(state.params["w"], W - 0.1 * grad, rtol=1e-12)
    terms = {"l2": 0.3 * np.sum(W**2), "l1": 0.2 * np.sum(np.abs(W))}
    for name, value in terms.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-12)
    plain = 0.5 * np.sum((X @ W - Y) ** 2) / 12
    np.testing.assert_allclose(metrics["loss"], plain + sum(terms.values()), rtol=1e-12)


def test_the_optimizer_sees_the_penalty_in_value_and_function(x64):
    seen = {}

    def update(updates, state, params=None, *, value, value_fn, **extra):
        seen.update(value=value, again=value_fn(params))
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    model = linear_model()
    step = train.make_step(model, losses.squared_error, spy, penalty=regularize.l2(0.3))
    _, metrics = step(train.init(jax.random.key(0), model, spy, jnp.asarray(X)), jax.tree.map(jnp.asarray, BATCH))
    assert float(seen["value"]) == float(seen["again"]) == float(metrics["loss"])


def test_sam_takes_its_second_gradient_of_the_penalty_too(x64):
    state, _ = step_of(regularize.sam(optim.sgd(0.1), 0.5), regularize.l2(0.3))

    def gradient(w):
        return X.T @ (X @ w - Y) / 12 + 0.6 * w

    g = gradient(W)
    np.testing.assert_allclose(state.params["w"], W - 0.1 * gradient(W + 0.5 * g / np.linalg.norm(g)), rtol=1e-12)


def test_frozen_parameters_count_and_stay():
    state, metrics = step_of(optim.groups({"w": optim.frozen()}), regularize.l2(0.3))
    np.testing.assert_allclose(metrics["l2"], 0.3 * np.sum(W**2), rtol=1e-6)
    np.testing.assert_array_equal(state.params["w"], jnp.asarray(W))


def test_a_name_that_the_loss_has_is_refused():
    for name in ("loss", "accuracy"):
        with pytest.raises(InputError, match=f"the penalty gave '{name}', which the loss gives as well"):
            train.make_step(
                linear_model(),
                lambda outputs, batch: {"loss": outputs[:, 0], "accuracy": outputs[:, 0]},
                optim.sgd(0.1),
                penalty=regularize.l2(0.1, name=name),
            )(train.init(jax.random.key(0), linear_model(), optim.sgd(0.1), jnp.asarray(X)), BATCH)


def made(penalty, seed=0):
    source = data.ArraySource({"image": X.astype(np.float32), "label": (np.arange(12) % 2).astype(np.int32)})
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(5, (4,), 2, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optim.sgd(0.1),
        train=source,
        test=source,
        steps=2,
        batch_size=6,
        seed=seed,
        log_every=2,
        penalty=penalty,
    )


def test_an_experiment_logs_its_penalty_and_evaluates_without():
    one = made(regularize.l2(0.1, ".*/kernel"))
    experiment.check(one)
    ((state, metrics),) = one.fit(one.init())
    assert metrics["l2"].shape == (2,)
    evaluated, plain = (e.make_evaluate()(state.variables, e.test) for e in (one, made(None)))
    assert sorted(evaluated) == ["accuracy", "loss"]
    np.testing.assert_array_equal(evaluated["loss"], plain["loss"])


def test_an_ensemble_trains_with_it():
    @dataclass(frozen=True)
    class Hyperparameters:
        seed: int = 0

    many = ensemble.make(
        lambda hp: made(regularize.l2(0.1), hp.seed), Hyperparameters(), range(2), devices=jax.devices()[:1]
    )
    ((_, metrics),) = many.fit(many.init())
    assert metrics["l2"].shape == (2, 2)


def test_a_pattern_that_matches_nothing_is_told_before_the_work_begins():
    with pytest.raises(InputError, match="no leaf matches 'haed/"):
        experiment.check(made(regularize.l2(0.1, "haed/.*")))


@pytest.mark.slow
def test_lanes_of_rates_and_seeds_are_single_runs_bit_for_bit():
    """Parameters; the loss that is told is a sum over all weights too, which XLA takes in an order of its own."""

    def run(rate, seed):
        one = made(regularize.penalties(regularize.l2(rate, ".*/kernel"), regularize.l1(rate)), seed)
        one = replace(one, loss=losses.smoothed_cross_entropy(rate), steps=20)
        state, metrics = train.scan(one.make_step(), 20, train.draw(6))(one.init(), one.train)
        return state.params, metrics["nll"], metrics["loss"]

    lanes = jax.jit(jax.vmap(run))(jnp.array([0.1, 0.03]), jnp.array([0, 1]))
    for i, rate in enumerate((0.1, 0.03)):
        single = jax.jit(lambda rate=rate, seed=i: run(np.float32(rate), seed))()
        jax.tree.map(lambda lane, leaf: np.testing.assert_array_equal(lane[i], leaf), lanes[0], single[0])  # noqa: B023
        for lane, leaf in zip(lanes[1:], single[1:], strict=True):
            np.testing.assert_allclose(lane[i], leaf, rtol=1e-5)


def test_a_penalty_called_as_what_the_optimizer_tells_is_refused():
    with pytest.raises(InputError, match="'learning_rate', which is what the optimizer tells"):
        step_of(optim.sgd(0.1), regularize.l2(0.3, name="learning_rate"))
