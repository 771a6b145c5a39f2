"""Batch statistics of parameters that no training step has had."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lec7.errors import InputError
from lec7.models import MLP, Model, Variables, from_linen, from_nnx, has_statistics, refresh_statistics

X = np.random.default_rng(0).normal(size=(6, 50, 4)).astype(np.float32) * 2 + 1


class Linen(flax.linen.Module):
    momentum: float = 0.99

    @flax.linen.compact
    def __call__(self, x, train: bool):
        x = flax.linen.Dense(3)(x)
        return flax.linen.BatchNorm(use_running_average=not train, momentum=self.momentum)(x)


class Nnx(nnx.Module):
    def __init__(self, rngs, momentum):
        self.linear = nnx.Linear(4, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, momentum=momentum, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.linear(x))


def hand_made(momentum):
    """A pair of functions with running means of its own, a counter, and a direction that is no running mean."""

    def init(key, inputs):
        state = {"mean": jnp.zeros(3), "var": jnp.ones(3), "calls": jnp.int32(5), "u": jnp.array([0.6, 0.8])}
        return Variables({"w": jax.random.normal(key, (4, 3))}, state)

    def apply(variables, inputs, *, train, key=None):
        state, h = variables.state, inputs @ variables.params["w"]
        if not train:
            return h, state
        rotated = state["u"][::-1] + 0.1
        new = {
            "mean": momentum * state["mean"] + (1 - momentum) * h.mean(0),
            "var": momentum * state["var"] + (1 - momentum) * h.var(0),
            "calls": state["calls"] + 1,
            "u": rotated / jnp.linalg.norm(rotated),
        }
        return h, new

    return Model(init, apply)


MODELS = {
    "linen": (lambda momentum: from_linen(Linen(momentum)), lambda p: X @ p["Dense_0"]["kernel"], "batch_stats"),
    "nnx": (lambda m: from_nnx(lambda rngs: Nnx(rngs, m)), lambda p: X @ p["linear"]["kernel"], "norm"),
    "functions": (hand_made, lambda p: X @ p["w"], None),
}


def found(state, place):
    return state if place is None else state["norm"] if place == "norm" else state[place]["BatchNorm_0"]


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_plain_mean_over_batches_whichever_library_wrote_the_layer(name, momentum):
    make, hidden, place = MODELS[name]
    model = make(momentum)
    variables = model.init(jax.random.key(0), X[0])
    for x in X[:2]:  # statistics of somebody else's, to be forgotten
        _, state = model.apply(variables, 10 * x, train=True, key=jax.random.key(0))
        variables = variables._replace(state=state)
    fresh = jax.jit(lambda: refresh_statistics(model, variables, jnp.asarray(X)))()
    h = np.asarray(hidden(variables.params), np.float64)
    got = found(fresh, place)
    np.testing.assert_allclose(got["mean"], h.mean((0, 1)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["var"], h.var(1).mean(0), rtol=2e-4)


def test_state_of_another_kind_stays_as_it_is():
    model = hand_made(0.9)
    variables = model.init(jax.random.key(0), X[0])
    fresh = refresh_statistics(model, variables, jnp.asarray(X))
    np.testing.assert_array_equal(fresh["u"], variables.state["u"])
    assert int(fresh["calls"]) == 5


@pytest.mark.parametrize("bad", [0, 3, 5])
def test_a_batch_that_is_not_finite_does_not_count(bad):
    model, x = hand_made(0.9), X.copy()
    variables = model.init(jax.random.key(0), X[0])
    x[bad, 7] = np.inf
    fresh = refresh_statistics(model, variables, jnp.asarray(x))
    expected = np.delete(X @ variables.params["w"], bad, axis=0).mean((0, 1))
    np.testing.assert_allclose(fresh["mean"], expected, rtol=1e-4, atol=1e-5)


class Spectral(flax.linen.Module):
    """A direction `u` and its `sigma` by power iteration, and a batch norm behind them."""

    momentum: float
    out: int = 3

    @flax.linen.compact
    def __call__(self, x, train: bool):
        x = flax.linen.SpectralNorm(flax.linen.Dense(self.out))(x, update_stats=train)
        return flax.linen.BatchNorm(use_running_average=not train, momentum=self.momentum)(x)


@pytest.mark.parametrize("out", [3, 1])
def test_a_direction_and_a_norm_are_no_running_means(out):
    model = from_linen(Spectral(0.9, out))
    variables = model.init(jax.random.key(0), X[0])
    for x in X:
        _, state = model.apply(variables, x, train=True)
        variables = variables._replace(state=state)
    fresh = jax.jit(lambda: refresh_statistics(model, variables, jnp.asarray(X)))()
    for before, after in zip(*map(jax.tree.leaves, (state["batch_stats"], fresh["batch_stats"])), strict=True):
        assert np.isfinite(after).all()
        assert np.abs(after).max() > 0.1 * np.abs(before).max()
    for name, leaf in state["batch_stats"]["SpectralNorm_0"].items():
        np.testing.assert_allclose(fresh["batch_stats"]["SpectralNorm_0"][name], leaf, rtol=1e-6)
    h = X @ variables.params["Dense_0"]["kernel"] / state["batch_stats"]["SpectralNorm_0"]["Dense_0/kernel/sigma"]
    np.testing.assert_allclose(fresh["batch_stats"]["BatchNorm_0"]["mean"], h.mean((0, 1)), rtol=1e-2, atol=1e-3)


def test_constants_stay_as_they_are_and_what_they_divide_is_refreshed():
    """What inputs are standardised with, as it may be kept in the state; one of them is infinite, as a mask's is."""

    def init(key, x):
        return Variables({}, {"std": jnp.full((1, 4), 2.0), "mask": jnp.array([0.0, -jnp.inf]), "mean": jnp.ones(4)})

    def apply(variables, x, *, train, key=None):
        state, h = variables.state, x / variables.state["std"] * (1 + jnp.exp(variables.state["mask"][1]))
        return h, state | {"mean": 0.99 * state["mean"] + 0.01 * h.mean(0)}

    model = Model(init, apply)
    variables = model.init(jax.random.key(0), X[0])
    for refresh in (refresh_statistics, jax.jit(refresh_statistics, static_argnums=0)):
        fresh = refresh(model, variables, jnp.asarray(X))
        np.testing.assert_allclose(fresh["mean"], X.mean((0, 1)) / 2, rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(fresh["std"], variables.state["std"])
        np.testing.assert_array_equal(fresh["mask"], variables.state["mask"])


class NnxStandardized(nnx.Module):
    def __init__(self, rngs):
        self.std = nnx.Variable(jnp.full((1, 4), 2.0))
        self.norm = nnx.BatchNorm(4, rngs=rngs)

    def __call__(self, x):
        return self.norm(x / self.std[...])


class LinenStandardized(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x, train: bool):
        std = self.variable("constants", "std", lambda: jnp.full((1, 4), 2.0))
        return flax.linen.BatchNorm(use_running_average=not train)(x / std.value)


@pytest.mark.parametrize("model", [from_nnx(NnxStandardized), from_linen(LinenStandardized())], ids=["nnx", "linen"])
def test_a_constant_is_told_from_a_running_mean_in_modules_too(model):
    params, state = model.init(jax.random.key(0), X[0])
    fresh = jax.jit(lambda: refresh_statistics(model, Variables(params, state), jnp.asarray(X)))()
    norm = fresh["norm"] if "norm" in fresh else fresh["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(norm["mean"], X.mean((0, 1)) / 2, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(fresh.get("constants", fresh)["std"], np.full((1, 4), 2.0))


def test_statistics_in_bfloat16_are_summed_in_float32():
    """Of 600 batches whose mean is 1 the sum in bfloat16 would stop at 256."""

    def apply(variables, x, *, train, key=None):
        return x, {"mean": 0.9 * variables.state["mean"] + 0.1 * x.mean(0)}

    x = np.random.default_rng(1).normal(size=(600, 5, 4)).astype(np.float32) / 10 + 1
    model = Model(lambda key, x: Variables({}, {}), apply)
    fresh = refresh_statistics(model, Variables({}, {"mean": jnp.zeros(4, jnp.bfloat16)}), jnp.asarray(x))["mean"]
    assert fresh.dtype == jnp.bfloat16
    np.testing.assert_allclose(fresh.astype(float), x.mean((0, 1)), rtol=2**-8)


def test_without_a_finite_batch_statistics_stay_as_they_were():
    model = hand_made(0.9)
    variables = model.init(jax.random.key(0), X[0])
    fresh = refresh_statistics(model, variables, jnp.full_like(X, jnp.nan))
    for name, leaf in variables.state.items():
        np.testing.assert_array_equal(fresh[name], leaf)


def test_a_leaf_that_is_never_finite_spoils_no_other_and_a_spoilt_one_is_made_good():
    def apply(variables, x, *, train, key=None):
        a, b = variables.state["a"], variables.state["b"]
        return x, {"a": 0.9 * a + 0.1 * x.mean(0), "b": 0.9 * b + 0.1 * jnp.log(-(x.mean(0) ** 2))}

    model = Model(lambda key, x: Variables({}, {}), apply)
    state = {"a": jnp.full(4, jnp.nan), "b": jnp.full(4, 7.0)}
    fresh = refresh_statistics(model, Variables({}, state), jnp.asarray(X))
    np.testing.assert_allclose(fresh["a"], X.mean((0, 1)), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(fresh["b"], state["b"])


@pytest.mark.slow
def test_noise_of_training_comes_from_the_key():
    model = from_nnx(lambda rngs: MLP(4, (8, 8), 3, keep=0.5, rngs=rngs))
    variables = model.init(jax.random.key(0), X[0])
    one, same, other = (
        refresh_statistics(model, variables, jnp.asarray(X), key=jax.random.key(seed))["norms"]["1"]["mean"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_batches_that_are_none_or_lack_their_axis_are_refused():
    model = from_nnx(lambda rngs: MLP(4, (3,), 2, rngs=rngs))
    params, state = model.init(jax.random.key(0), X[0])
    for batches, words in (
        (X[:0], r"batches have shapes \[\(0, 50, 4\)\], expected \[batches, batch, ...\] .* at least 1"),
        (X[0, 0], "expected"),
        (X[0].T, "the model could not be called on one of them"),
        ({}, "expected"),
        ({"a": X, "b": X[:5]}, "of one number of batches"),
    ):
        with pytest.raises(InputError, match=words):
            refresh_statistics(model, Variables(params, state), batches)


@pytest.mark.slow
def test_which_states_may_have_statistics():
    assert has_statistics({"norm": {"mean": jnp.zeros(3)}})
    assert not has_statistics({"calls": jnp.int32(0)})
    assert not has_statistics({})
