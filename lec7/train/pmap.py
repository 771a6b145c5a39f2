"""A step as one program on each device, with explicit means over them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from lec7.data import ArraySource
from lec7.errors import InputError
from lec7.replicas import AXIS
from lec7.train.state import TrainState
from lec7.typing import Device, Metrics


def pmap(
    function: Callable[..., tuple[TrainState, Metrics]], devices: Sequence[Device] | None = None
) -> Callable[..., tuple[TrainState, Metrics]]:
    """A step, or a scan of steps, on several devices: each has the state whole, and its rows of each batch.

    Gradients, metrics and statistics are means over devices (`lax.pmean`), and batch norm of NNX modules takes its
    statistics over all rows; that of Linen modules does with `axis_name=lec7.replicas.AXIS`. Each device draws noise
    and augmentation from a key of its own, folded from the state's: without noise, the numbers are those of one
    device. `train.sharded` draws what one device does, and shards the state as well.

    Args:
        function: a step, called with a batch of arrays [n, ...]; or `train.scan(step, k, train.draw(n))`, called with
            a source.
        devices: by default all of this process.

    Returns:
        A compiled function of the same arguments, which takes the state as it is, without an axis of devices; the
        state given is gone after the call.

    Raises:
        InputError: when called, the devices don't divide the batch.

    >>> import jax.numpy as jnp, lec7
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (32,), 10, rngs=rngs))
    >>> optimizer = lec7.optim.adam(1e-2)
    >>> step = pmap(lec7.train.make_step(model, lec7.losses.cross_entropy, optimizer))
    >>> state = lec7.train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 64)))
    >>> state, metrics = step(state, {"image": jnp.zeros((8, 64)), "label": jnp.zeros(8, int)})
    >>> int(state.step)
    1
    """
    used = list(jax.local_devices() if devices is None else devices)

    def run(data_axis: int | None) -> Callable[..., Any]:
        # JAX wants an argument that has the axis of devices, which none has where all draw from one source.
        return jax.pmap(
            lambda _, state, data, more: function(state, data, *more),
            AXIS,
            in_axes=(0, None, data_axis, None),
            out_axes=None,  # pyright: ignore[reportArgumentType]
            devices=used,
            donate_argnums=1,
        )

    of_source, of_batch, numbers = run(None), run(0), np.arange(len(used))

    def on_devices(state: TrainState, data: Any, *more: Any) -> tuple[TrainState, Metrics]:
        if isinstance(data, ArraySource):
            return of_source(numbers, state, data, more)
        return of_batch(numbers, state, jax.tree.map(lambda x: _split(x, len(used)), data), more)

    return on_devices


def _split(x: jax.Array, count: int) -> jax.Array:
    """An array [n, ...] as [devices, n / devices, ...]."""
    if x.shape[0] % count:
        raise InputError(f"the batch has {x.shape[0]} rows, expected a multiple of {count}, the number of devices")
    return x.reshape(count, -1, *x.shape[1:])
