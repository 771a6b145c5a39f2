"""What holds for every optimizer, of lec7 alone and chained with Optax's transforms."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, optim, schedules
from lec7.errors import InputError


class Case(NamedTuple):
    """How to make an optimizer from numbers, those numbers, and its rates for the two valleys."""

    make: Callable[..., optax.GradientTransformation]
    numbers: dict[str, float]
    bowl: float
    rosenbrock: float


ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-7}
CASES = {
    "sgd": Case(optim.sgd, {}, 0.03, 1e-3),
    "momentum": Case(optim.momentum, {"rho": 0.9}, 0.01, 1e-3),
    "nesterov": Case(optim.nesterov, {"rho": 0.9}, 0.01, 1e-3),
    "adagrad": Case(optim.adagrad, {"eps": 1e-7, "initial": 0.0}, 0.3, 0.5),
    "rmsprop": Case(optim.rmsprop, {"decay": 0.99, "eps": 1e-7}, 0.01, 3e-4),
    "adam": Case(optim.adam, ADAM, 0.03, 3e-3),
    "adamw": Case(optim.adamw, {**ADAM, "weight_decay": 1e-3}, 0.03, 3e-3),
    "amsgrad": Case(optim.amsgrad, ADAM, 0.03, 0.03),
    "nadam": Case(optim.nadam, {**ADAM, "momentum_decay": 4e-3}, 0.03, 3e-3),
    "clipping, Adam, an average": Case(
        lambda a, **n: optax.chain(optax.clip_by_global_norm(100.0), optim.adam(a, **n), averaging.ema(0.9)),
        ADAM,
        0.03,
        3e-3,
    ),
    "Optax's Adam, our rate": Case(
        lambda a, **n: optax.chain(optax.scale_by_adam(), optim.scale_by_learning_rate(a)), {}, 0.03, 3e-3
    ),
    "our momentum, Optax's rate": Case(
        lambda a, rho: optax.chain(optim.scale_by_momentum(rho), optax.scale_by_learning_rate(a)),
        {"rho": 0.9},
        0.01,
        1e-3,
    ),
    "skipping, monitored": Case(
        lambda a, **n: optim.monitor(optim.skip_nonfinite(optim.adam(a, **n), 3)), ADAM, 0.03, 3e-3
    ),
    "groups": Case(lambda a, **n: optim.groups({".*": optim.adam(a, **n)}), ADAM, 0.03, 3e-3),
    "L2, factors, our AMSGrad": Case(
        lambda a, **n: optax.chain(
            optim.coupled_weight_decay(1e-5), optim.scale_by_path({".*": 1.0}), optim.amsgrad(a, **n)
        ),
        ADAM,
        0.03,
        0.03,
    ),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_own = pytest.mark.parametrize("name", optim.OPTIMIZERS)


def descend(tx, value_fn, x, steps):
    def step(carry, _):
        x, state = carry
        updates, state = tx.update(jax.grad(value_fn)(x), state, x)
        return (optax.apply_updates(x, updates), state), None

    return jax.lax.scan(step, (x, tx.init(x)), None, steps)[0][0]


def bowl(x):
    return 0.5 * (x[0] ** 2 + 50 * x[1] ** 2)


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@every
def test_it_finds_the_bottom_of_a_bowl_and_of_rosenbrock_s_valley(case):
    @jax.jit
    def bottoms(a, b, numbers):
        low = descend(case.make(a, **numbers), bowl, jnp.array([1.0, 1.0]), 1000)
        valley = descend(case.make(b, **numbers), rosenbrock, jnp.array([-1.2, 1.0]), 10_000)
        return bowl(low), rosenbrock(valley)

    assert max(bottoms(case.bowl, case.rosenbrock, case.numbers)) < 1e-3


@every
def test_every_number_may_be_traced_and_lanes_equal_single_runs(case):
    """Under `jit` and `vmap`, inside `scan`; the rate as a number and as a schedule."""
    rows = {"learning_rate": [case.bowl, case.bowl / 10], **{k: [v, 0.9 * v] for k, v in case.numbers.items()}}

    def run(numbers):
        numbers = dict(numbers)
        rate = schedules.cosine(numbers.pop("learning_rate"), 40)
        return descend(case.make(rate, **numbers), bowl, jnp.array([1.0, -2.0]), 30)

    lanes = jax.jit(jax.vmap(run))({k: jnp.array(v) for k, v in rows.items()})
    for i in range(2):
        np.testing.assert_allclose(lanes[i], run({k: v[i] for k, v in rows.items()}), rtol=2e-5, atol=1e-6)


@every
def test_differentiable_through_the_update(case):
    """The derivative of the point after three steps by the rate, against a difference quotient."""

    def after(rate):
        return jnp.sum(descend(case.make(rate, **case.numbers), bowl, jnp.array([1.0, 2.0]), 3))

    with jax.enable_x64(True):
        h = 1e-6 * case.bowl
        slope = (after(case.bowl + h) - after(case.bowl - h)) / (2 * h)
        np.testing.assert_allclose(jax.grad(after)(case.bowl), slope, rtol=1e-5)


@every
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
def test_dtypes_and_structure_stay_and_nothing_compiles_twice(case, dtype):
    params = {"a": jnp.ones(3, dtype), "b": [jnp.ones((2, 2), dtype), jnp.ones((0,), dtype)], "none": None}
    tx = case.make(schedules.constant(0.1), **case.numbers)
    state, update = tx.init(params), jax.jit(tx.update)
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (params, state)]
    for _ in range(3):
        updates, state = update(params, state, params)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), updates) == kinds[0]
        assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == kinds[1]
    assert update._cache_size() == 1
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(updates))


@every_own
def test_a_complex_number_turns_with_its_gradient(name):
    """The optimizer has no favourite direction in the plane: rotating all gradients rotates all steps."""
    tx, turn = optim.by_name(name, 0.1), np.exp(0.7j).astype(np.complex64)
    grads = np.random.default_rng(0).normal(size=(5, 2, 3)) @ [1, 1j, 0]

    def run(turn):
        x, state = jnp.zeros(2, jnp.complex64), tx.init(jnp.zeros(2, jnp.complex64))
        for g in grads:
            updates, state = tx.update(jnp.asarray(turn * g, jnp.complex64), state, x)
            x = x + updates
        return x

    np.testing.assert_allclose(run(turn), turn * run(1), rtol=2e-4)


@every_own
def test_a_gradient_of_zero_moves_nothing(name):
    settings = {"weight_decay": 0.0} if name == "adamw" else {}
    tx = optim.by_name(name, 0.1, **settings)
    params = {"w": jnp.array([1.0, -1.0])}
    state = tx.init(params)
    for _ in range(3):
        updates, state = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
        np.testing.assert_array_equal(updates["w"], 0)


@every_own
def test_masked_leaves_are_passed_by(name):
    params = {"w": jnp.ones(2), "held": jnp.ones(2)}
    alone = optim.by_name(name, 0.1)
    tx = optax.masked(alone, {"w": True, "held": False})
    updates, state = tx.update(params, tx.init(params), params)
    np.testing.assert_array_equal(updates["held"], params["held"])
    sizes = [sum(x.size for x in jax.tree.leaves(s)) for s in (state, alone.init({"w": params["w"]}))]
    assert sizes[0] == sizes[1]


@every_own
def test_the_state_has_one_type_for_numbers_schedules_and_conventions(name):
    params = jnp.ones(2)
    number, schedule, torch = (
        jax.tree.structure(optim.by_name(name, rate, convention=convention).init(params))
        for rate, convention in ((0.1, "optax"), (schedules.constant(0.1), "optax"), (0.1, "torch"))
    )
    assert number == schedule == torch


def test_the_rate_in_force_is_the_latest_step_s():
    tx = optim.momentum(schedules.cosine(1.0, 10))
    state = tx.init(jnp.ones(2))
    for _ in range(6):
        _, state = tx.update(jnp.ones(2), state)
    np.testing.assert_allclose(optim.learning_rates(state)["learning_rate"], schedules.cosine(1.0, 10)(5))


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adagrad", "rmsprop", "adam", "amsgrad"])
def test_numbers_that_are_left_out_are_the_lecture_s(name):
    grads = jnp.asarray(np.random.default_rng(0).normal(size=(20, 3)), jnp.float32)

    def points(tx):
        return jax.lax.scan(lambda state, g: tx.update(g, state)[::-1], tx.init(grads[0]), grads)[1]

    told = CASES[name].make(0.1, **CASES[name].numbers)
    np.testing.assert_array_equal(points(optim.by_name(name, 0.1)), points(told))


@pytest.mark.parametrize("name", [name for name in optim.OPTIMIZERS if CASES[name].numbers])
def test_a_number_that_is_none_is_refused_by_the_argument_s_name(name):
    for key in CASES[name].numbers.keys() & {"rho", "decay", "b1", "b2", "eps", "initial"}:
        with pytest.raises(InputError, match=f"^{key} is nan, expected .*; give "):
            optim.by_name(name, 0.1, **{key: float("nan")})


@pytest.mark.parametrize("name", [name for name in optim.OPTIMIZERS if CASES[name].numbers])
def test_a_decay_out_of_range_is_told(name):
    for key in CASES[name].numbers.keys() & {"rho", "decay", "b1", "b2"}:
        with pytest.raises(ValueError, match=rf"{key} is 1.0, expected a number in \[0, 1\)"):
            optim.by_name(name, 0.1, **{key: 1.0})
