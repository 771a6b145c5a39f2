"""What holds for every noise at any shape, rate and key. The programs are few: shapes come from a short list."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lec7 import regularize


class Case(NamedTuple):
    """A noise of a key, x and a rate; the rate that is none, those that are some; its standard deviation at a rate."""

    noise: Callable[..., jax.Array]
    none: float
    rates: st.SearchStrategy[float]
    deviation: Callable[..., np.ndarray]


def dropped(x, keep):
    """Of a mask that is 1/keep with chance keep."""
    return np.abs(x) * np.sqrt((1 - keep) / keep)


KEEP, STD = (st.floats(low, high, width=32) for low, high in ((0.25, 1.0), (0.0, 4.0)))
CASES = {
    "dropout": Case(regularize.dropout, 1.0, KEEP, dropped),
    "spatial_dropout": Case(regularize.spatial_dropout, 1.0, KEEP, dropped),
    "drop_connect": Case(regularize.drop_connect, 1.0, KEEP, dropped),
    "stochastic_depth": Case(regularize.stochastic_depth, 1.0, KEEP, dropped),
    "gaussian_noise": Case(regularize.gaussian_noise, 0.0, STD, lambda x, std: np.full_like(x, std)),
}
every = pytest.mark.parametrize("name", CASES)
few = settings(max_examples=8, deadline=None)
SHAPES = ((3, 2), (2, 1, 2, 3))
SEEDS = st.integers(0, 2**32 - 1)
DRAWS = 1000


@st.composite
def arrays(draw):
    """Floats of one of the shapes, negative zeros among them; of the small ones no multiple is taken for 0 by XLA."""
    shape = draw(st.sampled_from(SHAPES))
    values = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-30)
    n = int(np.prod(shape))
    return np.array(draw(st.lists(values, min_size=n, max_size=n)), np.float32).reshape(shape)


@cache
def compiled(name):
    """The noise of a key: one program for each shape."""
    return jax.jit(CASES[name].noise)


@cache
def many(name):
    """The noise of many keys, side by side."""
    return jax.jit(jax.vmap(CASES[name].noise, in_axes=(0, None, None)))


@every
@few
@given(x=arrays(), seed=SEEDS)
def test_no_noise_is_the_identity_to_the_bit(name, x, seed):
    y = np.asarray(compiled(name)(jax.random.key(seed), x, CASES[name].none))
    np.testing.assert_array_equal(y.view(np.uint32), x.view(np.uint32))


@every
@few
@given(x=arrays(), seed=SEEDS, data=st.data())
def test_jit_draws_what_is_drawn_without(name, x, seed, data):
    """To the bit, but for noise that is added: in a program, product and sum are rounded once."""
    rate, key = data.draw(CASES[name].rates), jax.random.key(seed)
    rounding = {"rtol": 3e-7, "atol": 3e-6} if name == "gaussian_noise" else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(compiled(name)(key, x, rate), CASES[name].noise(key, x, rate), **rounding)


@every
@few
@given(x=arrays(), seed=SEEDS, data=st.data())
def test_keys_side_by_side_draw_what_each_draws_alone(name, x, seed, data):
    rate, keys = data.draw(CASES[name].rates), jax.random.split(jax.random.key(seed), 3)
    alone = [compiled(name)(key, x, rate) for key in keys]
    np.testing.assert_array_equal(many(name)(keys, x, rate), np.stack(alone))


@every
@settings(max_examples=4, deadline=None, derandomize=True)  # the same numbers each time: chance may exceed the bound
@given(x=arrays(), seed=SEEDS, data=st.data())
def test_the_mean_over_keys_is_the_input(name, x, seed, data):
    rate = data.draw(CASES[name].rates)
    y = np.asarray(many(name)(jax.random.split(jax.random.key(seed), DRAWS), x, rate), float)
    bound = 6 * CASES[name].deviation(x.astype(float), rate) / np.sqrt(DRAWS) + 1e-6 * np.abs(x)
    assert np.all(np.abs(y.mean(0) - x) <= bound)


@pytest.mark.parametrize("name", [name for name in CASES if name != "gaussian_noise"])
@few
@given(x=arrays(), seed=SEEDS, keep=KEEP)
def test_what_is_dropped_is_0_and_what_is_kept_is_divided(name, x, seed, keep):
    y = np.asarray(compiled(name)(jax.random.key(seed), x, keep))
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / np.float32(keep), rtol=1e-6)


@few
@given(x=arrays(), seed=SEEDS, keep=KEEP, scale=st.sampled_from([-2.0, 0.5, 4.0]))
@pytest.mark.parametrize("name", [name for name in CASES if name != "gaussian_noise"])
def test_dropping_is_linear_in_what_is_dropped(name, x, seed, keep, scale):
    """To the bit at powers of two: the mask hangs on the key, and not on the values."""
    key = jax.random.key(seed)
    np.testing.assert_array_equal(
        compiled(name)(key, np.float32(scale) * x, keep), np.float32(scale) * compiled(name)(key, x, keep)
    )
