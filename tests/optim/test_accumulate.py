"""Micro-batches against one big batch, with plain Optax on the big one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging
from lec7.errors import InputError
from lec7.optim.accumulate import accumulate
from lec7.optim.apply import Applying, apply_gradients

TRANSFORMS = {
    "sgd": lambda: optax.sgd(0.1),
    "adamw": lambda: optax.adamw(optax.cosine_decay_schedule(0.1, 10)),
    "clipped lion": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.lion(0.01)),
    "hyperparameters in the state": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "value": lambda: optax.chain(optax.adam(0.3), optax.contrib.reduce_on_plateau(patience=1, rtol=0.5)),
    "masked": lambda: optax.masked(optax.sgd(0.1, 0.9), MASK),
    "average": lambda: optax.chain(optax.adam(0.1), averaging.ema(0.9)),
}
MASK = {"w": True, "b": False}
EXAMPLES = 24


def problem():
    """Least squares of 24 examples: starting parameters, and the objective's mean over some of them."""
    rng = np.random.default_rng(3)
    inputs, targets = jnp.asarray(rng.normal(size=(EXAMPLES, 5))), jnp.asarray(rng.normal(size=EXAMPLES))
    start = {"w": jnp.asarray(rng.normal(size=5)), "b": jnp.zeros(())}

    def objective(params, rows):
        return jnp.mean((inputs[rows] @ params["w"] + params["b"] - targets[rows]) ** 2)

    return start, jax.value_and_grad(objective)


def train(tx, k, steps):
    """`steps` passes over the examples in k micro-batches each; calls of `tx` are one compiled function."""
    params, gradient = problem()
    state = tx.init(params)

    @jax.jit
    def step(params, state, rows):
        value, grads = gradient(params, rows)
        return apply_gradients(tx, grads, state, params, value=value, grad=grads)

    for _ in range(steps):
        for rows in np.arange(EXAMPLES).reshape(k, -1):
            params, state = step(params, state, rows)
    return params, state


def close(a, b, rtol):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol), a, b)


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_micro_batches_equal_one_big_batch(x64, name, k):
    params, state = train(accumulate(TRANSFORMS[name](), k), k, steps=6)
    big_params, big_state = train(TRANSFORMS[name](), 1, steps=6)
    close(params, big_params, rtol=1e-9)
    close(state.inner, big_state, rtol=1e-9)


def run(tx, apply, gradients, params):
    """The parameters after each of a scan's steps, by `apply_gradients` or by update and addition."""

    def step(carry, grads):
        params, state = carry
        if apply:
            carry = apply_gradients(tx, grads, state, params, value=jnp.float32(1))
        else:
            updates, state = tx.update(grads, state, params, value=jnp.float32(1))
            carry = optax.apply_updates(params, updates), state
        return carry, carry[0]

    return jax.lax.scan(step, (params, tx.init(params)), gradients)


def random_gradients(steps, *shape):
    return {"w": jnp.asarray(np.random.default_rng(0).normal(size=(steps, *shape)), jnp.float32)}


def test_apply_is_update_and_addition():
    tx = accumulate(optax.adamw(0.1), 3)
    arguments = random_gradients(10, 4), {"w": jnp.ones(4)}
    close(run(tx, True, *arguments), run(tx, False, *arguments), rtol=1e-6)


def test_nothing_moves_between_steps():
    tx = accumulate(optax.adam(0.1), 3)
    gradients = random_gradients(9, 4)
    _, trail = run(tx, True, gradients, {"w": jnp.ones(4)})
    moved = np.any(np.diff(np.concatenate([np.ones((1, 4)), trail["w"]]), axis=0) != 0, axis=1)
    np.testing.assert_array_equal(moved, [False, False, True] * 3)


def test_a_step_that_waits_updates_by_zeros():
    params = {"w": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(())}
    tx = accumulate(optax.adam(0.1), 2)
    updates, _ = tx.update(params, tx.init(params), params)
    assert jax.tree.map(lambda x: x.dtype, updates) == jax.tree.map(lambda x: x.dtype, params)
    assert all(not x.any() for x in jax.tree.leaves(updates))


def test_bfloat16_is_summed_in_float32():
    k = 1024
    one = jnp.ones((), jnp.bfloat16)
    assert jax.lax.fori_loop(0, k, lambda _, total: total + one, 0 * one) == 256
    (params, state), _ = run(accumulate(optax.sgd(1.0), k), True, jnp.ones(k, jnp.bfloat16), one)
    assert params == 0
    assert params.dtype == jnp.bfloat16
    assert state.total.dtype == jnp.float32


def counting(calls):
    """A transform that counts on the host how often its update is executed."""

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(1))
        return updates, state + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


@pytest.mark.parametrize("apply", [True, False])
def test_the_inner_update_runs_once_in_k_steps(apply):
    calls = []
    (_, state), _ = jax.jit(lambda *xs: run(accumulate(counting(calls), 4), apply, *xs))(
        random_gradients(14, 2), {"w": jnp.ones(2)}
    )
    jax.effects_barrier()
    assert len(calls) == int(state.inner) == 3
    assert int(state.i) == 2


def test_an_average_counts_whole_steps():
    gradients, k, decay = random_gradients(12, 3), 4, 0.9
    tx = accumulate(optax.chain(optax.sgd(0.1), averaging.ema(decay)), k)
    (params, state), trail = run(tx, True, gradients, {"w": jnp.ones(3)})
    emitted = np.asarray(trail["w"], np.float64)[k - 1 :: k]
    weights = decay ** np.arange(len(emitted))[::-1]
    expected = (weights[:, None] * emitted).sum(0) / weights.sum()
    np.testing.assert_allclose(averaging.averaged_params(state, params)["w"], expected, rtol=1e-5)


