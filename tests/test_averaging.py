import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, optim
from lec7.errors import InputError


def trajectory(tx, params, grads):
    """The parameters after each step, and the last state of the optimizer."""
    state, seen = tx.init(params), []
    for grad in grads:
        updates, state = tx.update(grad, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    return seen, state


@pytest.mark.parametrize("debias", [True, False])
def test_ema_is_the_weighted_mean_of_the_parameters_after_each_update(x64, debias):
    rng = np.random.default_rng(0)
    start = {"w": jnp.asarray(rng.normal(size=(3, 2))), "b": jnp.asarray(rng.normal())}
    grads = [jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), start) for _ in range(20)]
    tx = optax.chain(optim.sgd(0.1), averaging.ema(0.9, debias=debias))
    seen, state = trajectory(tx, start, grads)

    average, weight = ({k: np.zeros_like(v) for k, v in start.items()}, 0.0) if debias else (dict(start), 1.0)
    for params in seen:
        average = {k: 0.9 * average[k] + 0.1 * np.asarray(params[k]) for k in average}
        weight = 0.9 * weight + 0.1
    result = averaging.averaged_params(state, seen[-1])
    for name in average:
        np.testing.assert_allclose(result[name], average[name] / weight, rtol=1e-12)


def test_before_the_first_step_the_average_is_the_parameters():
    params = {"w": jnp.array([1.5, -2.0])}
    for debias in (True, False):
        state = averaging.ema(0.99, debias).init(params)
        np.testing.assert_array_equal(averaging.averaged_params(state, params)["w"], params["w"])


def test_updates_go_through_untouched():
    params = {"w": jnp.ones(3)}
    tx = averaging.ema(0.5)
    updates, _ = tx.update({"w": jnp.full(3, 0.25)}, tx.init(params), params)
    np.testing.assert_array_equal(updates["w"], 0.25)


def test_the_average_of_bfloat16_parameters_is_kept_in_float32_and_given_in_bfloat16():
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    tx = averaging.ema(0.999)
    _, state = tx.update({"w": jnp.zeros(3, jnp.bfloat16)}, tx.init(params), params)
    assert state.total["w"].dtype == jnp.float32
    assert averaging.averaged_params(state, params)["w"].dtype == jnp.bfloat16


def test_the_average_is_found_however_deep_it_lies():
    params = {"w": jnp.ones(3)}
    tx = optax.chain(optax.chain(optim.adam(0.1), optax.chain(averaging.ema(0.9))), optax.identity())
    np.testing.assert_array_equal(averaging.averaged_params(tx.init(params), params)["w"], 1.0)


def test_none_or_two_averages_raise():
    params = {"w": jnp.ones(3)}
    with pytest.raises(InputError, match="holds 0 averages"):
        averaging.averaged_params(optim.adam(0.1).init(params), params)
    both = optax.chain(averaging.ema(0.9), averaging.ema(0.99))
    with pytest.raises(InputError, match="holds 2 averages"):
        averaging.averaged_params(both.init(params), params)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(InputError, match="decay is"):
        averaging.ema(decay)


def test_an_update_without_parameters_is_refused():
    tx = averaging.ema(0.9)
    with pytest.raises(InputError, match="call update"):
        tx.update({"w": jnp.ones(1)}, tx.init({"w": jnp.ones(1)}))
