"""The methods of second order: against textbooks in NumPy, on the standard problems, and in company."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from problems import PROBLEMS, rosenbrock_chain

from lec7 import averaging, optim
from lec7.optim import Outcome, Status

METHODS = {
    "newton": optim.newton,
    "newton_cg": optim.newton_cg,
    "bfgs": optim.bfgs,
    "lbfgs": optim.lbfgs,
    "damped lbfgs": lambda: optim.lbfgs(curvature="damp"),
}
every = pytest.mark.parametrize("method", METHODS)
LEAST_SQUARES = {"gauss_newton": optim.gauss_newton, "levenberg_marquardt": optim.levenberg_marquardt}
# Where the gradient can't be brought below 1e-6: its own rounding is larger.
ROUNDED = {"Meyer"}


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def quadratic(n, seed=0):
    """A convex one with curvatures from 1 to 100, its Hessian and its minimum."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    hessian, minimum = q @ np.diag(np.geomspace(1, 100, n)) @ q.T, rng.normal(size=n)
    return lambda x: 0.5 * (x - minimum) @ hessian @ (x - minimum), hessian, minimum


def steps(tx, f, x, count):
    """Points and gradients of so many steps, and the states after each."""

    @jax.jit
    def step(state, x):
        value, grad = jax.value_and_grad(f)(x)
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=f)
        return state, optax.apply_updates(x, updates)

    state, points, states = tx.init(x), [x], []
    for _ in range(count):
        state, x = step(state, x)
        points.append(x)
        states.append(state)
    return points, [jax.grad(f)(x) for x in points], states


# Formulas


