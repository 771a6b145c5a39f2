"""What runs a step: one at a time or many a dispatch. Each takes a function and gives one, so that they compose."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from lec7 import data, random, replicas
from lec7.train.placement import whole
from lec7.train.state import TrainState
from lec7.train.step import Step
from lec7.typing import Batch, Metrics

Draw = Callable[[Any, TrainState, jax.Array], Batch]
"""From (data, state, number of the step within its dispatch) to a batch; traceable."""


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` of a step or a scan, which hands the old state's memory to the new one.

    The state given is gone after the call: go on with the one that comes back.

    Args:
        function: from a state, and whatever else, to a state and whatever else.

    >>> float(jit(lambda state, x: state + x)(jnp.array(1.0), 2.0))
    3.0
    """
    return jax.jit(function, donate_argnums=0)


def stacked(batches: Batch, state: TrainState, i: jax.Array) -> Batch:
    """Draws batch `i` of arrays [steps, batch, ...].

    Args:
        batches: arrays [steps, batch, ...] by name.
        state: that of the step; not looked at.
        i: which step of the window, int32 [].

    Returns:
        Arrays [batch, ...] by name.

    >>> stacked({"label": jnp.arange(6).reshape(3, 2)}, None, 1)["label"].tolist()
    [2, 3]
    """
    return jax.tree.map(lambda array: array[i], batches)


@cache
def draw(batch_size: int, mesh: Mesh | None = None) -> Draw:
    """Draws from a data source on the device: the batch is a pure function of the state's key and step.

    Args:
        batch_size: number of examples.
        mesh: that of the step, if it is `sharded`. Each device then finds all of a batch's places, and takes its rows;
            else they would ask each other, again and again, whether all places are found.
    """

    def from_source(source: data.Source, state: TrainState, i: jax.Array) -> Batch:
        order = random.stream(state.key, "order")
        places = whole(data.batch_indices(order, state.step, len(source), batch_size), mesh)
        return source[replicas.own_rows(places)]

    return from_source


def scan(step: Step, most: int, draw: Draw = stacked) -> Callable[..., tuple[TrainState, Metrics]]:
    """Up to `most` steps in one dispatch.

    Args:
        step: from `make_step`.
        most: number of steps that there is room for.
        draw: where each step's batch comes from: `stacked` arrays [most, batch, ...] (the default), or
            `train.draw(batch_size)` for a source on the device.

    Returns:
        A pure function `run(state, data, steps=most) -> (state, metrics)`; each metric is an array [most],
        with zeros beyond `steps`. `steps` may be traced: one compilation serves every number.

    >>> def step(state, batch):
    ...     return state.replace(step=state.step + 1), {"loss": batch["label"].mean()}
    >>> state = TrainState(jnp.int32(0), jax.random.key(0), {}, {}, ())
    >>> state, metrics = scan(step, 3)(state, {"label": jnp.arange(6.0).reshape(3, 2)})
    >>> int(state.step), metrics["loss"].tolist()
    (3, [0.5, 2.5, 4.5])
    """

    # It is looked at twice, for its metrics and in the loop, and traced once.
    @partial(jax.jit, inline=True)
    def drawn(data: Any, state: TrainState, i: jax.Array) -> tuple[TrainState, Metrics]:
        return step(state, draw(data, state, i))

    def run(state: TrainState, data: Any, steps: int | jax.Array = most) -> tuple[TrainState, Metrics]:
        def one(i: jax.Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, rows = carry
            state, metrics = drawn(data, state, jnp.int32(i))
            return state, jax.tree.map(lambda row, value: row.at[i].set(value), rows, metrics)

        _, metrics = jax.eval_shape(drawn, data, state, jnp.int32(0))
        rows = jax.tree.map(lambda metric: jnp.zeros((most, *metric.shape), metric.dtype), metrics)
        return lax.fori_loop(0, steps, one, (state, rows))

    return run
