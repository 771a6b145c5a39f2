"""lec7: a step, and `train.fit`."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from lec7 import data, losses, models, optim, train
from peers.task import (
    CHANNELS,
    EVALUATED_EVERY,
    FEATURES,
    HIDDEN,
    LABELS,
    LEARNING_RATE,
    MOST_STEPS,
    Arrays,
    Call,
    Task,
    reach,
    windows_of,
)

FOR_EVER = 2**31 - 1


def network(kind: str, rngs: nnx.Rngs) -> nnx.Sequential:
    """In Flax NNX, with lec7's convolution."""
    linear = partial(nnx.Linear, rngs=rngs)
    if kind == "mlp":
        flatten = partial(jnp.reshape, shape=(-1, 784))
        hidden = linear(784, HIDDEN), nnx.relu, linear(HIDDEN, HIDDEN), nnx.relu
        return nnx.Sequential(flatten, *hidden, linear(HIDDEN, LABELS))
    conv = partial(nnx.Conv, kernel_size=(3, 3), conv_general_dilated=models.convolution(), rngs=rngs)
    convolutions = conv(1, CHANNELS[0]), nnx.relu, models.max_pool, conv(*CHANNELS), nnx.relu, models.max_pool
    flatten = partial(jnp.reshape, shape=(-1, FEATURES))
    return nnx.Sequential(*convolutions, flatten, linear(FEATURES, HIDDEN), nnx.relu, linear(HIDDEN, LABELS))


def prepared(kind: str, arrays: Arrays):
    """What `train.fit` takes."""
    source = data.ArraySource({"image": arrays.images, "label": arrays.labels})
    model, optimizer = models.from_nnx(partial(network, kind)), optim.adam(LEARNING_RATE)
    state = train.init(model, optimizer, jax.random.key(0), train.image(source[:1]))
    return model, train.make_step(model, losses.cross_entropy, optimizer), state, source


def steps(task: Task, arrays: Arrays) -> Call:
    """Training as lec7 does it."""
    _, step, state, source = prepared(task.kind, arrays)
    windows = train.fit(step, state, source, steps=FOR_EVER, batch_size=task.batch_size, every=task.every)
    return windows_of(metrics for _, metrics in windows)


def until(arrays: Arrays, test: Arrays, enough) -> None:
    """Trains until that is enough."""
    model, step, state, source = prepared("cnn", arrays)
    evaluate = jax.jit(train.make_evaluate(model, losses.cross_entropy))
    held_out = data.ArraySource({"image": test.images, "label": test.labels})
    for state, _ in train.fit(step, state, source, steps=MOST_STEPS, batch_size=128, every=EVALUATED_EVERY):
        if enough(float(evaluate(state.variables, held_out)["accuracy"])):
            return


if __name__ == "__main__":
    reach(until)
