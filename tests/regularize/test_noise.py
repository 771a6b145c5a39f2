"""What holds for every noise, and what is each one's own; dropout's formula is in test_dropout.py."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from lec7 import regularize
from lec7.errors import InputError


class Case(NamedTuple):
    """A noise of a key, x and a rate; the rate that is none, and two; its standard deviation at a rate."""

    noise: Callable[..., jax.Array]
    none: float
    rates: tuple[float, float]
    deviation: Callable[..., np.ndarray]


def dropped(x, keep):
    """Of a mask that is 1/keep with chance keep."""
    return np.abs(x) * np.sqrt((1 - keep) / keep)


CASES = {
    "dropout": Case(regularize.dropout, 1.0, (0.3, 0.7), dropped),
    "spatial_dropout": Case(regularize.spatial_dropout, 1.0, (0.3, 0.7), dropped),
    "drop_connect": Case(regularize.drop_connect, 1.0, (0.3, 0.7), dropped),
    "drop_connect, per example": Case(
        lambda key, x, keep: regularize.drop_connect(key, x, keep, examples=2), 1.0, (0.3, 0.7), dropped
    ),
    "stochastic_depth": Case(regularize.stochastic_depth, 1.0, (0.3, 0.7), dropped),
    "gaussian_noise": Case(regularize.gaussian_noise, 0.0, (0.3, 1.7), lambda x, std: np.full_like(x, std)),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 5)), jnp.float32).at[0, 0, 0].set(-0.0)


@every
def test_the_expectation_over_keys_is_the_input(case, key):
    draws, rate = 4000, case.rates[0]
    y = jax.vmap(lambda key: case.noise(key, X, rate))(jax.random.split(key, draws))
    bound = 5 * case.deviation(np.asarray(X), rate) / np.sqrt(draws)
    assert np.all(np.abs(np.mean(y, axis=0, dtype=float) - np.broadcast_to(X, y.shape[1:])) <= bound)


@every
@pytest.mark.parametrize("mode", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_no_noise_is_the_exact_identity(case, mode, key):
    for dtype in (jnp.float32, jnp.bfloat16):
        x = X.astype(dtype)
        y = mode(case.noise)(key, x, case.none)
        assert y.dtype == dtype
        x = jnp.broadcast_to(x, y.shape)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(jnp.signbit(y), jnp.signbit(x))


@every
def test_a_traced_rate_draws_bit_for_bit_what_a_known_one_draws(case, key):
    lanes = jax.jit(jax.vmap(lambda rate: case.noise(key, X, rate)))(jnp.array([*case.rates, case.none]))
    for lane, rate in zip(lanes, (*case.rates, case.none), strict=True):
        np.testing.assert_array_equal(lane, jax.jit(lambda rate=rate: case.noise(key, X, rate))())


@every
def test_the_dtype_stays(case, key):
    for dtype in (jnp.bfloat16, jnp.float16):
        assert case.noise(key, X.astype(dtype), case.rates[0]).dtype == dtype


@every
def test_the_gradient_is_that_of_the_draw(case, key):
    """Each noise is a * x + b, with a and b drawn: a comes out of two values of x."""
    y, grad = case.noise(key, X, case.rates[0]), jax.grad(lambda x: case.noise(key, x, case.rates[0]).sum())(X)
    slope = case.noise(key, X + 1, case.rates[0]) - y
    slope = slope if slope.ndim == X.ndim else slope.sum(0)
    np.testing.assert_allclose(grad, slope, rtol=1e-5, atol=1e-5)


@every
def test_each_example_has_a_draw_of_its_own(case, key):
    if case is CASES["drop_connect"]:
        pytest.skip("one mask for all")
    y = np.asarray(case.noise(key, jnp.ones((32, 3, 5)), 0.5))
    assert np.any(y[1:] != y[:1])


BAD = {
    "dropout": (lambda key: regularize.dropout(key, X, 0.0), "keep is 0.0, expected a number in"),
    "spatial_dropout": (lambda key: regularize.spatial_dropout(key, X, 1.5), "the chance to keep"),
    "channels of nothing": (lambda key: regularize.spatial_dropout(key, X[0, 0], 0.5), r"x has shape \(5,\)"),
    "drop_connect": (lambda key: regularize.drop_connect(key, X, float("nan")), "the chance to keep"),
    "half an example": (lambda key: regularize.drop_connect(key, X, 0.5, examples=0.5), "examples is 0.5"),
    "stochastic_depth": (lambda key: regularize.stochastic_depth(key, X, -1.0), "the chance to keep"),
    "a branch of nothing": (lambda key: regularize.stochastic_depth(key, X[0, 0, 0], 0.5), "examples first"),
    "several rates": (lambda key: regularize.stochastic_depth(key, X, jnp.ones(3)), "expected a single number"),
    "gaussian_noise": (lambda key: regularize.gaussian_noise(key, X, -0.1), "std is -0.1"),
    "linear_decay": (lambda key: regularize.linear_decay(0.0, 3), "the chance to keep"),
    "no layers": (lambda key: regularize.linear_decay(0.5, 0), "layers is 0"),
    "an old key": (lambda key: regularize.dropout(jax.random.PRNGKey(0), X, 0.5), r"the key is uint32\[2\]"),
    "an old key for noise": (lambda key: regularize.gaussian_noise(jax.random.PRNGKey(0), X, 0.5), "random.key"),
    "an old key for draws": (lambda key: regularize.averaged(jax.random.PRNGKey(0), lambda key: X, 2), "random.key"),
    "no key": (lambda key: regularize.dropout(0, X, 0.5), "the key is 0, expected a typed one"),
    "dropout of bytes": (lambda key: regularize.dropout(key, X.astype(jnp.uint8), 0.5), r"x is uint8\[4, 3, 5\]"),
    "noise of ints": (lambda key: regularize.gaussian_noise(key, X.astype(int), 0.5), "x is int32.*expected floats"),
    "a list": (lambda key: regularize.dropout(key, [1.0, 2.0], 0.5), r"x is \[1.0, 2.0\], expected an array of"),
    "a list of weights": (lambda key: regularize.drop_connect(key, [1.0], 0.5), "weights is"),
    "a number": (lambda key: regularize.stochastic_depth(key, 1.0, 0.5), "branch is 1.0, expected an array"),
    "no draws": (lambda key: regularize.averaged(key, lambda key: X, 0), "n is 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_can_not_be_used_is_told(what, key):
    call, message = BAD[what]
    with pytest.raises(InputError, match=message):
        call(key)


@pytest.mark.parametrize(
    ("noise", "argument"),
    [
        (regularize.dropout, "x"),
        (regularize.spatial_dropout, "x"),
        (regularize.drop_connect, "weights"),
        (regularize.stochastic_depth, "branch"),
        (regularize.gaussian_noise, "x"),
    ],
)
def test_what_is_no_array_is_refused_by_the_argument_s_name(noise, argument, key):
    with pytest.raises(InputError, match=rf"^{argument} is \[1.0\], expected an array of floats"):
        noise(key, [1.0], 0.5)


def test_spatial_dropout_drops_whole_channels(key):
    y = np.asarray(regularize.spatial_dropout(key, jnp.ones((200, 3, 4, 8)), 0.8))
    kept = y[:, 0, 0] != 0
    np.testing.assert_array_equal(y, np.broadcast_to(kept[:, None, None], y.shape) / np.float32(0.8))
    # Bernoulli(0.8), n = 1600, each example and channel by itself: five standard deviations.
    assert abs(kept.mean() - 0.8) < 5 * np.sqrt(0.8 * 0.2 / kept.size)


def test_stochastic_depth_drops_whole_examples(key):
    y = np.asarray(regularize.stochastic_depth(key, jnp.ones((1000, 2, 3)), 0.8))
    kept = y[:, 0, 0] != 0
    np.testing.assert_array_equal(y, np.broadcast_to(kept[:, None, None], y.shape) / np.float32(0.8))
    assert abs(kept.mean() - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 1000)


def test_masks_of_drop_connect_are_independent(key):
    """Two weights of one mask, and one weight in two: correlations of Bernoulli(0.5), five standard deviations."""
    masks = np.asarray(regularize.drop_connect(key, jnp.ones((2, 2)), 0.5, examples=10_000)).reshape(10_000, 4) - 1
    assert np.all(np.abs(masks.T @ masks / 10_000 - np.eye(4)) < 5 / 100)
    assert abs(np.mean(masks[1:, 0] * masks[:-1, 0])) < 5 / 100


def test_gaussian_noise_is_normal(key):
    noise = np.asarray(regularize.gaussian_noise(key, jnp.zeros(10_000), 0.5)) / 0.5
    # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand.
    gaps = norm.cdf(np.sort(noise)) - np.arange(10_000) / 10_000
    assert np.max(np.abs(gaps)) < 1.95 / 100


def test_the_linear_decay_is_that_of_the_paper():
    """Huang et al., figure 2: five blocks down to 0.5; and 54 of which 40 are active in the mean."""
    np.testing.assert_allclose(regularize.linear_decay(0.5, 5), [0.9, 0.8, 0.7, 0.6, 0.5], rtol=1e-6)
    np.testing.assert_allclose(regularize.linear_decay(0.5, 54).sum(), (3 * 54 - 1) / 4, rtol=1e-6)
    np.testing.assert_array_equal(regularize.linear_decay(1.0, 7), np.ones(7))


def test_a_traced_linear_decay_is_bit_for_bit_the_known_one():
    lanes = jax.jit(jax.vmap(lambda keep: regularize.linear_decay(keep, 7)))(jnp.array([0.3, 0.7]))
    for lane, keep in zip(lanes, (0.3, 0.7), strict=True):
        np.testing.assert_array_equal(lane, jax.jit(lambda keep=keep: regularize.linear_decay(keep, 7))())
        np.testing.assert_array_equal(lane, regularize.linear_decay(keep, 7))


def test_the_average_over_draws_is_the_mean_of_the_single_ones(key):
    def noise(key):
        return {"a": regularize.dropout(key, X, 0.5), "b": regularize.gaussian_noise(key, X[0], 1.0)}

    mean = jax.jit(lambda: regularize.averaged(key, noise, 7))()
    single = [noise(one) for one in jax.random.split(key, 7)]
    for name in mean:
        np.testing.assert_allclose(mean[name], np.mean([draw[name] for draw in single], axis=0), rtol=1e-5, atol=1e-6)


def test_the_average_behind_a_relu_is_its_expectation(key):
    """E relu(x + e) = x * cdf(x) + pdf(x)."""
    x, n = np.linspace(-2, 2, 9), 10_000
    y = regularize.averaged(key, lambda key: jax.nn.relu(regularize.gaussian_noise(key, jnp.asarray(x), 1.0)), n)
    assert np.all(np.abs(y - (x * norm.cdf(x) + norm.pdf(x))) < 5 / np.sqrt(n))  # its variance is below 1


def test_an_average_of_narrow_draws_is_summed_in_float32(key):
    """257 times 0.1 in bfloat16 is 257 times 0.1."""
    tenth = jnp.full(3, 0.1, jnp.bfloat16)
    np.testing.assert_array_equal(regularize.averaged(key, lambda key: tenth, 257), tenth)
