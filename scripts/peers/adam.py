"""Adam's update of ten million parameters, in few arrays and in many: lec7 and Optax."""

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import optax

from lec7 import optim
from lec7.bench.clock import Call, carried
from peers.race import LEC7, Effort, Row, race

PARAMETERS = 10**7
LEAVES = (10, 100, 1000)
OPTAX = "Optax"


def updating(optimizer: optax.GradientTransformation, leaves: int) -> Call:
    """Updates and adds, in place, one after the other."""
    params = {str(i): jnp.ones(PARAMETERS // leaves) for i in range(leaves)}
    grads = jax.tree.map(lambda x: 1e-3 * x, params)

    @partial(jax.jit, donate_argnums=0)
    def one(held, grads):
        params, state = held
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return carried(partial(one, grads=grads), (params, optimizer.init(params)))


def adam(effort: Effort) -> Iterable[Row]:
    """Each number of leaves."""
    for leaves in LEAVES:
        calls = {LEC7: updating(optim.adam(1e-3), leaves), OPTAX: updating(optax.adam(1e-3), leaves)}
        yield from race(f"Adam, 10⁷ parameters in {leaves:,} leaves", "updates", 1, calls, effort, {OPTAX: 1.0})
