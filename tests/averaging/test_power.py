"""Averages of any length, reconstructed afterwards, against those averages themselves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import averaging
from lec7.averaging.power import _gamma
from lec7.errors import InputError


def weights(length, steps):
    gamma = np.roots([1, 7, 16 - length**-2, 12 - length**-2]).real.max()
    s = np.arange(1.0, steps + 1)
    return (s ** (gamma + 1) - (s - 1) ** (gamma + 1)) / steps ** (gamma + 1)


@jax.jit
def run(rows):
    tx = averaging.power_ema()

    def step(state, row):
        return tx.update(jnp.zeros_like(row), state, row)[1], None

    return jax.lax.scan(step, tx.init(rows[0]), rows)[0]


@pytest.fixture(scope="module")
def path():
    """Something like the way of parameters: fast at first, then slower, with noise."""
    rng, t = np.random.default_rng(0), np.arange(1.0, 1001)[:, None]
    return np.cumsum(rng.normal(size=(1000, 40)) / np.sqrt(t), axis=0) + rng.normal(size=40) * np.log(t)


WRONG = {0.03: 0.01, 0.05: 1e-5, 0.07: 1e-3, 0.1: 1e-5, 0.15: 5e-3, 0.2: 0.03}


@pytest.mark.parametrize("length", WRONG)
def test_any_length_is_reconstructed(path, length):
    """Of 16 snapshots thinning has left 15 by then. The oracle is that average run directly; errors are relative to how
    far parameters are from it on their way.
    """
    state, last = run(jnp.asarray(path, jnp.float32)), jnp.asarray(path[-1], jnp.float32)
    expected = weights(length, len(path)) @ path
    got = averaging.reconstruct(state, last, length)
    wrong = np.linalg.norm(got - expected) / np.linalg.norm(path - expected, axis=1).mean()
    assert wrong < WRONG[length]
    others = averaging.reconstruct(state, last, 0.25 if length < 0.15 else 0.03)
    assert np.linalg.norm(others - expected) > 10 * np.linalg.norm(got - expected)


@pytest.mark.parametrize("length", [0.02, *WRONG, 0.25, 0.288])
@pytest.mark.parametrize("steps", [3, 95, 1000])
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_of_parameters_that_stay_any_length_is_those_parameters(dtype, steps, length):
    state = still(dtype, steps)
    got = averaging.reconstruct(state, jnp.full(2, 3.0), length)
    np.testing.assert_allclose(got, 3, rtol=1e-5)


@functools.cache
def still(dtype, steps):
    tx, x = averaging.power_ema(dtype=dtype), jnp.full(2, 3.0)
    step = jax.jit(lambda s: jax.lax.scan(lambda s, _: (tx.update(0 * x, s, x)[1], None), s, length=steps)[0])
    return step(tx.init(x))


def test_snapshots_stay_evenly_apart_however_long_training_is(path):
    for steps in (5, 16, 17, 100, 1000):
        kept = run(jnp.asarray(path[:steps], jnp.float32)).kept
        times = np.asarray(kept.times)[: int(kept.taken)]
        assert len(times) == steps if steps <= 16 else 8 <= len(times) <= 16
        np.testing.assert_array_equal(times, np.arange(1, len(times) + 1) * int(kept.every))
        for time, snapshot in zip(times, kept.snapshots, strict=False):
            np.testing.assert_allclose(snapshot[0], weights(0.05, time) @ path[:time], rtol=2e-3, atol=1e-4)


def test_in_single_precision_the_part_of_a_step_survives_a_million_steps():
    tx = averaging.power_ema()
    state = tx.init(jnp.array(0.0))
    kept = state.kept._replace(every=jnp.int32(2**30))
    state = jax.tree.map(lambda x: x, averaging.AverageState(jnp.int32(10**6 - 1), jnp.int32(1), kept, "power_ema"))
    _, state = tx.update(jnp.array(0.0), state, jnp.array(1.0))
    gamma = np.roots([1, 7, 16 - 400, 12 - 400]).real.max()
    np.testing.assert_allclose(state.kept.tracks[0], -np.expm1((gamma + 1) * np.log1p(-1e-6)), rtol=1e-5)


def test_the_exponent_of_a_length_is_the_paper_s():
    """Table 1 of Karras et al., 2024, to the digits printed there: 16.97 and 6.94 for 5 % and 10 %."""
    assert round(float(_gamma(np.float64(0.05))), 2) == 16.97
    assert round(float(_gamma(jnp.float32(0.10))), 2) == 6.94
    for length in np.linspace(0.005, 0.288, 30):
        gamma = float(_gamma(length))
        np.testing.assert_allclose((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)), length**2, rtol=1e-12)


def test_of_several_runs_one_is_asked_for():
    x = jnp.ones((4, 3))
    state = jax.vmap(averaging.power_ema().init)(x)
    with pytest.raises(InputError, match="'power_ema' is one of members, along an axis of 4, expected that of one run"):
        averaging.reconstruct(state, x, 0.1)


def test_without_one_or_without_a_step_nothing_is_reconstructed():
    x = jnp.array(1.0)
    for state in (averaging.ema(0.9).init(x), averaging.power_ema().init(x)):
        with pytest.raises(InputError, match="holds no power_ema 'power_ema' that has seen a step"):
            averaging.reconstruct(state, x, 0.1)
    with pytest.raises(InputError, match=r"length is 0.5, expected a number in \(0, 0.288\]"):
        averaging.reconstruct(averaging.power_ema().init(x), x, 0.5)
