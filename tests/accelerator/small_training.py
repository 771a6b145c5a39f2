"""A small network with batch norm and an average, what trains it, and how figures are compared, on any devices."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lec7 import augment, averaging, data, losses, models, optim, train, tree

CLASSES, SIDE, STEPS = 4, 8, 5
AUGMENT = augment.on_batch(augment.pipeline(augment.mirror(), augment.random_crop(SIDE, pad=1)))


def rows() -> int:
    """Examples of a batch: of each device equally many, and enough for batch norm."""
    return 16 * jax.local_device_count()


def examples(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Images with a bright band that tells their class, on the host."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count).astype(np.int32)
    images = rng.uniform(0, 0.5, (count, SIDE, SIDE, 1)).astype(np.float32)
    for i, label in enumerate(labels):
        images[i, 2 * label : 2 * label + 2] += 0.5
    return {"image": images, "label": labels}


def batches() -> list[dict[str, np.ndarray]]:
    """One for each of some steps."""
    return [examples(rows(), seed=t) for t in range(STEPS)]


@functools.cache
def dense(keep: float = 1.0) -> models.Model:
    """Two dense layers, which are compiled soon."""
    return models.from_nnx(lambda rngs: models.MLP(SIDE * SIDE, (16,), CLASSES, keep=keep, rngs=rngs))


@functools.cache
def convolutional() -> models.Model:
    """A convolution and two dense layers."""
    return models.from_nnx(lambda rngs: models.CNN((SIDE, SIDE, 1), (4,), 16, CLASSES, rngs=rngs))


def optimizer(rate=0.05) -> optax.GradientTransformation:
    """Momentum: where a gradient is about 0, Adam would make much of how it rounds."""
    return optax.chain(optim.momentum(rate), averaging.ema(0.9))


def step_of(model: models.Model) -> train.Step:
    """A step without noise."""
    return train.make_step(model, losses.cross_entropy, optimizer())


@functools.cache
def noisy() -> train.Step:
    """A step of dense layers with dropout and augmentation."""
    return train.make_step(dense(0.8), losses.cross_entropy, optimizer(), augment=AUGMENT)


def begin(model: models.Model) -> train.TrainState:
    """The state before the first step."""
    return jax.tree.map(jnp.array, _start(model)).replace(key=jax.random.key(0))


@functools.cache
def _start(model: models.Model) -> train.TrainState:
    """That without its key, on the host."""
    start = jax.jit(lambda key, images: train.init(key, model, optimizer(), images))
    return jax.device_get(start(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 1))).replace(key=None))


def one_by_one(step, state: train.TrainState) -> tuple[train.TrainState, list[float]]:
    """The state after all batches, and their losses; `step` is compiled."""
    seen = []
    for batch in batches():
        state, metrics = step(state, batch)
        seen.append(float(metrics["loss"]))
    return state, seen


def fitted(step: train.Step, source: data.Source) -> train.TrainState:
    """The end of 13 steps in three windows, from the beginning of dense layers."""
    with exact():
        for state, _ in train.fit(step, begin(dense()), source, steps=13, batch_size=rows(), every=5):
            pass
    return state


@functools.cache
def fitted_on_one_device() -> train.TrainState:
    """That of `noisy()` on 500 examples on the device."""
    return jax.device_get(fitted(noisy(), data.ArraySource(examples(500))).replace(key=None))


def exact():
    """Within it, products of float32 numbers are those of float32: GPUs and TPUs round their factors otherwise."""
    return jax.default_matmul_precision("highest")


@contextlib.contextmanager
def in_double_precision():
    """Within it, all is computed on the CPU, and may be so in float64."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def wide(arrays):
    """Arrays on the host with floats in double precision."""
    return jax.tree.map(lambda x: x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x, arrays)


def assert_close(state: train.TrainState, expected: train.TrainState, atol: float = 1e-5) -> None:
    """Two states agree in all but their key, array by array."""
    for name, want in tree.named(expected).items():
        if name != "key":
            np.testing.assert_allclose(np.asarray(tree.named(state)[name]), want, atol=atol, rtol=1e-4, err_msg=name)
