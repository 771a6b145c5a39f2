"""Flax Linen: the loop of its examples, a `TrainState`, a jitted step, batches of NumPy."""

import itertools

import jax
import jax.numpy as jnp
import optax
from flax import linen
from flax.training.train_state import TrainState

from peers.task import CHANNELS, HIDDEN, LABELS, LEARNING_RATE, Arrays, Call, Task, batches, windows_of


class Network(linen.Module):
    """Either network."""

    kind: str

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """From images [n, 28, 28, 1] to logits [n, 10]."""
        if self.kind == "mlp":
            x = linen.relu(linen.Dense(HIDDEN)(x.reshape(len(x), -1)))
        else:
            for n in CHANNELS:
                x = linen.max_pool(linen.relu(linen.Conv(n, (3, 3))(x)), (2, 2), (2, 2))
            x = x.reshape(len(x), -1)
        return linen.Dense(LABELS)(linen.relu(linen.Dense(HIDDEN)(x)))


@jax.jit
def train_step(state, images, labels):
    """Trains on a batch."""

    def loss_of(params):
        logits = state.apply_fn({"params": params}, images)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, jnp.mean(jnp.argmax(logits, -1) == labels)

    (loss, accuracy), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    return state.apply_gradients(grads=grads), loss, accuracy


def steps(task: Task, arrays: Arrays) -> Call:
    """The loop, in windows."""
    net = Network(task.kind)
    params = net.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    state = TrainState.create(apply_fn=net.apply, params=params, tx=optax.adam(LEARNING_RATE))
    feed = batches(arrays, task.batch_size)

    def windows(state):
        while True:
            for images, labels in itertools.islice(feed, task.every):
                state, loss, accuracy = train_step(state, images, labels)
            yield loss, accuracy

    return windows_of(windows(state))
