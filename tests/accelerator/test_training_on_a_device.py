"""Training on the device at hand, compared with the CPU in double precision, or one way of it with another."""

import functools
import importlib.util
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_training import (
    CLASSES,
    STEPS,
    assert_close,
    batches,
    begin,
    convolutional,
    dense,
    exact,
    examples,
    fitted,
    fitted_on_one_device,
    in_double_precision,
    noisy,
    one_by_one,
    rows,
    step_of,
    wide,
)

from lec7 import data, losses, models, train
from lec7.errors import InputError
from lec7.train.checkpoints import Checkpoints

pytestmark = pytest.mark.accelerator


@functools.cache
def expected():
    """The end of the same steps in double precision on the CPU, and their losses."""
    start = jax.device_get(begin(convolutional()).replace(key=None))
    with in_double_precision():
        step = train.jit(step_of(convolutional()))
        state, seen = one_by_one(
            lambda state, batch: step(state, wide(batch)), wide(start).replace(key=jax.random.key(0))
        )
        return jax.device_get(state.replace(key=None)), seen


@pytest.mark.slow
def test_steps_are_those_of_the_cpu_in_double_precision():
    with exact():
        state, seen = one_by_one(train.jit(step_of(convolutional())), begin(convolutional()))
    assert expected()[0].params["head"]["kernel"].dtype == np.float64
    np.testing.assert_allclose(seen, expected()[1], rtol=1e-4)
    assert_close(state, expected()[0])


def test_steps_in_the_default_precision_are_near():
    """Which on a GPU is TF32 for products of matrices, and bfloat16 on a TPU."""
    state, seen = one_by_one(train.jit(step_of(convolutional())), begin(convolutional()))
    np.testing.assert_allclose(seen, expected()[1], rtol=0.03)
    assert_close(state, expected()[0], atol=0.03)


def test_steps_in_bfloat16_are_near_and_keep_parameters_in_float32():
    model = models.in_precision(convolutional(), models.precision("bf16"))
    state, seen = one_by_one(train.jit(step_of(model)), begin(model))
    np.testing.assert_allclose(seen, expected()[1], rtol=0.1)
    assert {x.dtype for x in jax.tree.leaves((state.params, state.model_state))} == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_a_scan_is_the_steps_one_by_one():
    """With dropout and augmentation."""
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *batches())
    with exact():
        alone, seen = one_by_one(train.jit(noisy()), begin(dense()))
        state, metrics = train.jit(train.scan(noisy(), STEPS))(begin(dense()), stacked)
    np.testing.assert_allclose(metrics["loss"], seen, rtol=1e-4)
    assert_close(state, alone)


def test_fit_is_one_program_that_learns_in_memory_handed_on():
    """Windows that are shorter, at the end or in the midst, are of the same program, which is not compiled again."""
    compiled, used = [], []

    def listen(event, duration, **about):
        if event == "/jax/core/compile/backend_compile_duration" and "(run)" in about.get("fun_name", ""):
            compiled.append(about["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(listen)
    source, step = data.ArraySource(examples(500)), step_of(dense())
    for steps in (23, 67):
        first = begin(dense())
        for state, metrics in train.fit(step, first, source, steps=steps, batch_size=rows(), every=10):
            jax.block_until_ready((state, metrics))
            used.append((jax.local_devices()[0].memory_stats() or {}).get("bytes_in_use", 0))
        assert all(x.is_deleted() for x in jax.tree.leaves(first.params))
    assert len(compiled) == 1, compiled
    # The first two windows make room for two of everything.
    assert used[-2] <= used[-4], used
    assert float(metrics["accuracy"][-1]) > 2 / CLASSES


def test_an_evaluation_is_that_of_the_cpu_in_double_precision():
    variables, held_out = begin(dense()).variables, examples(300, seed=9)
    with exact():
        evaluate = jax.jit(train.make_evaluate(dense(), losses.cross_entropy, batch_size=128))
        got = jax.device_get(evaluate(variables, data.ArraySource(held_out)))
    host = wide(jax.device_get(variables))
    with in_double_precision():
        outputs = jax.jit(lambda own, x: dense().apply(own, x, train=False)[0])(host, wide(held_out["image"]))
        assert outputs.dtype == jnp.float64
        want = jax.tree.map(np.mean, jax.device_get(losses.cross_entropy(outputs, held_out)))
    np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-5)
    np.testing.assert_allclose(got["accuracy"], want["accuracy"], atol=1.01 / 300)  # two logits may be all but equal


class OnHost:
    """Examples that are read when they are asked for."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays["label"])

    def __getitem__(self, indices):
        return {name: array[indices] for name, array in self.arrays.items()}


def test_examples_on_the_host_are_streamed_or_what_is_missing_is_told():
    told = ""
    try:
        assert_close(fitted(noisy(), OnHost(examples(500))), fitted_on_one_device())
    except InputError as error:
        told = str(error)
    assert bool(importlib.util.find_spec("grain")) == (not told), told
    assert not told or "pip install grain" in told


def test_a_checkpoint_has_each_bit_and_comes_back_to_the_device():
    state = begin(dense())
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder)) as checkpoints:
        checkpoints.save(state)
        checkpoints.wait()
        restored = checkpoints.restore(begin(dense())).state
    for got, want in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert got.devices() == want.devices()
        if jnp.issubdtype(want.dtype, jax.dtypes.prng_key):
            got, want = jax.random.key_data(got), jax.random.key_data(want)
        np.testing.assert_array_equal(got, want)
