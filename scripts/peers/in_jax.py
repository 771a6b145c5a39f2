"""JAX and Optax alone: the loop that one would write by hand, with lec7's network and convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from peers.in_lec7 import network
from peers.task import LEARNING_RATE, Arrays, Call, Task, rows_of, windows_of


def steps(task: Task, arrays: Arrays) -> Call:
    """Rows of indices, and a scan over them."""
    images, labels = (jnp.asarray(x) for x in arrays)
    graph, params = nnx.split(network(task.kind, nnx.Rngs(0)))
    optimizer = optax.adam(LEARNING_RATE)

    def loss_of(params, x, y):
        logits = nnx.merge(graph, params)(x)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, jnp.mean(jnp.argmax(logits, -1) == y)

    @partial(jax.jit, donate_argnums=(0, 1))
    def scan(params, opt_state, images, labels, rows):
        def step(carry, row):
            params, opt_state = carry
            x = images[row] * jnp.float32(1 / 255)
            (loss, accuracy), grads = jax.value_and_grad(loss_of, has_aux=True)(params, x, labels[row])
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), (loss, accuracy)

        (params, opt_state), metrics = jax.lax.scan(step, (params, opt_state), rows)
        return params, opt_state, metrics

    def windows(params, opt_state):
        rows = rows_of(len(images), task.batch_size)
        while True:
            indices = jnp.asarray(np.stack([next(rows) for _ in range(task.every)]))
            params, opt_state, metrics = scan(params, opt_state, images, labels, indices)
            yield metrics

    return windows_of(windows(params, optimizer.init(params)))
