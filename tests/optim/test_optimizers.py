"""The lecture's formulas in NumPy, in float64, against the transforms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import optim, schedules

STEPS = 100
SHAPES = {"scalar": (), "vector": (5,), "matrix": (3, 4), "empty": (0,)}


def sgd(x, g, t, memory, a):
    return x - a * g


def momentum(x, g, t, memory, a, rho):
    memory["v"] = rho * memory.get("v", 0) + g
    return x - a * memory["v"]


def adam(x, g, t, memory, a, b1, b2, eps):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["s"] = b2 * memory.get("s", 0) + (1 - b2) * g * g
    m, s = memory["m"] / (1 - b1**t), memory["s"] / (1 - b2**t)
    return x - a * m / (np.sqrt(s) + eps)


CASES = {
    "sgd": (optim.sgd, sgd, {}),
    "momentum": (optim.momentum, momentum, {"rho": 0.93}),
    "adam": (optim.adam, adam, {"b1": 0.87, "b2": 0.98, "eps": 1e-6}),
}
RATES = {"constant": lambda t: 0.03, "decaying": lambda t: 0.03 * 0.5 * (1 + np.cos(np.pi * t / STEPS))}


def problem(rng):
    """A quartic with a different valley for each element: gradients of all sizes and signs."""
    start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    scale = {name: np.exp(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    return start, lambda x: {name: scale[name] * (x[name] ** 3 - 0.5 * x[name]) for name in x}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps_follow_the_lecture(x64, name, rate):
    make, formula, numbers = CASES[name]
    start, gradient = problem(np.random.default_rng(7))
    learning_rate = 0.03 if rate == "constant" else schedules.cosine(0.03, STEPS)
    tx = make(learning_rate, **numbers)

    x, params = dict(start), jax.tree.map(jnp.asarray, start)
    memories = {leaf: {} for leaf in x}
    state = tx.init(params)
    for t in range(STEPS):
        grads = gradient(x)
        updates, state = tx.update(jax.tree.map(jnp.asarray, gradient(params)), state, params)
        params = optax.apply_updates(params, updates)
        x = {leaf: formula(x[leaf], grads[leaf], t + 1, memories[leaf], RATES[rate](t), **numbers) for leaf in x}
    for leaf in x:
        np.testing.assert_allclose(params[leaf], x[leaf], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_every_number_may_be_traced_and_lanes_equal_single_runs(name):
    make, _, numbers = CASES[name]
    rows = {"learning_rate": [0.1, 0.01], **{k: [v, 0.9 * v] for k, v in numbers.items()}}

    def run(hyperparameters):
        tx = make(**hyperparameters)
        params = jnp.array([1.0, -2.0, 0.5])

        def step(carry, _):
            params, state = carry
            updates, state = tx.update(params**3, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), None, 30)[0][0]

    lanes = jax.jit(jax.vmap(run))({k: jnp.array(v) for k, v in rows.items()})
    for i in range(2):
        alone = jax.jit(lambda i=i: run({k: v[i] for k, v in rows.items()}))()
        np.testing.assert_allclose(lanes[i], alone, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_dtypes_and_structure_stay(name, dtype):
    make, _, numbers = CASES[name]
    params = {"a": jnp.ones(3, dtype), "b": [jnp.ones((2, 2), dtype)]}
    tx = make(jnp.float32(0.1), **{k: jnp.float32(v) for k, v in numbers.items()})
    state = tx.init(params)
    updates, after = tx.update(params, state, params)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), updates) == jax.tree.map(lambda x: (x.shape, x.dtype), params)
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)


@pytest.mark.parametrize("name", CASES)
def test_a_second_step_compiles_nothing(name):
    make, _, numbers = CASES[name]
    tx = make(schedules.constant(0.1), **numbers)
    update = jax.jit(tx.update)
    params = jnp.ones(3)
    state = tx.init(params)
    for _ in range(3):
        _, state = update(params, state, params)
    assert update._cache_size() == 1


def test_the_state_has_one_type_for_numbers_and_schedules():
    params = jnp.ones(2)
    number, schedule = optim.adam(0.1).init(params), optim.adam(schedules.constant(0.1)).init(params)
    assert jax.tree.structure(number) == jax.tree.structure(schedule)


def test_the_rate_in_force_is_the_latest_steps():
    tx = optim.momentum(schedules.cosine(1.0, 10))
    state = tx.init(jnp.ones(2))
    for _ in range(6):
        _, state = tx.update(jnp.ones(2), state)
    np.testing.assert_allclose(optim.learning_rates(state), [schedules.cosine(1.0, 10)(5)])


def test_chains_with_optax_on_either_side():
    params = {"w": jnp.full(4, 10.0)}
    tx = optax.chain(optax.clip_by_global_norm(1.0), optim.scale_by_momentum(), optax.scale(-0.5))
    updates, _ = tx.update(params, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.25, rtol=1e-6)
