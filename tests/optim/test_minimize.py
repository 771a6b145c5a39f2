"""`optim.minimize`: what it counts, why it ends, and many solves in one program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from problems import PROBLEMS, logistic_regression, rosenbrock_chain

from lec7 import averaging, optim
from lec7.optim import Status

METHODS = {"newton": optim.newton, "newton_cg": optim.newton_cg, "bfgs": optim.bfgs, "lbfgs": optim.lbfgs}
every = pytest.mark.parametrize("method", METHODS)
START = (-1.2, 1.0)


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@every
def test_the_objective_is_traced_once_and_each_evaluation_is_counted(method, x64):
    traced, evaluated = [], []

    @jax.custom_vjp
    def told(x):
        return rosenbrock(x)

    def forward(x):
        jax.debug.callback(lambda: evaluated.append(1))
        return rosenbrock(x), jax.grad(rosenbrock)(x)

    told.defvjp(forward, lambda g, dy: (dy * g,))

    def f(x):
        traced.append(1)
        return told(x) if method in ("bfgs", "lbfgs") else rosenbrock(x)

    result = optim.minimize(f, jnp.array(START), METHODS[method]())
    jax.effects_barrier()
    assert result.status == Status.CONVERGED
    assert len(traced) == 1
    if method in ("bfgs", "lbfgs"):
        assert len(evaluated) == result.evaluations
        assert result.products == 0
    else:
        assert result.products > result.steps


@every
def test_the_value_and_the_gradient_are_those_at_the_parameters(method, x64):
    result = optim.minimize(rosenbrock, jnp.array(START), METHODS[method](), max_steps=7)
    assert result.status == Status.MAX_STEPS
    assert result.steps == 7
    np.testing.assert_allclose(result.value, rosenbrock(result.params), rtol=1e-12)
    np.testing.assert_allclose(result.grad_norm, jnp.abs(jax.grad(rosenbrock)(result.params)).max(), rtol=1e-9)


def test_a_step_that_is_changed_behind_the_search_is_evaluated_again(x64):
    for tx in (
        optax.chain(optim.lbfgs(), optax.scale(0.5)),
        optax.chain(optim.lbfgs(), optax.clip_by_global_norm(0.1)),
        optim.accumulate(optim.lbfgs(), 2),
        optim.adam(0.01),
    ):
        result = optim.minimize(rosenbrock, jnp.array(START), tx, max_steps=9)
        np.testing.assert_allclose(result.value, rosenbrock(result.params), rtol=1e-12)
        assert result.evaluations >= 10
    changed = optim.minimize(rosenbrock, jnp.array(START), optax.chain(optim.lbfgs(), optax.scale(1.0)), max_steps=9)
    as_it_is = optim.minimize(rosenbrock, jnp.array(START), optax.chain(optim.lbfgs(), averaging.ema(0.5)), max_steps=9)
    assert changed.evaluations == as_it_is.evaluations + 9


def test_lbfgs_takes_as_many_evaluations_as_scipy_s(x64):
    ours, theirs = [], []
    for name in ("Rosenbrock", "helical valley", "Wood", "Kowalik-Osborne", "Beale"):
        problem = PROBLEMS[name]
        both = jax.jit(jax.value_and_grad(problem.value))
        result = optim.minimize(problem.value, jnp.asarray(problem.start), optim.lbfgs(), atol=1e-6)
        scipy_s = scipy.optimize.minimize(
            lambda x, both=both: jax.tree.map(np.asarray, both(x)),
            problem.start,
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 10, "gtol": 1e-6, "ftol": 0},
        )
        ours.append(int(result.evaluations))
        theirs.append(scipy_s.nfev)
    assert sum(ours) <= 1.02 * sum(theirs)


def test_a_convex_problem_is_solved_to_the_last_digits(x64):
    problem = logistic_regression()
    for tx in (optim.lbfgs(), optim.newton_cg()):
        result = optim.minimize(problem.value, problem.start, tx, atol=1e-8)
        assert result.status == Status.CONVERGED
        np.testing.assert_allclose(result.value, problem.minimum, rtol=1e-11)


@pytest.mark.slow
def test_why_it_ended():
    x = jnp.array([1.0, 2.0])

    @jax.custom_vjp
    def lying(x):
        return jnp.sum(x**2)

    lying.defvjp(lambda x: (jnp.sum(x**2), x), lambda x, dy: (-2 * dy * x,))
    for name, f, status in (
        ("a bowl", lambda x: jnp.sum((x - 3) ** 2), Status.CONVERGED),
        ("flat", lambda x: 0 * jnp.sum(x), Status.CONVERGED),
        ("a line", lambda x: -jnp.sum(x), Status.UNBOUNDED),
        ("a cubic", lambda x: -jnp.sum(x**3), Status.UNBOUNDED),
        ("a wrong gradient", lying, Status.NO_PROGRESS),
        ("no number", lambda x: jnp.sum(x) * jnp.nan, Status.NOT_FINITE),
        ("infinite", lambda x: jnp.sum(x) / 0, Status.NOT_FINITE),
        ("no slope", lambda x: jnp.sum(jnp.sqrt(x - 1)), Status.NOT_FINITE),
    ):
        for tx in (
            (optim.lbfgs(), optim.newton_cg()) if status in (Status.UNBOUNDED, Status.NO_PROGRESS) else (optim.bfgs(),)
        ):
            result = optim.minimize(f, x, tx, max_steps=500)
            assert Status(int(result.status)) is status, name
            assert result.steps < 500
            if status == Status.NOT_FINITE:
                np.testing.assert_array_equal(result.params, x)
    assert all(status.sentence.endswith(".") for status in Status)


def test_tolerances_are_of_the_largest_entry_and_relative_to_that_at_the_start(x64):
    x = jnp.array(START)
    first = jnp.abs(jax.grad(rosenbrock)(x)).max()
    for rtol, atol in ((0.0, 1e-2), (1e-4, 0.0), (1e-4, 1e-2)):
        norms = []
        result = optim.minimize(
            rosenbrock, x, optim.lbfgs(), rtol=rtol, atol=atol, callback=lambda p, to=norms: to.append(p.grad_norm)
        )
        jax.effects_barrier()
        small = atol + rtol * first
        assert result.grad_norm <= small < min(norms[:-1])


def test_a_callback_sees_each_step(x64):
    seen = []
    result = optim.minimize(rosenbrock, jnp.array(START), optim.bfgs(), callback=seen.append)
    jax.effects_barrier()
    assert [int(p.step) for p in seen] == list(range(1, int(result.steps) + 1))
    assert seen[-1].evaluations == result.evaluations
    np.testing.assert_array_equal(seen[-1].params, result.params)
    np.testing.assert_allclose([p.value for p in seen], [rosenbrock(p.params) for p in seen], rtol=1e-3, atol=1e-9)


def test_called_again_it_compiles_nothing_and_numbers_may_be_traced(x64):
    traced = []

    def f(x):
        traced.append(1)
        return rosenbrock(x)

    tx = optim.bfgs()
    a = optim.minimize(f, jnp.array(START), tx, max_steps=5)
    b = optim.minimize(f, jnp.array(START), tx, max_steps=20, atol=1e-3)
    assert (len(traced), int(a.steps)) == (1, 5)
    c = jax.jit(lambda most, atol: optim.minimize(f, jnp.array(START), tx, max_steps=most, atol=atol))(20, 1e-3)
    np.testing.assert_allclose(b.params, c.params, rtol=1e-9)


@every
def test_many_starts_at_once_are_the_single_solves(method, x64):
    starts = jax.random.uniform(jax.random.key(0), (64, 2), minval=-2, maxval=2)
    tx = METHODS[method]()
    together = jax.jit(jax.vmap(lambda x: optim.minimize(rosenbrock, x, tx, atol=1e-9)))(starts)
    alone = [optim.minimize(rosenbrock, x, tx, atol=1e-9) for x in starts]
    assert (together.status == Status.CONVERGED).all()
    np.testing.assert_allclose(together.params, [r.params for r in alone], rtol=1e-8)
    np.testing.assert_array_equal(together.steps, [r.steps for r in alone])
    np.testing.assert_array_equal(together.evaluations, [r.evaluations for r in alone])


def test_many_problems_at_once_are_the_single_solves(x64):
    heights = jnp.array([1.0, 10.0, 100.0])

    @jax.jit
    def solve(height):
        return optim.minimize(lambda x: (1 - x[0]) ** 2 + height * (x[1] - x[0] ** 2) ** 2, jnp.zeros(2), optim.lbfgs())

    together = jax.vmap(solve)(heights)
    np.testing.assert_allclose(together.params, [solve(h).params for h in heights], rtol=1e-8)
    assert len(set(together.steps.tolist())) > 1


def test_a_scale_far_below_the_first_step_is_found():
    """Where the first trial is so much too long that rounding puts the minimum of its cubic at the start."""

    @jax.jit
    def solve(scale):
        return optim.minimize(
            lambda x: jnp.sum((x / scale - jnp.arange(4)) ** 2 * jnp.array([1.0, 2, 3, 40])),
            jnp.zeros(4),
            optim.lbfgs(),
            rtol=1e-4,
            atol=0.0,
        )

    for scale in (1e-6, 3e-9, 1e-12):
        result = solve(scale)
        assert result.status == Status.CONVERGED
        assert result.evaluations < 20


def test_frozen_parameters_have_no_part_in_when_to_stop():
    params = {"w": jnp.zeros(2), "b": jnp.ones(2)}
    tx = optim.groups({"w": optim.lbfgs(), ".*": optim.frozen()})
    result = optim.minimize(lambda p: jnp.sum((p["w"] - 1) ** 2) + jnp.sum((p["b"] - 3) ** 2), params, tx)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params["w"], 1, rtol=1e-5)
    np.testing.assert_array_equal(result.params["b"], 1)


def test_long_chains_are_solved(x64):
    problem = rosenbrock_chain(200)
    result = optim.minimize(problem.value, jnp.asarray(problem.start), optim.lbfgs(), max_steps=3000)
    assert result.status == Status.CONVERGED
    assert problem.reaches(result.value, atol=1e-8)


def test_an_average_comes_with_the_result(x64):
    tx = optax.chain(optim.momentum(1e-3), averaging.polyak_ruppert())
    result = optim.minimize(rosenbrock, jnp.array(START), tx, max_steps=50)
    average = averaging.averaged_params(result.opt_state, result.params)
    assert not np.allclose(average, result.params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value_fn": lambda x: x}, r"value_fn gave float32\[2\], expected one floating number, of shape \(\)"),
        ({"value_fn": lambda x: (x[0], x[1])}, r"value_fn gave \('float32\[\]', 'float32\[\]'\), expected one"),
        ({"value_fn": lambda x: jnp.sum(x) > 0}, r"value_fn gave bool\[\], expected one floating number"),
        ({"params": jnp.arange(2)}, "parameter 'x' is int32, expected real floating numbers"),
        ({"params": {"w": jnp.ones(2, complex)}}, "parameter 'w' is complex64"),
        ({"params": ()}, "there are no parameters"),
        ({"atol": -1.0}, "atol is -1.0, expected a finite number, at least 0"),
        ({"rtol": float("nan")}, "rtol is nan, expected a finite number, at least 0"),
        ({"optimizer": "lbfgs"}, r"the optimizer is 'lbfgs', expected an Optax transformation such as optim.lbfgs\(\)"),
        ({"max_steps": 0}, "max_steps is 0, expected a whole number, at least 1"),
    ],
)
def test_bad_input_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        optim.minimize(**{"value_fn": rosenbrock, "params": jnp.array(START), "optimizer": optim.lbfgs()} | arguments)
