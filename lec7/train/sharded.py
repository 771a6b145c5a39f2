"""A step on a mesh of devices: data parallel, fully sharded (FSDP), tensor parallel, or all three."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7 import tree
from lec7.errors import InputError, nearest, short
from lec7.table import table
from lec7.train.placement import AXES, EVERYTHING, ROWS, Rules, gathered, shardings
from lec7.train.state import TrainState
from lec7.train.step import Step
from lec7.typing import Batch, Device, Metrics, PyTree

REST = -1
"""The size of the one axis that takes the devices that are left."""


def make_mesh(sizes: str | Mapping[str, int], devices: Sequence[Device] | None = None) -> Mesh:
    """A mesh with axes `data`, `fsdp` and `model`, of which those not named have size 1.

    Args:
        sizes: by axis, such as `{"data": 4, "fsdp": 2}` or `"data=4,fsdp=2"`; one may be -1, for all devices that are
            left.
        devices: what it consists of, by default the first of `jax.devices()`; in several processes all of them, or on
            a CPU, where there are as many as one makes, the first of each process.

    Raises:
        InputError: an axis is unknown or given twice, a size is none, or there are too few devices.

    >>> dict(make_mesh("data=1").shape)
    {'data': 1, 'fsdp': 1, 'model': 1}
    """
    wanted = dict.fromkeys(AXES, 1) | (_parse(sizes) if isinstance(sizes, str) else dict(sizes))
    there = list(jax.devices() if devices is None else devices)
    for axis, size in wanted.items():
        if axis not in AXES:
            raise InputError(f"the mesh has an axis {axis!r}{nearest(axis, AXES)}; known are {', '.join(AXES)}")
        if not isinstance(size, int) or (size < 1 and size != REST):
            raise InputError(f"axis {axis} has size {short(size)}, expected 1 or more, or -1 for the devices left")
    rest = [axis for axis, size in wanted.items() if size == REST]
    if len(rest) > 1:
        raise InputError(f"axes {' and '.join(rest)} both have size -1, expected one that takes the devices left")
    known = prod(size for size in wanted.values() if size != REST)
    for axis in rest:
        wanted[axis] = len(there) // known
    count = prod(wanted.values())
    told = ", ".join(f"{axis}={size}" for axis, size in wanted.items())
    if not 0 < count <= len(there) or (rest and count != len(there)):
        raise InputError(f"a mesh of {told.replace('=0', '=-1')} does not fit {len(there)} devices")
    if count < len(there) and (processes := jax.process_count()) > 1:
        if there[0].platform != "cpu" or count % processes:
            raise InputError(f"a mesh of {told} leaves out {len(there) - count} devices of {processes} processes")
        there = [
            device
            for process in range(processes)
            for device in [device for device in there if device.process_index == process][: count // processes]
        ]
    used, shape, kinds = there[:count], tuple(wanted.values()), (AxisType.Auto,) * len(AXES)
    if len({getattr(device, "slice_index", 0) for device in used}) > 1:  # hosts of GPUs, in order, which JAX refuses
        return Mesh(np.array(used).reshape(shape), AXES, axis_types=kinds)
    return jax.make_mesh(shape, AXES, kinds, devices=used)


def devices_of(sizes: str) -> int:
    """How many devices a mesh has, told by its text; 1 where it takes what there are.

    Args:
        sizes: such as "data=4,fsdp=2".

    Raises:
        InputError: it is no text of a mesh.

    >>> devices_of("data=4,fsdp=2"), devices_of("data=-1")
    (8, 1)
    """
    return prod(abs(size) for size in _parse(sizes).values())


def _parse(text: str) -> dict[str, int]:
    """Sizes by axis from a text; refuses what is none.

    >>> _parse("data=4, fsdp=2")
    {'data': 4, 'fsdp': 2}
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        axis, equals, size = (word.strip() for word in part.partition("="))
        if not equals or not size.removeprefix("-").isdigit() or axis in sizes:
            raise InputError(f"the mesh is {text!r}, expected sizes by axis, each once, such as data=4,fsdp=2")
        sizes[axis] = int(size)
    return sizes


def sharded(step: Step, mesh: Mesh, rules: Rules = EVERYTHING) -> "Sharded":
    """The step on a mesh: the batch's rows over `data` and `fsdp`, the state by rules; its numbers are one device's.

    At rest parameters and all that follows them are dealt out over `fsdp`; for a step parameters are gathered,
    gradients are summed to the parts of each device, and these are what the optimizer changes (ZeRO, stage 3).

    It is a step like any other: `train.jit(train.sharded(step, mesh))` of batches,
    `train.jit(train.scan(train.sharded(step, mesh), 50, train.draw(128)))` of a source, or `train.fit` of either kind
    of source. XLA finds out what is to be sent (Xu et al., "GSPMD", 2021): statistics of batch norm are those of the
    whole batch, noise is that of one device.

    Args:
        step: from `make_step`.
        mesh: of `make_mesh`.
        rules: from patterns of parameters' names to `replicated`, `fsdp`, `columns`, `rows` or a `PartitionSpec`.

    Raises:
        InputError: in the step, the devices don't divide the batch, or a rule can't be followed.

    >>> import jax.numpy as jnp, lec7
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (32,), 10, rngs=rngs))
    >>> optimizer = lec7.optim.adam(1e-2)
    >>> mesh = make_mesh("data=1")
    >>> step = sharded(lec7.train.make_step(model, lec7.losses.cross_entropy, optimizer), mesh)
    >>> state = lec7.train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 64)))
    >>> batch = {"image": jnp.zeros((8, 64)), "label": jnp.zeros(8, int)}
    >>> state, metrics = lec7.train.jit(step)(state, batch)
    >>> int(state.step)
    1
    """
    return Sharded(step, mesh, rules)


