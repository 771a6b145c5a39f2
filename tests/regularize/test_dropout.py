import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7.errors import InputError
from lec7.regularize import Dropout, dropout


def test_kept_elements_are_divided_by_keep_and_others_are_zero(key):
    x = jnp.arange(1.0, 1001.0)
    y = np.asarray(dropout(key, x, 0.8))
    kept = y != 0
    np.testing.assert_allclose(y[kept], np.asarray(x)[kept] / 0.8, rtol=1e-6)
    # Bernoulli(0.8), n = 1000: five standard deviations.
    assert abs(kept.mean() - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 1000)


def test_the_expectation_over_keys_is_the_input(key):
    x, draws, keep = jnp.array([1.0, -2.0, 3.0]), 4000, 0.3
    y = jax.vmap(lambda k: dropout(k, x, keep))(jax.random.split(key, draws))
    deviation = np.abs(x) * np.sqrt((1 - keep) / keep / draws)
    assert np.all(np.abs(y.mean(0) - x) < 5 * deviation)


def test_keep_one_is_the_exact_identity(key):
    x = jax.random.normal(key, (1000,))
    np.testing.assert_array_equal(dropout(key, x, 1.0), x)
    np.testing.assert_array_equal(jax.jit(dropout)(key, x, 1.0), x)


def test_a_traced_keep_draws_bit_for_bit_what_a_known_one_draws(key):
    x = jax.random.normal(key, (1000,))
    lanes = jax.jit(jax.vmap(lambda keep: dropout(key, x, keep)))(jnp.array([0.3, 0.7]))
    for lane, keep in zip(lanes, (0.3, 0.7), strict=True):
        np.testing.assert_array_equal(lane, jax.jit(lambda keep=keep: dropout(key, x, keep))())


def test_the_gradient_goes_through_the_kept_alone(key):
    x = jnp.ones(100)
    y, grad = dropout(key, x, 0.5), jax.grad(lambda x: dropout(key, x, 0.5).sum())(x)
    np.testing.assert_array_equal(grad, y)


@pytest.mark.parametrize("keep", [0.0, -0.5, 1.1, float("nan")])
def test_a_chance_out_of_range_is_refused(key, keep):
    with pytest.raises(InputError, match="the chance to keep"):
        dropout(key, jnp.ones(3), keep)


def test_bfloat16_stays(key):
    assert dropout(key, jnp.ones(3, jnp.bfloat16), 0.5).dtype == jnp.bfloat16


def test_the_layer_draws_in_training_and_is_the_identity_in_testing(key):
    layer, x = Dropout(0.5), jnp.ones((4, 8))
    np.testing.assert_array_equal(layer(x, key=key), dropout(key, x, 0.5))
    layer.eval()
    np.testing.assert_array_equal(layer(x), x)


def test_the_layer_without_a_key_is_refused():
    with pytest.raises(InputError, match="no key"):
        Dropout(0.5)(jnp.ones(3))