def test_bfgs_is_the_textbook_s(x64):
    f, _, _ = quadratic(5)
    points, grads, states = steps(optim.bfgs(), f, jnp.zeros(5), 6)
    h, eye = None, np.eye(5)
    for i, state in enumerate(states):
        s, y = (np.asarray(b[i + 1] - b[i]) for b in (points, grads))
        rho = 1 / (s @ y)
        h = s @ y / (y @ y) * eye if h is None else h
        h = (eye - rho * np.outer(s, y)) @ h @ (eye - rho * np.outer(y, s)) + rho * np.outer(s, s)
        np.testing.assert_allclose(state.kept.h, h, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(state.kept.h @ y, s, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("memory", [1, 3, 10])
def test_lbfgs_goes_where_the_two_loops_of_the_textbook_lead(x64, memory):
    f, _, _ = quadratic(8)
    points, grads, states = steps(optim.lbfgs(memory), f, jnp.zeros(8), 9)
    for i in range(1, 9):
        pairs = [(points[k + 1] - points[k], grads[k + 1] - grads[k]) for k in range(max(0, i - memory), i)]
        q, alphas = np.asarray(grads[i]), []
        for s, y in reversed(pairs):
            alphas.append(s @ q / (s @ y))
            q = q - alphas[-1] * y
        s, y = pairs[-1]
        r = s @ y / (y @ y) * q
        for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
            r = r + s * (alpha - y @ r / (s @ y))
        step = points[i + 1] - points[i]
        np.testing.assert_allclose(step, -states[i].found.step_size * r, rtol=1e-7, atol=1e-10)


def test_newton_solves_a_quadratic_in_one_step_whatever_its_scale(x64):
    f, hessian, minimum = quadratic(6)
    for tx in (optim.newton(), optim.newton_cg(forcing=1e-9)):
        (_, x), _, _ = steps(tx, lambda x: 1e6 * f(x), jnp.zeros(6), 1)
        np.testing.assert_allclose(x, minimum, rtol=1e-6)
    (_, x), _, _ = steps(optim.newton(damping=2.0), f, jnp.zeros(6), 1)
    gradient = -hessian @ minimum
    np.testing.assert_allclose(x, -np.linalg.solve(hessian + 2 * np.eye(6), gradient), rtol=1e-9)


def test_gauss_newton_solves_linear_residuals_in_one_step(x64):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=7)
    best = np.linalg.lstsq(a, b)[0]
    for residuals in (lambda x: a @ x - b, lambda x: {"first": (a @ x - b)[:4], "rest": (a @ x - b)[4:]}):
        (_, x), _, _ = steps(optim.gauss_newton(residuals), optim.half_square(residuals), jnp.zeros(3), 1)
        np.testing.assert_allclose(x, best, rtol=1e-10)


def test_levenberg_marquardt_s_step_is_the_damped_normal_equation_s(x64):
    problem = PROBLEMS["Wood"]
    x = jnp.asarray(problem.start)
    f, tx = optim.half_square(problem.residuals), optim.levenberg_marquardt(problem.residuals, damping=0.1)
    points, _, states = steps(tx, f, x, 8)
    damping, growth, scale = 0.1, 2.0, np.zeros(4)
    for x, after, state in zip(points[:-1], points[1:], states, strict=True):
        j, r = np.asarray(jax.jacobian(problem.residuals)(x)), np.asarray(problem.residuals(x))
        scale = np.maximum(scale, np.linalg.norm(j, axis=0))
        p = -np.linalg.solve(j.T @ j + damping * np.diag(scale**2), j.T @ r)
        rho = (f(x) - f(x + p)) / (0.5 * (r @ r - np.sum((r + j @ p) ** 2)))
        np.testing.assert_allclose(after, x + p if rho > 0 else x, rtol=1e-7)
        if rho > 0:
            damping, growth = damping * max(1 / 3, 1 - (2 * rho - 1) ** 3), 2
        else:
            damping, growth = damping * growth, 2 * growth
        np.testing.assert_allclose(state.kept.damping, damping, rtol=1e-6)
        assert state.kept.growth == growth


# Problems


def solves(tx, problem, value_fn=None):
    x = jnp.asarray(problem.start, float)
    return optim.minimize(value_fn or problem.value, x, tx, atol=1e-6, max_steps=3000)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("method", ["newton_cg", "bfgs", "lbfgs"])
def test_the_standard_problems_are_solved_from_their_standard_starts(x64, method, name):
    result = solves(METHODS[method](), PROBLEMS[name])
    if name in ROUNDED:
        assert result.status in (Status.CONVERGED, Status.NO_PROGRESS)
        assert PROBLEMS[name].reaches(result.value, rtol=1e-6)
    else:
        assert result.status == Status.CONVERGED
        np.testing.assert_array_less(jnp.abs(jax.grad(PROBLEMS[name].value)(result.params)), 1e-6)


@pytest.mark.parametrize(
    "name",
    ["Rosenbrock", "helical valley", "Wood"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("Brown badly scaled", "Osborne 1")],
)
@pytest.mark.parametrize("method", [*METHODS, *LEAST_SQUARES])
def test_each_method_solves_some(x64, method, name):
    problem = PROBLEMS[name]
    if method in LEAST_SQUARES:
        f = optim.half_square(problem.residuals)
        result = solves(LEAST_SQUARES[method](problem.residuals), problem, f)
        value = 2 * result.value
    else:
        result = solves(METHODS[method](), problem)
        value = result.value
    assert result.status == Status.CONVERGED
    assert problem.reaches(value)


@every
def test_float32_gets_as_far_as_its_rounding(method):
    problem = PROBLEMS["Rosenbrock"]
    result = solves(METHODS[method](), problem)
    assert result.status in (Status.CONVERGED, Status.NO_PROGRESS)
    np.testing.assert_allclose(result.params, 1, rtol=1e-3)


def test_a_saddle_is_left(x64):
    """At (0, 1e-3) the gradient leads into the saddle at 0; the minima are at (0, ±sqrt(1/2))."""

    def f(x):
        return x[0] ** 2 - x[1] ** 2 + x[1] ** 4

    for tx in (optim.newton(), optim.newton_cg()):
        result = optim.minimize(f, jnp.array([1.0, 1e-3]), tx, atol=1e-8)
        assert result.status == Status.CONVERGED
        np.testing.assert_allclose(result.value, -0.25)
        assert result.steps < 20


# Memory and work


def test_a_bfgs_step_takes_n_squared(x64):
    def flops(n):
        f = rosenbrock_chain(n).value
        tx, x = optim.bfgs(), jnp.zeros(n)
        update = jax.jit(lambda g, s, x: tx.update(g, s, x, value=jnp.float64(1.0), grad=g, value_fn=f))
        return update.lower(x, tx.init(x), x).compile().cost_analysis()["flops"]

    sizes = [64, 256, 1024]
    exponent, _ = np.polyfit(np.log(sizes), np.log([flops(n) for n in sizes]), 1)
    assert 1.8 < exponent < 2.2


@pytest.mark.parametrize("memory", [5, 20])
def test_lbfgs_keeps_two_vectors_a_pair_and_a_few(memory):
    n = 1_000_000
    tx, x = optim.lbfgs(memory), jax.ShapeDtypeStruct((n,), jnp.float32)
    state = jax.eval_shape(tx.init, x)

    def step(value, grad, state, x):
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=lambda x: jnp.sum(jnp.cos(x)))
        return state, x + updates

    compiled = jax.jit(step, donate_argnums=(1, 2, 3)).lower(jnp.float32(0), x, state, x).compile().memory_analysis()
    held = compiled.argument_size_in_bytes + compiled.temp_size_in_bytes
    held += compiled.output_size_in_bytes - compiled.alias_size_in_bytes
    assert held < (2.2 * memory + 12) * 4 * n


