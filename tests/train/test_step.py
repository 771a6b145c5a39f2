import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, data, losses, optim, random, train
from lec7.errors import InputError
from lec7.models import Model, Variables


def linear_model():
    """Logistic regression as a plain pair of functions."""

    def init(key, inputs):
        return Variables({"w": jnp.zeros((inputs.shape[-1], 3)), "b": jnp.zeros(3)}, {})

    def apply(variables, inputs, *, train, key=None):
        return inputs @ variables.params["w"] + variables.params["b"][None], variables.state

    return Model(init, apply)


def test_a_step_is_gradient_descent_on_the_mean_loss(x64):
    """Against the gradient of softmax regression, worked out by hand."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)), rng.integers(0, 3, 12)
    model, tx = linear_model(), optim.momentum(0.1, 0.9)
    step = train.jit(train.make_step(model, losses.cross_entropy, tx))
    state = train.init(jax.random.key(0), model, tx, jnp.asarray(x))
    w, b, v, u = np.zeros((5, 3)), np.zeros(3), 0, 0
    for t in range(20):
        logits = x @ w + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(12), y]).mean()
        error = (p - np.eye(3)[y]) / 12
        v, u = 0.9 * v + x.T @ error, 0.9 * u + error.sum(0)
        state, metrics = step(state, {"image": jnp.asarray(x), "label": jnp.asarray(y)})
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-12)
        np.testing.assert_allclose(metrics["accuracy"], np.mean(logits.argmax(1) == y))
        w, b = w - 0.1 * v, b - 0.1 * u
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-10)
    np.testing.assert_allclose(state.params["b"], b, rtol=1e-10)
    assert int(state.step) == 20


def test_what_is_drawn_comes_of_the_state_s_key_by_name_and_step():
    """The model of "model" and the augmentation of "augment" at each step anew, the start of "init"."""
    plain, seen = linear_model(), {"model": [], "augment": [], "init": []}

    def init(key, inputs):
        seen["init"].append(key)
        return plain.init(key, inputs)

    def apply(variables, inputs, *, train, key=None):
        seen["model"].append(key)
        return plain.apply(variables, inputs, train=train)

    def augment(key, batch):
        seen["augment"].append(key)
        return batch

    model, tx, base = Model(init, apply), optim.sgd(0.1), jax.random.key(5)
    step = train.make_step(model, losses.cross_entropy, tx, augment=augment)
    state = train.init(base, model, tx, jnp.zeros((1, 5)))
    for _ in range(3):
        state, _ = step(state, {"image": jnp.ones((2, 5)), "label": jnp.zeros(2, int)})
    assert (int(state.step), state.step.dtype) == (3, jnp.int32)
    assert seen.pop("init") == [random.stream(base, "init")]
    for name, keys in seen.items():
        assert keys == [random.stream(base, name, t) for t in range(3)]


def test_a_step_calls_the_model_in_training_and_an_evaluation_in_testing(small):
    state, called = small.init(), []

    def apply(variables, inputs, *, train, key=None):
        called.append(train)
        return small.model.apply(variables, inputs, train=train, key=key)

    model = Model(small.model.init, apply)
    new, _ = train.make_step(model, losses.cross_entropy, small.optimizer)(state, small.batch(0))
    assert called == [True]
    before, after = (jax.tree.leaves(s.model_state) for s in (state, new))
    assert all((a != b).any() for a, b in zip(before, after, strict=True))  # running statistics
    train.make_evaluate(model, losses.cross_entropy, batch_size=100)(new.variables, small.source)
    assert set(called[1:]) == {False}


def test_averages_that_can_not_be_told_apart_are_refused_before_any_training(small):
    tx = optax.chain(optim.sgd(0.1), averaging.ema(0.9), averaging.ema(0.99))
    with pytest.raises(InputError, match="two averages 'ema' of"):
        train.init(jax.random.key(0), small.model, tx, jnp.zeros((1, 6)))


def test_the_optimizer_gets_value_gradient_and_value_function(small):
    seen = {}

    def update(updates, state, params=None, *, value, grad, value_fn, **extra):
        seen.update(value=value, again=value_fn(params), same=grad is updates)
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    state = train.init(jax.random.key(0), small.model, spy, jnp.zeros((1, 6)))
    train.make_step(small.model, losses.cross_entropy, spy)(state, small.batch(0))
    assert seen["same"]
    np.testing.assert_allclose(seen["value"], seen["again"], rtol=1e-6)


def test_scan_is_the_steps_one_after_the_other(small):
    state, alone = small.init(), small.init()
    batches = [small.batch(t) for t in range(5)]
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *batches)
    state, metrics = train.jit(train.scan(small.step, 5))(state, stacked)
    one = train.jit(small.step)
    for t, batch in enumerate(batches):
        alone, row = one(alone, batch)
        np.testing.assert_allclose(metrics["loss"][t], row["loss"], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state.params, alone.params)


def test_fit_draws_its_batches_from_the_state_s_key(small):
    """The loop's batches are those of the stream "order", whatever the windows are."""
    alone, one = small.init(), train.jit(small.step)
    key = random.stream(jax.random.key(0), "order")
    for t in range(7):
        alone, row = one(alone, data.batch(key, small.source, t, 10))
    for _, metrics in train.fit(small.step, small.init(), small.source, steps=7, batch_size=10, every=3):
        pass
    np.testing.assert_allclose(metrics["loss"][-1], row["loss"], rtol=1e-4)


