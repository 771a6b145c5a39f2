"""Low precision against its float32 master, and rounding against the laws of its randomness."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from lec7 import averaging
from lec7.errors import InputError
from lec7.optim.apply import apply_gradients
from lec7.optim.precision import cast, mixed_precision, stochastic_round

LOW = [jnp.bfloat16, jnp.float16]
TRANSFORMS = {
    "sgd": lambda: optax.sgd(0.01),
    "adamw": lambda: optax.adamw(optax.cosine_decay_schedule(0.01, 20)),
    "adafactor": lambda: optax.adafactor(0.01, min_dim_size_to_factor=2),
    "hyperparameters in the state": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.01),
    "average": lambda: optax.chain(optax.adam(0.01), averaging.ema(0.9)),
}


def some_params(dtype):
    rng = np.random.default_rng(1)
    shapes = {"matrix": (3, 4), "vector": (4,), "scalar": ()}
    return {name: jnp.asarray(rng.normal(size=shape), dtype) for name, shape in shapes.items()}


def some_gradients(params, steps):
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=(steps, *x.shape)), x.dtype), params)


def run(tx, params, gradients):
    """The parameters and the state after as many steps as there are gradients."""

    def step(carry, grads):
        params, state = carry
        return apply_gradients(tx, grads, state, params), None

    return jax.lax.scan(step, (params, tx.init(params)), gradients)[0]


@pytest.mark.parametrize("key", [None, jax.random.key(1)], ids=["nearest", "stochastic"])
def test_small_steps_add_up(key):
    def moved(tx):
        x, _ = run(tx, jnp.ones((), jnp.bfloat16), jnp.ones(100, jnp.bfloat16))
        return 1 - float(x)

    assert abs(moved(mixed_precision(optax.sgd(1e-3), key=key)) - 0.10) <= 0.01
    assert moved(optax.sgd(1e-3)) == 0  # 1 - 0.001 is 1 in bfloat16


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_master_goes_as_in_float32_and_the_parameters_are_it_rounded(name, low):
    params = some_params(low)
    gradients = some_gradients(params, 20)
    last, state = run(mixed_precision(TRANSFORMS[name](), params=low), params, gradients)
    master, inner = run(TRANSFORMS[name](), cast(params, jnp.float32), cast(gradients, jnp.float32))
    for leaf in params:
        np.testing.assert_allclose(state.master[leaf], master[leaf], rtol=1e-5, atol=1e-6)
        rounded = np.asarray(state.master[leaf]).astype(ml_dtypes.bfloat16 if low == jnp.bfloat16 else np.float16)
        np.testing.assert_array_equal(np.asarray(last[leaf]), rounded)
    assert jax.tree.structure(state.inner) == jax.tree.structure(inner)


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("key", [None, jax.random.key(1)], ids=["nearest", "stochastic"])
def test_apply_is_update_and_addition(same, key, low):
    tx = mixed_precision(optax.adam(0.1), params=low, key=key)
    params = some_params(low)
    state = tx.init(params)

    @jax.jit
    def both(grads, state, params):
        updates, after = tx.update(grads, state, params)
        return (optax.apply_updates(params, updates), after), apply_gradients(tx, grads, state, params)

    for _ in range(5):
        (added, after), (params, state) = both(params, state, params)
        same(added, params)
        same(after, state)


def test_moments_are_kept_as_asked_and_scalars_left_alone():
    params = some_params(jnp.bfloat16)
    tx = mixed_precision(optax.inject_hyperparams(optax.adam)(learning_rate=0.1), state=jnp.bfloat16)
    state = tx.init(params)
    new, after = apply_gradients(tx, params, state, params)
    adam = after.inner.inner_state[0]
    for moment in (adam.mu, adam.nu):
        # A scalar parameter's moment can't be told from a learning rate.
        assert {name: x.dtype for name, x in moment.items()} == {
            "matrix": jnp.bfloat16,
            "vector": jnp.bfloat16,
            "scalar": jnp.float32,
        }
    assert adam.count.dtype == jnp.int32
    assert after.inner.hyperparams["learning_rate"].dtype == jnp.float32
    assert jax.tree.map(lambda x: x.dtype, (new, after)) == jax.tree.map(lambda x: x.dtype, (params, state))


def test_the_inner_transform_sees_float32_whatever_the_state_is_kept_in():
    seen = []

    def update(updates, state, params=None, **extra):
        seen.extend(x.dtype for x in jax.tree.leaves((updates, state, params, extra["grad"])))
        return updates, state

    inner = optax.GradientTransformationExtraArgs(lambda params: jax.tree.map(jnp.zeros_like, params), update)
    tx = mixed_precision(inner, state=jnp.float16)
    params = some_params(jnp.bfloat16)
    tx.update(params, tx.init(params), params, grad=params)
    assert set(seen) == {jnp.dtype("float32")}
    assert len(seen) == 12


def test_a_value_fn_is_that_of_the_rounded_parameters():
    x = jnp.ones(4, jnp.bfloat16)
    seen = []

    def objective(x):
        seen.append(x.dtype)
        return jnp.sum((x.astype(jnp.float32) - 2) ** 2)

    tx = mixed_precision(optax.lbfgs())
    state = tx.init(x)
    for _ in range(3):
        value, grads = jax.value_and_grad(objective)(x)
        x, state = apply_gradients(tx, grads, state, x, value=value, grad=grads, value_fn=objective)
    assert set(seen) == {jnp.dtype("bfloat16")}
    np.testing.assert_allclose(x.astype(float), 2, rtol=0.01)


def test_an_average_inside_is_one_of_the_master():
    decay = 0.9
    tx = mixed_precision(optax.chain(optax.sgd(1e-3), averaging.ema(decay)))
    x = jnp.ones((), jnp.bfloat16)
    state = tx.init(x)
    for _ in range(50):
        x, state = apply_gradients(tx, jnp.ones_like(x), state, x)
    masters = 1 - 1e-3 * np.arange(1, 51)
    weights = decay ** np.arange(50)[::-1]
    average = averaging.averaged_params(state, state.master)
    np.testing.assert_allclose(average, (weights * masters).sum() / weights.sum(), rtol=1e-5)
    assert averaging.averaged_params(state, x).dtype == jnp.bfloat16


AVERAGES = {
    "ema": averaging.ema(0.999),
    "polyak_ruppert": averaging.polyak_ruppert(),
    "snapshots": averaging.snapshots(2, 50),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_inside_are_kept_in_their_own_dtype_whatever_moments_are_kept_in(name):
    params = some_params(jnp.bfloat16)
    gradients = some_gradients(params, 120)
    tx = optax.chain(optax.trace(0.5), optax.scale(-1e-3), AVERAGES[name])
    (_, wide), (_, narrow) = (
        jax.jit(lambda state=state: run(mixed_precision(tx, state=state), params, gradients))()
        for state in (jnp.float32, jnp.bfloat16)
    )
    assert narrow.inner[0].trace["matrix"].dtype == jnp.bfloat16
    assert jax.tree.map(lambda x: x.dtype, narrow.inner[-1]) == jax.tree.map(lambda x: x.dtype, wide.inner[-1])
    # Moments are rounded, and so the ways differ, but by no more than that.
    kept = zip(jax.tree.leaves(narrow.inner[-1]), jax.tree.leaves(wide.inner[-1]), strict=True)
    for a, b in kept:
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("x", [1.001, -0.3, 1 / 3, 1234.5, 3e-7, -1.0, 0.0, 0.99999])
def test_stochastic_rounding_is_unbiased(low, x):
    n = 40_000
    x = np.float32(x)
    numpy_low = ml_dtypes.bfloat16 if low == jnp.bfloat16 else np.float16
    nearest = np.asarray(x).astype(numpy_low)
    error = float(x) - float(nearest)
    other = np.nextafter(nearest, np.asarray(np.copysign(np.inf, error), numpy_low)) if error else nearest
    gap = abs(float(other) - float(nearest))
    p = abs(error) / gap if gap else 0.0

    samples = np.asarray(stochastic_round(jax.random.key(3), jnp.full(n, x), low)).astype(np.float64)
    assert set(samples) <= {float(nearest), float(other)}
    deviation = gap * np.sqrt(p * (1 - p) / n)  # of the mean of n draws of two values
    assert abs(samples.mean() - float(x)) <= 5 * deviation


def test_stochastic_rounding_keeps_what_is_not_finite():
    x = jnp.array([jnp.inf, -jnp.inf, jnp.nan])
    for low in LOW:
        np.testing.assert_array_equal(stochastic_round(jax.random.key(0), x, low).astype(jnp.float32), x)


def test_randomness_is_of_the_key_the_step_and_the_leaf(same):
    """A zero gradient: only the rounding changes, from step to step and from leaf to leaf."""
    third = jnp.full(64, 1 / 3, jnp.float32)

    def run(seed):
        tx = mixed_precision(optax.sgd(0.1), key=jax.random.key(seed))
        params = {"a": third.astype(jnp.bfloat16), "b": third.astype(jnp.bfloat16)}
        state = tx.init(params)._replace(master={"a": third, "b": third})
        trail = []
        for _ in range(2):
            params, state = apply_gradients(tx, jax.tree.map(jnp.zeros_like, params), state, params)
            trail += [params["a"], params["b"]]
        return trail

    draws = [*run(0), *run(1)]
    assert len({np.asarray(x).tobytes() for x in draws}) == 8
    same(run(0), draws[:4])


def test_stochastic_rounding_has_the_master_as_its_mean_over_training():
    """Many elements with one gradient: their parameters' mean is nearer to the master than a rounding is."""
    tx = mixed_precision(optax.sgd(1e-4), key=jax.random.key(5))
    x = jnp.ones(4096, jnp.bfloat16)
    state = tx.init(x)
    for _ in range(10):
        x, state = apply_gradients(tx, jnp.ones_like(x), state, x)
    gap = 2.0**-8  # of bfloat16 below 1
    p = (1 - float(state.master[0])) / gap
    assert abs(x.astype(jnp.float32).mean() - state.master[0]) <= 5 * gap * np.sqrt(p * (1 - p) / x.size)