def test_pairs_may_be_kept_in_half_the_bytes(x64):
    tx = optim.lbfgs(storage=jnp.float16)
    state = tx.init(jnp.ones(50))
    assert {x.dtype for x in (state.kept.t, state.kept.y)} == {jnp.dtype(jnp.float16)}
    result = optim.minimize(rosenbrock_chain(2).value, jnp.array([-1.2, 1.0]), tx)
    assert result.status == Status.CONVERGED


# Curvature that is none


def test_a_pair_without_curvature_is_left_out_or_damped():
    """Down a slope that steepens, where the gradient's change has the wrong sign."""

    def f(x):
        return -jnp.sum(jnp.exp(x))

    for word, pairs in (("skip", 0), ("damp", 1)):
        _, _, (state,) = steps(optim.lbfgs(curvature=word), f, jnp.zeros(2), 1)
        assert state.kept.pairs == pairs
        assert (state.kept.gamma > 0) == (pairs > 0)


def test_a_memory_that_overflowed_is_forgotten_and_fills_again():
    x = jnp.array([-1.2, 1.0])
    tx = optim.lbfgs(3)
    _, _, states = steps(tx, rosenbrock, x, 4)
    spoiled = dataclasses.replace(states[-1], kept=states[-1].kept._replace(t=states[-1].kept.t.at[1].set(jnp.inf)))
    value, grad = jax.value_and_grad(rosenbrock)(x)
    for _ in range(2):
        updates, spoiled = tx.update(grad, spoiled, x, value=value, grad=grad, value_fn=rosenbrock)
        x, value, grad = x + updates, spoiled.found.value, spoiled.found.grad
        assert jnp.isfinite(spoiled.kept.t).all()
        assert spoiled.found.outcome == Outcome.WOLFE
    assert spoiled.kept.pairs == 2


@every
def test_a_direction_that_leads_up_is_replaced(method, x64):
    """Gradients that are turned around on the way in: the search looks at the true ones."""
    tx = optax.chain(optax.scale(-1.0), METHODS[method]())
    x = jnp.array([-1.2, 1.0])
    points, _, states = steps(tx, rosenbrock, x, 5)
    values = [float(rosenbrock(x)) for x in points]
    assert sorted(values, reverse=True) == values
    assert states[-1][1].found.outcome in (Outcome.WOLFE, Outcome.LOWER)