def test_windows_do_not_depend_on_where_training_starts(small, same):
    def run(state, steps):
        sizes = []
        for state, metrics in train.fit(small.step, state, small.source, steps=steps, batch_size=10, every=4):
            sizes.append(len(metrics["loss"]))
        return state, sizes

    whole, sizes = run(small.init(), 11)
    assert sizes == [4, 4, 3]
    part, _ = run(small.init(), 6)
    resumed, sizes = run(part, 11)
    assert sizes == [2, 3]
    same(resumed, whole)


def test_one_compilation_serves_every_window_and_nothing_travels(small):
    run = train.jit(train.scan(small.step, 4, train.draw(10)))
    state, source = small.init(), jax.device_put(small.source)
    counts = [jax.device_put(jnp.int32(n)) for n in (4, 4, 1, 3)]
    state, _ = run(state, source, counts[0])
    with jax.transfer_guard("disallow"):
        for n in counts[1:]:
            state, _ = run(state, source, n)
    assert run._cache_size() == 1


def test_a_loop_of_n_windows_is_n_dispatches(small):
    """Counted where the loop calls the compiled function, by counting what comes out."""
    traces = []

    def counted(state, batch):
        traces.append(1)
        return small.step(state, batch)

    windows = list(train.fit(counted, small.init(), small.source, steps=20, batch_size=10, every=5))
    assert len(windows) == 4
    # Traced to learn the metrics' shapes and to be compiled, and never again, nor when the loop is called again.
    assert len(traces) <= 3
    for _ in train.fit(counted, small.init(), small.source, steps=13, batch_size=10, every=5):
        pass
    assert len(traces) <= 3


def test_the_state_given_by_the_caller_stays_usable(small):
    key = jax.random.key(3)
    state = train.init(key, small.model, small.optimizer, jnp.zeros((1, 6)))
    train.jit(small.step)(state, small.batch(0))
    assert jax.random.key_data(key).shape == (2,)


def test_evaluation_counts_each_example_once(small):
    variables = small.init().variables
    outputs, _ = small.model.apply(variables, small.source.arrays["image"], train=False)
    expected = losses.cross_entropy(outputs, small.source.arrays)
    for batch_size in (7, 100, 1000):
        got = jax.jit(train.make_evaluate(small.model, losses.cross_entropy, batch_size=batch_size))(
            variables, small.source
        )
        np.testing.assert_allclose(got["loss"], np.mean(expected["loss"]), rtol=1e-5)
        np.testing.assert_allclose(got["accuracy"], np.mean(expected["accuracy"]), rtol=1e-6)


def test_bytes_become_floats_in_the_unit_interval():
    pixels = train.image({"image": jnp.array([0, 51, 255], jnp.uint8)})
    np.testing.assert_allclose(pixels, [0, 0.2, 1], rtol=1e-6)
    floats = jnp.array([0.5, 2.0])
    assert train.image({"image": floats}) is floats


def test_a_batch_without_images_is_told_with_what_it_has():
    with pytest.raises(InputError, match=r"no 'image'; it has 'x', 'label'; say .*: inputs=lambda batch: batch\['x'\]"):
        train.image({"x": jnp.ones(3), "label": jnp.ones(3)})


def test_the_means_of_an_evaluation_are_taken_in_float32():
    """Of 257 times the same number in bfloat16 it is that number."""
    source = data.ArraySource({"image": np.zeros((257, 1), np.float32)})
    model = Model(lambda key, x: Variables({}, {}), lambda own, x, **mode: (x, own.state))
    tenth = jnp.bfloat16(0.1)
    evaluate = train.make_evaluate(model, lambda x, batch: {"loss": jnp.full(len(x), tenth)})
    assert float(evaluate(model.init(None, None), source)["loss"]) == float(tenth)
