"""`reduce_on_plateau` beside PyTorch's rules, written as a loop."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import schedules
from lec7.errors import InputError

NUMBERS = {
    name: float(parameter.default)
    for name, parameter in inspect.signature(schedules.reduce_on_plateau).parameters.items()
}


def torch_scales(losses, factor, patience, cooldown, rtol, atol, min_scale, every):
    """torch.optim.lr_scheduler.ReduceLROnPlateau: `threshold_mode` is "rel" with rtol, "abs" with atol."""
    lr, best, num_bad_epochs, cooldown_counter, scales, window = 1.0, math.inf, 0, 0, [], []
    for loss in losses:
        window.append(loss)
        if len(window) == every:
            current, window = np.mean(window), []
            if current < best * (1 - rtol) - atol:
                best, num_bad_epochs = current, 0
            else:
                num_bad_epochs += 1
            if cooldown_counter > 0:
                cooldown_counter -= 1
                num_bad_epochs = 0
            if num_bad_epochs > patience:
                lr = max(lr * factor, min_scale)
                cooldown_counter, num_bad_epochs = cooldown, 0
        scales.append(lr)
    return scales


def scales(losses, **numbers):
    """The scale at each step: the update of a gradient of 1."""
    tx = schedules.reduce_on_plateau(**numbers)

    def step(state, loss):
        update, state = tx.update(jnp.ones(()), state, value=loss)
        return state, update

    return jax.lax.scan(step, tx.init(jnp.zeros(())), jnp.asarray(losses, float))[1]


def noisy(count):
    """Losses that come down, stall and come down again."""
    t = np.arange(count)
    return 2 * np.exp(-t / 15) + 0.3 * np.cos(t / 20) + 0.5 + 0.1 * np.random.default_rng(0).normal(size=count)


@pytest.mark.parametrize(
    "numbers",
    [
        {"patience": 3.0},
        {"patience": 0.0, "factor": 0.9, "min_scale": 0.2},
        {"patience": 2.0, "factor": 0.5, "cooldown": 4.0},
        {"patience": 1.0, "factor": 0.5, "cooldown": 1.0, "rtol": 0.05},
        {"patience": 1.0, "factor": 0.5, "rtol": 0.0, "atol": 0.1},
        {"patience": 1.0, "factor": 0.5, "rtol": 0.0, "every": 4.0},
        {"patience": 1.0, "factor": 0.7, "cooldown": 2.0, "every": 7.0, "min_scale": 0.3},
    ],
    ids=str,
)
def test_is_pytorch(x64, numbers):
    numbers = NUMBERS | numbers
    expected = torch_scales(noisy(120), **numbers)
    assert expected[-1] < 1
    np.testing.assert_allclose(jax.jit(scales)(noisy(120), **numbers), expected, rtol=1e-12)


@pytest.mark.parametrize("argument", NUMBERS)
def test_each_number_may_be_a_lane(argument):
    numbers = NUMBERS | {"patience": 2.0, "factor": 0.5, "cooldown": 1.0, "rtol": 0.02, "min_scale": 0.05}
    lanes = jnp.array([numbers[argument], {"rtol": 0.1, "atol": 0.3, "min_scale": 0.3}.get(argument, 3.0)])
    lanes = lanes.at[1].set(0.8) if argument == "factor" else lanes
    losses = jnp.asarray(noisy(90), jnp.float32)
    together = jax.jit(jax.vmap(lambda number: scales(losses, **{**numbers, argument: number})))(lanes)
    alone = [scales(losses, **{**numbers, argument: float(number)}) for number in lanes]
    assert not np.array_equal(*alone)
    np.testing.assert_array_equal(together, np.stack(alone))


def test_what_is_left_out_is_what_pytorch_has(x64):
    """With a mean of each value, and no amount beside the part by which a better one is lower."""
    defaults = {"factor": 0.1, "patience": 10, "cooldown": 0, "rtol": 1e-4, "min_scale": 0.0}
    losses = np.repeat([1.0, 0.99995, 0.9998, 0.99975], [1, 12, 1, 25])  # the third alone is better enough
    expected = torch_scales(losses, **defaults, atol=0.0, every=1)
    assert expected[-1] < 1.1e-3
    np.testing.assert_allclose(scales(losses), expected, rtol=1e-12)


def test_a_loss_that_stays_is_no_improvement():
    np.testing.assert_allclose(scales([1.0] * 5, factor=0.5, patience=1, rtol=0), [1, 1, 0.5, 0.5, 0.25])


def test_nan_is_never_an_improvement_and_spoils_no_later_mean():
    nan = math.nan
    np.testing.assert_allclose(
        scales([nan, nan, 1.0, nan, nan, 0.5, 0.4], factor=0.5, patience=1), [1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    )
    np.testing.assert_allclose(
        scales([1.0, nan, 0.5, 0.5, 0.4, 0.4, 0.4, nan], factor=0.5, patience=0, every=2),
        [1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25],
    )


def test_a_negative_loss_that_gets_worse_is_no_improvement():
    worse = [-10.0, -9.9995, -9.9990, -9.9985]
    np.testing.assert_allclose(scales(worse, factor=0.5, patience=0), [1, 0.5, 0.25, 0.125])
    np.testing.assert_allclose(scales([-10.0, -10.5, -11.0], factor=0.5, patience=0), 1)


def test_scales_every_leaf_in_its_own_dtype():
    tx = schedules.reduce_on_plateau(factor=0.5, patience=0)
    updates = {"w": jnp.ones(2, jnp.bfloat16), "b": jnp.ones((), jnp.float32)}
    state = tx.init(updates)
    for _ in range(2):
        scaled, state = jax.jit(tx.update)(updates, state, value=jnp.float32(1.0))
    assert {name: x.dtype for name, x in scaled.items()} == {name: x.dtype for name, x in updates.items()}
    np.testing.assert_array_equal(scaled["w"].astype(float), [0.5, 0.5])
    assert isinstance(state, schedules.PlateauState)
    assert float(state.scale) == 0.5


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"factor": 1.0}, r"factor is 1.0, expected a number in \(0, 1\); give"),
        ({"patience": -1}, "patience is -1, expected a finite number, at least 0"),
        ({"cooldown": -1}, "cooldown is -1, expected"),
        ({"rtol": -0.1}, "rtol is -0.1, expected"),
        ({"atol": -0.1}, "atol is -0.1, expected"),
        ({"min_scale": 2}, r"min_scale is 2, expected a number in \[0, 1\]"),
        ({"every": 0}, "every is 0, expected a finite number, at least 1"),
    ],
)
def test_known_numbers_out_of_range_are_refused(numbers, message):
    with pytest.raises(InputError, match=message):
        schedules.reduce_on_plateau(**numbers)


@pytest.mark.parametrize("argument", NUMBERS)
def test_a_number_that_is_none_is_refused_by_the_argument_s_name(argument):
    with pytest.raises(InputError, match=f"^{argument} is nan, expected .*; give "):
        schedules.reduce_on_plateau(**{argument: math.nan})


def test_an_update_without_a_loss_is_refused():
    tx = schedules.reduce_on_plateau()
    with pytest.raises(InputError, match=r"got no value, expected the loss; call update\(.*value=loss\)"):
        tx.update(jnp.ones(()), tx.init(jnp.ones(())))