@every
def test_where_no_step_is_found_the_state_says_why_and_the_next_goes_down_the_gradient(method, x64):
    f, _, _ = quadratic(3)
    tx, here = METHODS[method](), jnp.full(3, 5.0)

    @jax.jit
    def step(state, blocked):
        """From here, once all around may be blocked."""
        value, grad = jax.value_and_grad(f)(here)
        return tx.update(
            grad, state, here, value=value, grad=grad, value_fn=lambda x: jnp.where(blocked, jnp.inf, f(x))
        )

    _, state = step(tx.init(here), False)
    updates, state = step(state, True)
    np.testing.assert_array_equal(updates, 0)
    assert Outcome(int(state.found.outcome)) is Outcome.NO_STEP
    assert state.found.failures == 1
    updates, state = step(state, False)
    grad = jax.grad(f)(here)
    np.testing.assert_allclose(updates / jnp.linalg.norm(updates), -grad / jnp.linalg.norm(grad), rtol=1e-6)
    assert state.found.failures == 0


# In company


@every
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_any_tree_in_any_precision_and_its_state_keeps_its_types(method, dtype, x64):
    params = {
        "w": jnp.full((2, 3), 0.5, dtype),
        "b": [jnp.zeros(3, dtype), None, jnp.ones((), dtype)],
        "empty": jnp.zeros((0, 2), dtype),
    }

    def f(params):
        return sum(jnp.sum((x - 0.25) ** 2 * (i + 1)) for i, x in enumerate(jax.tree.leaves(params)))

    points, _, states = steps(METHODS[method](), f, params, 6)
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), s) for s in (METHODS[method]().init(params), *states)]
    assert all(kind == kinds[0] for kind in kinds)
    for x in jax.tree.leaves(points[-1]):
        assert x.dtype == dtype
        np.testing.assert_allclose(x, 0.25, atol=1e-2)


@every
def test_it_chains_with_clipping_and_an_average(method, x64):
    tx = optax.chain(optax.clip_by_global_norm(1.0), METHODS[method](), averaging.polyak_ruppert())
    points, _, states = steps(tx, rosenbrock, jnp.array([-1.2, 1.0]), 6)
    average = averaging.averaged_params(states[-1], points[-1])
    np.testing.assert_allclose(average, np.mean(points[1:], axis=0), rtol=1e-6)
    assert rosenbrock(points[-1]) < rosenbrock(points[0])


def test_a_group_searches_along_its_own_parameters(x64):
    f, _, _ = quadratic(4)
    tx = optim.groups({"a": optim.lbfgs(), ".*": optim.frozen()})
    params = {"a": jnp.zeros(2), "b": jnp.ones(2)}
    points, grads, _ = steps(tx, lambda p: f(jnp.concatenate([p["a"], p["b"]])), params, 25)
    np.testing.assert_array_equal(points[-1]["b"], 1)
    np.testing.assert_allclose(grads[-1]["a"], 0, atol=1e-6)


def test_it_may_be_accumulated_skipped_monitored_and_in_mixed_precision():
    def f(x):
        return jnp.sum((x - 3.0) ** 2)

    low = optim.cast(jnp.zeros(4), jnp.bfloat16)
    for tx, x in (
        (optim.accumulate(optim.lbfgs(), 2), jnp.zeros(4)),
        (optim.skip_nonfinite(optim.lbfgs(), 3), jnp.zeros(4)),
        (optim.monitor(optim.lbfgs()), jnp.zeros(4)),
        (optim.mixed_precision(optim.lbfgs()), low),
    ):

        @jax.jit
        def step(x, state, tx=tx):
            value, grad = jax.value_and_grad(f)(x)
            return optim.apply_gradients(tx, grad, state, x, value=value, grad=grad, value_fn=f)

        state = tx.init(x)
        for _ in range(12):
            x, state = step(x, state)
        np.testing.assert_allclose(x.astype(jnp.float32), 3, atol=0.02)


