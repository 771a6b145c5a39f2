"""Flax NNX: the loop of its tutorial, `nnx.jit` around a step, `nnx.MultiMetric`, batches of NumPy."""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from peers.task import (
    CHANNELS,
    EVALUATED_EVERY,
    FEATURES,
    HIDDEN,
    LABELS,
    LEARNING_RATE,
    Arrays,
    Call,
    Task,
    batches,
    reach,
    windows_of,
)

MAX_POOL = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))


def network(
    kind: str,
    rngs: nnx.Rngs,
    *,
    convolution: Callable[..., jax.Array] = jax.lax.conv_general_dilated,
    pool: Callable[[jax.Array], jax.Array] = MAX_POOL,
) -> nnx.Sequential:
    """With Flax's own convolution and pooling, or others."""
    linear = partial(nnx.Linear, rngs=rngs)
    if kind == "mlp":
        flatten = partial(jnp.reshape, shape=(-1, 784))
        hidden = linear(784, HIDDEN), nnx.relu, linear(HIDDEN, HIDDEN), nnx.relu
        return nnx.Sequential(flatten, *hidden, linear(HIDDEN, LABELS))
    conv = partial(nnx.Conv, kernel_size=(3, 3), conv_general_dilated=convolution, rngs=rngs)
    convolutions = conv(1, CHANNELS[0]), nnx.relu, pool, conv(*CHANNELS), nnx.relu, pool
    flatten = partial(jnp.reshape, shape=(-1, FEATURES))
    return nnx.Sequential(*convolutions, flatten, linear(FEATURES, HIDDEN), nnx.relu, linear(HIDDEN, LABELS))


def loss_of(net, batch):
    """The loss, and the logits."""
    logits = net(batch["image"])
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean(), logits


@nnx.jit
def train_step(net, optimizer, metrics, batch):
    """Trains on a batch."""
    (loss, logits), grads = nnx.value_and_grad(loss_of, has_aux=True)(net, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])
    optimizer.update(net, grads)


@nnx.jit
def eval_step(net, metrics, batch):
    """Tells how a batch fares."""
    loss, logits = loss_of(net, batch)
    metrics.update(loss=loss, logits=logits, labels=batch["label"])


def windows(kind: str, arrays: Arrays, batch_size: int, every: int):
    """The network and its figures, again and again."""
    net = network(kind, nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(LEARNING_RATE), wrt=nnx.Param)
    metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))
    feed = batches(arrays, batch_size)
    while True:
        for images, labels in itertools.islice(feed, every):
            train_step(net, optimizer, metrics, {"image": images, "label": labels})
        yield net, metrics.compute()
        metrics.reset()


def steps(task: Task, arrays: Arrays) -> Call:
    """The loop, in windows."""
    return windows_of(figures for _, figures in windows(task.kind, arrays, task.batch_size, task.every))


def until(arrays: Arrays, test: Arrays, enough) -> None:
    """Trains until that is enough."""
    held_out = test.as_floats()
    metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))
    for net, _ in windows("cnn", arrays, 128, EVALUATED_EVERY):
        metrics.reset()
        for begin in range(0, len(test.images), 1000):
            part = slice(begin, begin + 1000)
            eval_step(net, metrics, {"image": held_out.images[part], "label": held_out.labels[part]})
        if enough(float(metrics.compute()["accuracy"])):
            return


if __name__ == "__main__":
    reach(until)
