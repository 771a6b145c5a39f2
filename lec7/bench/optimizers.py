"""Updates a second of optimizers: parameters, gradients and moments that are read and written once each."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import optax

from lec7 import optim, tree
from lec7.bench.clock import carried
from lec7.bench.scale import Scale
from lec7.bench.work import Work, counted
from lec7.typing import Params

LECTURE: tuple[optim.Name, ...] = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
LEAVES = 100
"""Arrays that the parameters are dealt out to when optimizers are compared."""


def updates(scale: Scale) -> Iterator[Work]:
    """Those of the lecture on as many leaves, and Adam's on few and on many."""
    for name in LECTURE:
        yield update(name, scale.parameters, LEAVES)
    for leaves in scale.leaves:
        if leaves != LEAVES:
            yield update("adam", scale.parameters, leaves)


def update(name: optim.Name, parameters: int, leaves: int) -> Work:
    """Updates of so many parameters, in so many arrays, and their addition."""
    params = {str(i): jnp.ones(parameters // leaves) for i in range(leaves)}
    grads = jax.tree.map(lambda x: 1e-3 * x, params)
    optimizer = optim.by_name(name, 1e-3)
    state = optimizer.init(params)
    # What a state reads and writes; gradients are read.
    nbytes = 2 * tree.nbytes((params, state)) + tree.nbytes(grads)
    exponent = f"{parameters:.0e}".replace("e+0", "e")
    title = f"{name}, {exponent} parameters, {leaves} leaves"

    @partial(jax.jit, donate_argnums=0)
    def one(held: tuple[Params, optax.OptState], grads: optax.Updates) -> tuple[Params, optax.OptState]:
        params, state = held
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    flops = counted(one, (params, state), grads)
    call = carried(lambda held: one(held, grads), (params, state))
    return Work("optimizer", title, "updates", call, flops=flops, nbytes=nbytes)
