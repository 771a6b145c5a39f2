"""The step at which something happens: never one too early or too late, and counted in whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lec7 import schedules


def values(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.asarray(steps)))


restart = jax.jit(lambda period, growth, t: schedules.cyclic_cosine(1.0, period, growth=growth)(t))
stairs = jax.jit(lambda every, t: schedules.step_decay(1.0, every, 0.999)(t))


@settings(deadline=None, max_examples=60)
@given(period=st.integers(2, 1000), growth=st.sampled_from([1, 1.5, 2, 3, 10]), cycle=st.integers(1, 8))
def test_a_cycle_restarts_at_the_very_step(period, growth, cycle):
    period *= 2**8  # so that the lengths of 1.5 times as many steps are whole, too
    first = sum(period * growth**n for n in range(cycle))
    if first >= 2**24:  # single precision counts no further
        first, cycle = period, 1
    assert float(restart(float(period), float(growth), int(first))) == 1.0
    assert float(restart(float(period), float(growth), int(first) - 1)) < 0.01


@settings(deadline=None, max_examples=60)
@given(every=st.integers(1, 10_000), stair=st.integers(1, 1000))
def test_a_stair_begins_at_the_very_step(every, stair):
    before, at = (float(stairs(float(every), every * stair - offset)) for offset in (1, 0))
    np.testing.assert_allclose(at / before, 0.999, rtol=1e-6)


def test_growth_just_above_one_is_growth_of_one():
    t = np.arange(0, 5000, 7, dtype=np.int32)
    one = values(schedules.cyclic_cosine(1.0, 100.3, growth=1.0), t)
    above = values(schedules.cyclic_cosine(1.0, 100.3, growth=1.0 + 2**-23), t)
    np.testing.assert_allclose(above, one, atol=1e-3)


def test_the_gradients_of_cycles_are_their_slopes(x64):
    def value(numbers, t):
        return schedules.cyclic_cosine(0.8, numbers["period"], 0.1, numbers["growth"], numbers["shrink"])(t)

    compiled, gradient, h = jax.jit(value), jax.jit(jax.grad(value)), 1e-6
    for growth in (1.0, 1.3, 2.0):
        numbers = {"period": 10.0, "growth": growth, "shrink": 0.9}
        gradients = gradient(numbers, 57)
        for name, x in numbers.items():
            above, below = (compiled({**numbers, name: x + d}, 57) for d in (h, -h))
            np.testing.assert_allclose(gradients[name], (above - below) / (2 * h), rtol=1e-4)


def test_warmup_rises_in_equal_steps_and_meets_the_schedule():
    warmed = values(schedules.warmup(schedules.cosine(1.0, 100), 4), range(6))
    np.testing.assert_allclose(np.diff(warmed[:5]), 0.2, rtol=1e-6)
    assert warmed[4] == 1.0
    np.testing.assert_allclose(warmed[5], schedules.cosine(1.0, 100)(1))


def test_warmup_of_no_steps_is_the_schedule_itself():
    t = np.arange(12, dtype=np.int32)
    np.testing.assert_array_equal(
        values(schedules.warmup(schedules.cosine(1.0, 10), 0), t), values(schedules.cosine(1.0, 10), t)
    )


def test_parts_see_whole_steps_of_their_own_and_no_others():
    """A part may index with its step, also where the boundary is a traced float."""
    table, seen = jnp.array([0.5, 0.25, 0.125]), []

    def tabled(step):
        seen.append(step)
        return table[step]

    expected = [1, 1, 0.5, 0.25, 0.125, 2, 2]
    for boundaries in ((2, 5), (2.0, 5.0), (1.5, 4.25)):
        make = lambda a, b: jax.vmap(schedules.join([1.0, tabled, 2.0], [a, b]))(jnp.arange(7))  # noqa: E731
        np.testing.assert_array_equal(make(*boundaries), expected)
        np.testing.assert_array_equal(jax.jit(make)(*boundaries), expected)
        np.testing.assert_array_equal(jax.vmap(schedules.warmup(tabled, boundaries[0]))(jnp.arange(2, 5)), table)
    assert all(jnp.issubdtype(step.dtype, jnp.integer) for step in seen)

    asked = []
    schedule = schedules.join([1.0, lambda step: asked.append(int(step)) or step, 2.0], [2, 5])
    for step in (0, 2, 4, 5, 100):
        schedule(step)
    assert asked == [0, 0, 2, 2, 2]


def test_boundaries_may_be_one_array_and_may_coincide():
    make = lambda boundaries: jax.vmap(schedules.join([1.0, 2.0, 3.0], boundaries))(jnp.arange(5))  # noqa: E731
    np.testing.assert_array_equal(make(jnp.array([1, 3])), [1, 2, 2, 3, 3])
    np.testing.assert_array_equal(jax.jit(make)(jnp.array([2, 2])), [1, 1, 3, 3, 3])


def test_whole_steps_stay_exact_where_floats_are_not():
    late = schedules.join([1.0, lambda step: step], [2**31 - 10])
    assert float(late(2**31 - 1)) == 9.0
