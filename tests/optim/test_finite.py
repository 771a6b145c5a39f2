"""Steps with NaN or infinity leave no trace but a count."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging
from lec7.errors import InputError
from lec7.optim.apply import apply_gradients
from lec7.optim.finite import TooManySkipped, check_skipped, skip_nonfinite, skipped

BAD = {"nan": jnp.nan, "inf": jnp.inf, "-inf": -jnp.inf}
START = {"w": jnp.ones((2, 3)), "half": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(())}
TRANSFORMS = {
    "adamw": lambda: optax.adamw(optax.cosine_decay_schedule(0.1, 10)),
    "adafactor": lambda: optax.adafactor(0.1, min_dim_size_to_factor=2),
    "hyperparameters in the state": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "value": lambda: optax.chain(optax.adam(0.3), optax.contrib.reduce_on_plateau(patience=1)),
    "line search": lambda: optax.lbfgs(),
    "average": lambda: optax.chain(optax.adam(0.1), averaging.ema(0.9)),
}


def poisoned(leaf, bad):
    grads = jax.tree.map(lambda x: 0.1 * x, START)
    return grads | {leaf: grads[leaf].at[(0,) * grads[leaf].ndim].set(bad)}


def steps(tx, params, gradients, **extra):
    def step(carry, grads):
        params, state = carry
        return apply_gradients(tx, grads, state, params, **extra), None

    gradients = jax.tree.map(lambda *xs: jnp.stack(xs), *gradients)
    return jax.lax.scan(step, (params, tx.init(params)), gradients)[0]


@pytest.mark.parametrize("apply", [True, False])
def test_a_bad_gradient_leaves_everything_bit_for_bit(same, apply):
    tx = skip_nonfinite(optax.adamw(0.1), 3)
    params, state = steps(tx, START, [START])

    @jax.jit
    def step(grads, state, params):
        if apply:
            return apply_gradients(tx, grads, state, params)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for leaf in START:
        for bad in BAD.values():
            new, after = step(poisoned(leaf, bad), state, params)
            same((new, after.inner), (params, state.inner))
            assert (int(after.in_row), int(after.total)) == (1, 1)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_value_skips_as_well(same, bad):
    tx = skip_nonfinite(optax.adam(0.1), 3)
    params, state = steps(tx, START, [START], value=jnp.float32(1))
    new, after = apply_gradients(tx, START, state, params, value=jnp.float32(BAD[bad]))
    same((new, after.inner), (params, state.inner))
    assert int(after.total) == 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_finite_steps_are_the_inner_transforms(name):
    def objective(params):
        return sum(jnp.sum((x - 3) ** 2) for x in params.values())

    def train(tx):
        def step(carry, _):
            params, state = carry
            value, grads = jax.value_and_grad(objective)(params)
            return apply_gradients(tx, grads, state, params, value=value, grad=grads, value_fn=objective), None

        params = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}
        return jax.lax.scan(step, (params, tx.init(params)), None, 8)[0]

    params, state = train(skip_nonfinite(TRANSFORMS[name](), 0))
    plain, plain_state = train(TRANSFORMS[name]())
    for x, y in zip(jax.tree.leaves((params, state.inner)), jax.tree.leaves((plain, plain_state)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    assert int(state.total) == 0


def test_training_goes_on_as_if_bad_steps_had_not_been(same):
    tx = skip_nonfinite(optax.adam(0.1), 5)
    good, bad = START, poisoned("w", jnp.nan)
    params, state = steps(tx, START, [good, bad, bad, good, bad, good])
    clean, clean_state = steps(tx, START, [good, good, good])
    same((params, state.inner), (clean, clean_state.inner))
    assert (int(state.in_row), int(state.total)) == (0, 3)


def test_the_inner_update_is_not_run_on_a_bad_gradient():
    calls = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(1))
        return updates, state

    tx = skip_nonfinite(optax.GradientTransformation(lambda params: (), update), 5)
    steps(tx, START, [START, poisoned("b", jnp.inf), START])
    jax.effects_barrier()
    assert len(calls) == 2


def test_as_many_as_allowed_pass_and_one_more_stops():
    tx, bad = skip_nonfinite(optax.sgd(0.1), 2), poisoned("w", jnp.nan)
    check_skipped(steps(tx, START, [bad, START, bad, bad])[1])
    with pytest.raises(TooManySkipped, match=r"3 steps in a row, and 2 are allowed \(4 skipped in all\)") as caught:
        check_skipped(steps(tx, START, [bad, START, bad, bad, bad])[1])
    assert (caught.value.in_row, caught.value.total, caught.value.limit) == (3, 4, 2)


def test_whoever_looks_late_still_sees_it():
    tx, bad = skip_nonfinite(optax.sgd(0.1), 2), poisoned("w", jnp.nan)
    _, state = steps(tx, START, [bad, bad, bad, START, START, bad])
    with pytest.raises(TooManySkipped):
        check_skipped(state)


def test_the_limit_may_be_traced_and_lanes_count_alone():
    def run(limit, gradients):
        return steps(skip_nonfinite(optax.sgd(0.1), limit), jnp.ones(()), gradients)[1]

    gradients = jnp.array([[1.0, jnp.inf, 1.0, jnp.inf], [jnp.nan, 1.0, 1.0, 1.0]])
    state = jax.jit(jax.vmap(run))(jnp.array([0, 1]), gradients)
    assert state.total.tolist() == [2, 1]
    with pytest.raises(TooManySkipped) as caught:
        check_skipped(state)
    assert caught.value.limit == 0
    check_skipped(jax.tree.map(lambda x: x[1:], state))


def test_counters_are_found_wherever_they_sit():
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    tx = optax.chain(
        optax.clip(1.0),
        optax.masked(optax.chain(skip_nonfinite(skip_nonfinite(optax.sgd(0.1), 7), 3)), {"w": True, "b": False}),
    )
    state = tx.init(params)
    found = skipped(state)
    assert found is not None
    assert int(found.limit) == 3
    check_skipped(state)
    nothing = optax.adam(0.1).init(params)
    assert skipped(nothing) is None
    check_skipped(nothing)


def test_empty_nodes_stay_empty():
    params = {"w": jnp.ones(2), "frozen": optax.MaskedNode()}
    tx = skip_nonfinite(optax.adam(0.1), 1)
    state = tx.init(params)
    new, after = apply_gradients(tx, params, state, params)
    assert jax.tree.structure((new, after)) == jax.tree.structure((params, state))
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
    assert new["w"][0] < 1


def test_a_tree_without_leaves_is_finite():
    tx = skip_nonfinite(optax.sgd(0.1), 1)
    _, state = apply_gradients(tx, {}, tx.init({}), {})
    assert int(state.total) == 0


def test_the_limit_is_not_negative():
    with pytest.raises(InputError, match="limit is -1"):
        skip_nonfinite(optax.sgd(0.1), -1)