def test_lanes_equal_single_runs():
    def last(rate, key):
        params = some_params(jnp.bfloat16)
        return run(mixed_precision(optax.adam(rate), key=key), params, some_gradients(params, 5))[0]

    rates, keys = jnp.array([0.1, 0.01]), jax.random.split(jax.random.key(0), 2)
    lanes = jax.jit(jax.vmap(last))(rates, keys)
    for i in range(2):
        alone = jax.jit(last)(rates[i], keys[i])
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x[i], y, rtol=2**-8), lanes, alone)  # noqa: B023


def test_integers_and_empty_nodes_pass():
    params = {"w": jnp.ones(2, jnp.bfloat16), "n": jnp.array([3]), "frozen": optax.MaskedNode()}
    tx = mixed_precision(optax.adam(0.1), key=jax.random.key(0))
    state = tx.init(params)
    grads = params | {"n": jnp.array([0])}
    new, after = apply_gradients(tx, grads, state, params)
    assert jax.tree.structure((new, after)) == jax.tree.structure((params, state))
    assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, params)
    assert new["w"][0] < 1
    assert new["n"] == 3


def test_the_state_has_one_type_and_memory_of_its_own():
    x = {"w": jnp.ones(2)}
    nearest, stochastic = (mixed_precision(optax.sgd(0.1), jnp.float32, key=k) for k in (None, jax.random.key(0)))
    assert jax.tree.structure(nearest.init(x)) == jax.tree.structure(stochastic.init(x))
    step = jax.jit(lambda params, state: apply_gradients(nearest, params, state, params), donate_argnums=(0, 1))
    step(x, nearest.init(x))  # would raise if the master were the parameters


def test_parameters_of_another_dtype_are_named():
    params = {"head": {"kernel": jnp.ones(2), "bias": jnp.ones(2, jnp.bfloat16)}}
    with pytest.raises(InputError, match=r"'head/kernel' is float32, expected bfloat16.*precision.cast\(params"):
        mixed_precision(optax.sgd(0.1)).init(params)
    mixed_precision(optax.sgd(0.1)).init(cast(params, jnp.bfloat16))


def test_what_cannot_be_used_is_told():
    with pytest.raises(InputError, match="state is int8, expected a floating dtype"):
        mixed_precision(optax.sgd(0.1), state=jnp.int8)
    tx = mixed_precision(optax.sgd(0.1))
    x = jnp.ones(2, jnp.bfloat16)
    with pytest.raises(InputError, match="call update"):
        tx.update(x, tx.init(x))