def test_diagnostics_tell_of_the_search():
    _, _, (state,) = steps(optax.chain(optax.identity(), optim.lbfgs()), rosenbrock, jnp.array([-1.2, 1.0]), 1)
    figures = optim.diagnostics(state)
    assert figures.keys() == {"step_size", "evaluations", "failed_searches"}
    assert figures["evaluations"] >= 1


def test_a_name_chooses_one():
    assert optim.SECOND_ORDER.keys() == {"newton", "newton_cg", "bfgs", "lbfgs"}
    for name in optim.SECOND_ORDER:
        assert isinstance(optim.by_name(name, 0.1).init(jnp.ones(2)), optim.SearchState)
    assert optim.by_name("lbfgs", 0.1, memory=3).init(jnp.ones(2)).kept.t.shape == (3, 2)


# Bad input


@every
def test_what_an_update_needs_is_told(method):
    tx, x = METHODS[method](), {"w": jnp.ones(2)}
    state = tx.init(x)
    called = {"newton": "Newton", "newton_cg": "Newton-CG", "bfgs": "BFGS"}.get(method, "L-BFGS")
    with pytest.raises(ValueError, match=f"^{called} looks for its own step and has no params, no value, no value_fn"):
        tx.update(x, state)
    with pytest.raises(ValueError, match=r"has no value_fn: call update\(grads, state, params, value=f\(params\)"):
        tx.update(x, state, x, value=1.0)
    f = lambda x: jnp.sum(x["w"])  # noqa: E731
    with pytest.raises(ValueError, match=r"the gradient of 'w' has shape \(3,\), expected its parameter's \(2,\)"):
        tx.update({"w": jnp.ones(3)}, state, x, value=1.0, value_fn=f)
    with pytest.raises(ValueError, match="expected the same tree"):
        tx.update({"v": jnp.ones(2)}, state, x, value=1.0, value_fn=f)
    with pytest.raises(ValueError, match=r"value has shape \(2,\), expected one number"):
        tx.update(x, state, x, value=jnp.ones(2), value_fn=f)
    with pytest.raises(ValueError, match=r"value_fn gave float32\[2\], expected one floating number"):
        tx.update(x, state, x, value=1.0, value_fn=lambda x: x["w"])


@every
def test_parameters_without_a_real_gradient_are_refused(method):
    with pytest.raises(ValueError, match="parameter 'n' is int32, expected real floating numbers"):
        METHODS[method]().init({"n": jnp.arange(3)})
    with pytest.raises(ValueError, match="parameter 'x' is complex64"):
        METHODS[method]().init(jnp.ones(3, jnp.complex64))
    with pytest.raises(ValueError, match="there are no parameters"):
        METHODS[method]().init({})


@pytest.mark.parametrize("method", ["bfgs", "newton"])
def test_a_matrix_that_is_too_large_is_refused_before_it_is_made(method):
    with pytest.raises(ValueError, match=r"100,000 x 100,000 numbers .*, 40 GB, expected at most 8"):
        METHODS[method]().init(jnp.ones(100_000))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.lbfgs(0), "memory is 0, expected the number of pairs"),
        (lambda: optim.lbfgs(2.5), "memory is 2.5, expected the number of pairs"),
        (lambda: optim.lbfgs(curvature="drop"), "curvature is 'drop', expected 'skip' or 'damp'"),
        (lambda: optim.lbfgs(storage=jnp.int32), "storage is int32, expected a floating dtype"),
        (lambda: optim.newton(damping=-1.0), "damping is -1.0, expected a finite number, at least 0"),
        (lambda: optim.newton_cg(forcing=1.0), r"forcing is 1.0, expected a number in \(0, 1\)"),
        (lambda: optim.newton_cg(most_products=0), "most_products is 0, expected a whole number, at least 1"),
        (lambda: optim.levenberg_marquardt(jnp.sin, damping=0), "damping is 0, expected a finite number more than 0"),
    ],
)
def test_settings_out_of_range_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