def test_the_inner_transform_gets_means():
    def update(updates, state, params=None, **extra):
        return updates, {"g": updates, **extra}

    zero = {"w": jnp.zeros(2)}
    start = {"g": zero, "grad": zero, "value": jnp.zeros(()), "other": jnp.zeros(())}
    tx = accumulate(optax.GradientTransformationExtraArgs(lambda params: start, update), 2)
    state = tx.init(zero)
    for n in (1.0, 5.0):
        g = {"w": jnp.array([n, -n])}
        _, state = tx.update(g, state, zero, value=jnp.float32(n), grad=g, other=jnp.float32(n))
    assert jax.tree.map(lambda x: x.tolist(), state.inner) == {
        "g": {"w": [3.0, -3.0]},
        "grad": {"w": [3.0, -3.0]},
        "value": 3.0,
        "other": 5.0,
    }


def test_the_inner_transform_gets_the_mean_value_in_the_value_s_dtype():
    seen = []

    def update(updates, state, params=None, *, value):
        seen.append(value.dtype)
        return updates, state

    tx = accumulate(optax.GradientTransformationExtraArgs(lambda params: (), update), 2)
    for dtype in (jnp.float32, jnp.bfloat16):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2), value=jnp.ones((), dtype))
    assert set(seen) == {jnp.dtype("float32"), jnp.dtype("bfloat16")}


def test_a_nan_does_not_outlive_its_step():
    tx = accumulate(optax.sgd(1.0), 2)
    x = jnp.zeros(())
    state = tx.init(x)
    for g in (jnp.nan, 1.0):
        _, state = tx.update(jnp.array(g), state, x)
    for g in (1.0, 2.0):
        updates, state = tx.update(jnp.array(g), state, x)
    assert updates == -1.5


def bytes_per_step(tx, index, params):
    """Bytes that a waiting step touches, by XLA's account, over the parameters' bytes.

    With the index known, XLA keeps the branch that waits; otherwise both are in the program.
    """

    def step(params, state, grads):
        return apply_gradients(tx, grads, state._replace(**index), params)

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params), params).compile()
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params))
    return compiled.cost_analysis()["bytes accessed"] / size


def test_a_step_that_waits_touches_gradients_and_sum_alone():
    params = {"w": jnp.ones((512, 512)), "b": jnp.ones(512)}
    ours = accumulate(optax.adam(1e-3), 8)
    optaxs = optax.MultiSteps(optax.adam(1e-3), 8).gradient_transformation()
    waiting = bytes_per_step(ours, {"i": jnp.int32(3)}, params)
    print(f"\nbytes of a waiting step over the parameters': {waiting:.2f}; ", end="")
    print(f"Optax's MultiSteps {bytes_per_step(optaxs, {'mini_step': jnp.int32(3)}, params):.2f}; ", end="")
    print(f"both branches {bytes_per_step(ours, {}, params):.2f}, {bytes_per_step(optaxs, {}, params):.2f}")
    assert waiting < 3.5


def test_a_waiting_step_copies_no_parameters():
    """With the index unknown as well: nothing shaped as a parameter is copied around the condition."""
    params = {"w": jnp.ones((512, 384))}
    tx = accumulate(optax.adam(1e-3), 8)

    def step(params, state, grads):
        return apply_gradients(tx, grads, state, params)

    text = jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params), params).compile().as_text()
    assert [line for line in text.splitlines() if " = f32[512,384]" in line and " copy(" in line] == []


def test_empty_nodes_stay_empty():
    params = {"w": jnp.ones(2), "frozen": optax.MaskedNode()}
    tx = accumulate(optax.adam(0.1), 2)
    state = tx.init(params)
    for _ in range(2):
        new, after = apply_gradients(tx, params, state, params)
        assert jax.tree.structure((new, after)) == jax.tree.structure((params, state))
        params, state = new, after
    assert params["w"][0] < 1


def test_works_as_a_part_of_other_transforms():
    inside = optax.masked(accumulate(optax.sgd(0.1), 2), {"w": True, "b": False})
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    tx = optax.chain(optax.clip(0.5), inside)
    state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(params, state, params)
    np.testing.assert_allclose(updates["w"], -0.05)
    np.testing.assert_allclose(updates["b"], 0.5)


def test_lanes_equal_single_runs():
    rates, gradients, start = jnp.array([0.1, 0.01]), random_gradients(7, 3), {"w": jnp.ones(3)}

    def last(rate):
        return run(accumulate(optax.adam(rate), 3), True, gradients, start)[0]

    lanes = jax.jit(jax.vmap(last))(rates)
    for i in range(2):
        close(jax.tree.map(lambda x: x[i], lanes), last(rates[i]), rtol=1e-6)  # noqa: B023


def test_a_second_step_compiles_nothing():
    tx, params = accumulate(optax.adam(0.1), 2), jnp.ones(3)
    step, state = jax.jit(lambda *xs: apply_gradients(tx, *xs)), tx.init(params)
    for _ in range(4):
        params, state = step(params, state, params)
    assert step._cache_size() == 1


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "2"])
def test_k_is_a_positive_int(k):
    with pytest.raises(InputError, match=r"k is .*an int of at least 1"):
        accumulate(optax.sgd(0.1), k)


def test_is_an_optax_transform():
    tx = accumulate(optax.sgd(0.1), 2)
    assert isinstance(tx, Applying)
    assert isinstance(tx, optax.GradientTransformationExtraArgs)
    init, update = tx
    assert (init, update) == (tx.init, tx.update)
