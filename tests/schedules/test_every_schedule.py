import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import schedules
from lec7.errors import InputError


def values(schedule, steps):
    return np.array([schedule(step) for step in steps])


def test_cosine_is_half_a_cosine_and_holds_its_last_value(x64):
    t = np.arange(0, 150)
    expected = np.where(t < 100, 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * t / 100)), 0.1)
    np.testing.assert_allclose(values(schedules.cosine(1.0, 100, final=0.1), t), expected, atol=1e-15)


def test_warmup_rises_in_equal_steps_and_meets_the_schedule():
    warmed = values(schedules.warmup(schedules.cosine(1.0, 100), 4), range(6))
    np.testing.assert_allclose(np.diff(warmed[:5]), 0.2, rtol=1e-6)
    assert warmed[4] == 1.0
    np.testing.assert_allclose(warmed[5], schedules.cosine(1.0, 100)(1))


def test_warmup_of_no_steps_is_the_schedule_itself():
    np.testing.assert_array_equal(
        values(schedules.warmup(schedules.cosine(1.0, 10), 0), range(12)),
        values(schedules.cosine(1.0, 10), range(12)),
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b, c: schedules.constant(a),
        lambda a, b, c: schedules.cosine(a, b, c),
        lambda a, b, c: schedules.warmup(schedules.constant(a), b),
        lambda a, b, c: schedules.warmup(schedules.cosine(a, 20, c), b),
    ],
)
def test_every_number_may_be_traced(make):
    a, b, c = jnp.array([0.1, 0.2]), jnp.array([5.0, 7.0]), jnp.array([0.0, 0.01])
    steps = jnp.arange(12)
    lanes = jax.jit(jax.vmap(lambda a, b, c: jax.vmap(make(a, b, c))(steps)))(a, b, c)
    for lane, numbers in zip(lanes, zip(a, b, c, strict=True), strict=True):
        alone = values(make(*(float(number) for number in numbers)), range(12))
        np.testing.assert_allclose(lane, alone, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", [lambda: schedules.cosine(1.0, 0), lambda: schedules.warmup(1.0, -1)])
def test_a_length_out_of_range_is_refused(make):
    with pytest.raises(InputError, match="steps is"):
        make()