@dataclass(frozen=True, eq=False)
class Sharded:
    """What `sharded` makes: a step that knows its mesh, on which `train.fit` puts the batches."""

    step: Step
    mesh: Mesh
    rules: Rules

    def __call__(self, state: TrainState, batch: Batch, /) -> tuple[TrainState, Metrics]:
        """From a state and a batch to the next state and the batch's mean metrics."""
        wanted = shardings(state, self.mesh, self.rules)
        state = lax.with_sharding_constraint(state, wanted)
        # Left to XLA, products of matrices that are cut both ways lose sums over devices (openxla/xla#40034).
        whole = lax.with_sharding_constraint(state.params, jax.tree.map(gathered, wanted.params))
        state, metrics = self.step(state.replace(params=whole), split_rows(batch, self.mesh))
        return lax.with_sharding_constraint(state, wanted), metrics


def split_rows(batch: PyTree, mesh: Mesh) -> PyTree:
    """Within a trace: arrays [n, ...] with their rows dealt out over the mesh."""
    for x in jax.tree.leaves(batch):
        check_rows(len(x), mesh)
    return lax.with_sharding_constraint(batch, NamedSharding(mesh, P(ROWS)))


def shards(mesh: Mesh) -> int:
    """How many devices the rows of a batch are dealt out to."""
    return prod(mesh.shape[axis] for axis in ROWS)


def has_ordered_loops(mesh: Mesh) -> bool:
    """Whether loops of one program that are independent may each have sums over the mesh.

    On CPUs of several processes they may not: XLA runs such loops at the same time, and what one process sends for the
    one, another takes for the other. A training step has all of its sums in one loop, and an evaluation has not.
    """
    return jax.process_count() == 1 or mesh.devices.flat[0].platform != "cpu"


def check_rows(batch_size: int, mesh: Mesh) -> None:
    """Refuses a batch that can't be dealt out in equal parts."""
    if batch_size % shards(mesh):
        told = " x ".join(f"{axis}={mesh.shape[axis]}" for axis in ROWS)
        raise InputError(
            f"batch_size is {batch_size}, expected a multiple of {shards(mesh)}: {told} devices have equal parts of it"
        )


class Row(NamedTuple):
    """Where an array lies: its name, dtype and shape, which of its axes are dealt out, bytes in all and of a device."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    spec: str
    nbytes: int
    nbytes_per_device: int


class Placed(tuple[Row, ...]):
    """A row for each array; printed, a table."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, each counted once."""
        return sum(row.nbytes for row in self)

    @property
    def nbytes_per_device(self) -> int:
        """Bytes of all arrays on one device."""
        return sum(row.nbytes_per_device for row in self)

    def __str__(self) -> str:
        cells = [("array", "dtype", "shape", "sharding", "bytes", "per device")]
        for row in self:
            shape = "x".join(map(str, row.shape)) or "-"
            cells.append((row.name, row.dtype, shape, row.spec, f"{row.nbytes:,}", f"{row.nbytes_per_device:,}"))
        cells.append(("total", "", "", "", f"{self.nbytes:,}", f"{self.nbytes_per_device:,}"))
        return table(cells, numbers=2)


def describe_sharding(state: PyTree) -> Placed:
    """Where each array of a state lies: name, dtype, shape, sharding, bytes in all and of each device.

    Args:
        state: arrays, or shapes with shardings.

    >>> import jax.numpy as jnp
    >>> mesh = make_mesh("data=1")
    >>> print(describe_sharding({"kernel": jax.device_put(jnp.zeros((4, 2)), NamedSharding(mesh, P("fsdp")))}))
    array   dtype    shape  sharding  bytes  per device
    kernel  float32  4x2    fsdp         32          32
    total                                32          32
    """
    return Placed(_row(name, x) for name, x in tree.named(state).items())


def _row(name: str, x: jax.Array) -> Row:
    data = jax.eval_shape(jax.random.key_data, x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    nbytes = data.size * data.dtype.itemsize
    part = np.prod(x.sharding.shard_shape(x.shape)) / max(x.size, 1)
    spec = x.sharding.spec if isinstance(x.sharding, NamedSharding) else ()
    dealt = " x ".join("-" if axis is None else "+".join(np.atleast_1d(axis)) for axis in spec)
    return Row(name, str(x.dtype), x.shape, dealt if any(spec) else "whole", nbytes, round(nbytes * part))
