"""The one line search: against SciPy's, by its conditions, and where there is nothing to be found."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize._linesearch import scalar_search_wolfe1

from lec7 import optim
from lec7.optim import Outcome

# Functions of a step size that fall from 0 on; the first three are Moré and Thuente's.
LINES = {
    "a rational": lambda a: -a / (a * a + 2),
    "a steep pit": lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
    "a saw on a kink": lambda a: (
        jnp.where(a <= 0.99, 1 - a, jnp.where(a >= 1.01, a - 1, (a - 1) ** 2 / 0.02 + 0.005))
        + 2 * (1 - 0.01) / (39 * jnp.pi) * jnp.sin(39 * jnp.pi / 2 * a)
    ),
    "an exponential": lambda a: jnp.exp(a) - 10 * a,
    "a parabola": lambda a: (a - 3.0) ** 2,
}


@partial(jax.jit, static_argnums=0, static_argnames=("c2",))
def along(line, first, *constants, c2=0.9):
    """Value, gradient and search of `line(a, *constants)` from 0 on, whose first step has length `first`."""

    def f(x):
        return line(x[0], *constants)

    x = jnp.zeros(1)
    value, grad = jax.value_and_grad(f)(x)
    return value, grad, optim.line_search(f, x, value, grad, first[None], c2=c2)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("c2", [0.9, 0.1])
def test_it_goes_scipy_s_way_trial_by_trial(x64, name, c2):
    line = LINES[name]
    for first in (0.1, 1.0, 10.0):
        value, grad, found = along(line, jnp.array(first), c2=c2)
        trials = []

        def phi(a, first=first, trials=trials):
            trials.append(a)
            return float(line(a * first))

        def slope(a, first=first):
            return float(jax.grad(line)(a * first) * first)

        # The value of the step before is such that SciPy begins with a step of 1 as well.
        before = float(value - grad[0] * first / 2)
        a, _, _ = scalar_search_wolfe1(phi, slope, float(value), before, float(grad[0] * first), c1=1e-4, c2=c2)
        if a is not None:  # SciPy gives up where the exponential overflows
            np.testing.assert_allclose(found.step_size, a, rtol=1e-9)
            assert found.evaluations == len(trials)


def waves(a, a0, a1, a2, a3, a4, np=jnp):
    return 0.1 * a**2 + a0 * np.sin(a1 * a) + a2 * np.cos(a3 * a) + a4 * a


@pytest.mark.parametrize("c2", [0.9, 0.1])
def test_it_goes_scipy_s_way_over_many_waves(x64, c2):
    """On which all ways to choose the next trial come up."""
    rng, compared = np.random.default_rng(0), 0
    for _ in range(300):
        a0, a1, a2, a3, a4 = shape = rng.uniform(-3, 3, 5)
        first = rng.choice([0.1, 1.0, 10.0])
        value, grad, found = along(waves, jnp.array(first), *shape, c2=c2)
        trials, down = [], float(grad[0] * first)

        def phi(a, first=first, trials=trials, shape=shape):
            trials.append(a)
            return waves(a * first, *shape, np=np)

        def slope(a, first=first, a0=a0, a1=a1, a2=a2, a3=a3, a4=a4):
            a = a * first
            return first * (0.2 * a + a0 * a1 * np.cos(a1 * a) - a2 * a3 * np.sin(a3 * a) + a4)

        if down < 0:
            a, _, _ = scalar_search_wolfe1(phi, slope, float(value), float(value) - down / 2, down, c1=1e-4, c2=c2)
            if a is not None:
                np.testing.assert_allclose(found.step_size, a, rtol=1e-6)
                assert found.evaluations == len(trials)
                compared += 1
    assert compared > 100


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=5, max_size=5), st.sampled_from([1e-3, 1.0, 30.0]))
def test_what_it_calls_a_wolfe_step_is_one(shape, first):
    with jax.enable_x64(True):
        shape = [jnp.array(a) for a in shape]
        uphill = along(waves, jnp.array(first), *shape)[1][0] > 0
        value, grad, found = along(waves, jnp.array(-first if uphill else first), *shape)
        if found.outcome == Outcome.WOLFE:
            direction = found.step[0] / found.step_size
            before, after = grad[0] * direction, found.grad[0] * direction
            assert found.value <= value + 1e-4 * found.step_size * before + 1e-9 * abs(value)
            assert abs(after) <= 0.9 * abs(before) * (1 + 1e-9)
            np.testing.assert_allclose(found.value, waves(found.step[0], *shape), rtol=1e-9, atol=1e-9)
        elif found.outcome == Outcome.LOWER:
            assert found.value < value
        else:
            assert abs(grad[0]) < 1e-6
            assert found.outcome == Outcome.NO_STEP


def test_slopes_decide_where_values_are_rounded_away(x64):
    """The parabola on top of 1e10, where two values near the minimum are the same number."""
    f = lambda x: jnp.sum((x - 1.0) ** 2) + 1e10  # noqa: E731
    x = jnp.full(3, 1 + 1e-5)
    value, grad = jax.value_and_grad(f)(x)
    found = jax.jit(lambda: optim.line_search(f, x, value, grad, -grad / 4))()
    assert found.outcome == Outcome.WOLFE
    assert jnp.abs(found.grad).max() < jnp.abs(grad).max()


def barrier(a):
    """Lowest at 2/3, NaN from 1 on."""
    return -jnp.log(1 - a) - 3 * a


def test_a_trial_beyond_the_domain_is_too_far(x64):
    for first in (0.5, 10.0, 1e6):
        value, _, found = along(barrier, jnp.array(first))
        assert found.outcome == Outcome.WOLFE
        assert found.value < value
        assert 0 < found.step[0] < 1


def test_it_tells_why_there_is_no_step():
    outcomes = {}
    for name, line in (
        ("falls for ever", lambda a: -a),
        ("falls into a hole", lambda a: jnp.where(a < 0.5, -a, -jnp.inf)),
        ("uphill", lambda a: a + 1),
        ("flat", lambda a: 0 * a),
        ("not a number", lambda a: a * jnp.nan),
        ("nothing but the start", lambda a: jnp.where(a == 0, -a, jnp.nan)),
    ):
        value, _, found = along(line, jnp.array(1.0))
        outcomes[name] = Outcome(int(found.outcome)).name
        assert found.evaluations <= 30
        if found.step_size == 0:
            assert found.failures == 1
            np.testing.assert_array_equal(found.step, 0)
            np.testing.assert_array_equal(found.value, value)
    assert outcomes == {
        "falls for ever": "FALLING",
        "falls into a hole": "FALLING",
        "uphill": "NO_STEP",
        "flat": "NO_STEP",
        "not a number": "NOT_FINITE",
        "nothing but the start": "NO_STEP",
    }


def test_evaluations_are_counted_and_traced_once():
    traced, evaluated = [], []

    def f(x):
        traced.append(1)
        jax.debug.callback(lambda: evaluated.append(1))
        return jnp.sum((x + 0.004) ** 5 - 2 * (x + 0.004) ** 4)

    x = jnp.zeros(1)
    found = jax.jit(lambda: optim.line_search(f, x, jnp.float32(-5.1e-10), jnp.full(1, -5e-7), jnp.ones(1)))()
    jax.effects_barrier()
    assert len(traced) == 1
    assert len(evaluated) == found.evaluations > 3


def test_each_outcome_has_a_sentence():
    assert all(outcome.sentence.endswith(".") for outcome in Outcome)
    assert len({outcome.sentence for outcome in Outcome}) == len(Outcome)


@pytest.mark.parametrize("name", ["c1", "c2"])
def test_constants_out_of_range_are_told(name):
    with pytest.raises(ValueError, match=rf"{name} is 1.5, expected a number in \(0, 1\)"):
        optim.line_search(jnp.sum, jnp.ones(1), jnp.ones(()), jnp.ones(1), -jnp.ones(1), **{name: 1.5})
