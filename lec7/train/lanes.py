"""Many runs in one program: what one of them does, for each entry of a leading axis."""

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7.errors import InputError
from lec7.typing import Device, PyTree

AXIS = "lane"


def lanes(
    function: Callable[..., Any],
    mapped: int = 1,
    chunk: int | None = None,
    devices: Sequence[Device] = (),
) -> Callable[..., Any]:
    """The function for each lane: each entry of the leading axis of its first arguments.

    Lanes that wait for one another (`chunk=1`) run the program of a single run, so that each is one bit for bit. Side
    by side, they share each operation; how they round then is XLA's choice. What is faster is to be measured: on a CPU
    lanes of wide layers are best one at a time on each device, on an accelerator small ones side by side.

    Args:
        function: what one lane does, from its own arguments and then the shared ones; traceable.
        mapped: how many of the first arguments have a leading axis of lanes.
        chunk: lanes side by side on a device, while the others wait; by default all.
        devices: the lanes are dealt out to these, and no device waits for another; as many of them are used as
            divide the lanes. Empty means whatever device the arguments are on.

    Returns:
        A function of the same arguments, to be jitted; all that it gives has a leading axis of lanes.

    Raises:
        InputError: `chunk` is below 1.

    >>> import jax.numpy as jnp
    >>> lanes(lambda x, shared: x + shared, chunk=2)(jnp.arange(5), 10).tolist()
    [10, 11, 12, 13, 14]
    """
    check_chunk(chunk)

    def on_one_device(*arguments: PyTree) -> PyTree:
        own, shared = arguments[:mapped], arguments[mapped:]
        if chunk is None:
            return jax.vmap(lambda *lane: function(*lane, *shared))(*own)
        # Not even one lane is a vmap of one: that would round as it likes.
        return lax.map(lambda lane: function(*lane, *shared), own, batch_size=None if chunk == 1 else chunk)

    @functools.wraps(function)  # its name is that of the program in logs and profiles
    def on_devices(*arguments: PyTree) -> PyTree:
        mesh = mesh_of(length(arguments[:mapped]), devices) if devices else None
        if mesh is None or mesh.size == 1:
            return on_one_device(*arguments)
        specs = (P(AXIS),) * mapped + (P(),) * (len(arguments) - mapped)
        return jax.shard_map(on_one_device, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False)(*arguments)

    return on_devices


def check_chunk(chunk: int | None) -> None:
    """Refuses a number of lanes side by side that is below 1."""
    if chunk is not None and chunk < 1:
        raise InputError(f"chunk is {chunk}, expected how many run side by side, at least 1")


def device_per_core() -> None:
    """Makes a device of each core of a CPU, so that lanes need not wait for each other.

    To be called before JAX has made its devices, which it does for the first array; after that, and where XLA_FLAGS
    says how many there are, nothing happens. Accelerators are not touched.
    """
    make_cpu_devices(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def make_cpu_devices(count: int) -> None:
    """Makes so many devices of a CPU, to rehearse on a laptop what several accelerators will do.

    As for `device_per_core`, it has to be called before JAX has made its devices.

    Args:
        count: how many.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", count)


def length(lanes: PyTree) -> int:
    """The number of lanes: the length of the leading axis."""
    return jax.tree.leaves(lanes)[0].shape[0]


def mesh_of(number: int, devices: Sequence[Device]) -> Mesh:
    """As many of the devices as divide the number of lanes, in a row."""
    used = max(count for count in range(1, len(devices) + 1) if number % count == 0)
    return Mesh(list(devices)[:used], (AXIS,))


def deal_out(lanes: PyTree, devices: Sequence[Device]) -> PyTree:
    """The lanes where `lanes` wants them, each on its device; where there are no devices, as they are."""
    return jax.device_put(lanes, NamedSharding(mesh_of(length(lanes), devices), P(AXIS))) if devices else lanes


def copy_out(shared: PyTree, number: int, devices: Sequence[Device]) -> PyTree:
    """What a number of lanes share, on each of their devices; where there are no devices, as it is."""
    return jax.device_put(shared, NamedSharding(mesh_of(number, devices), P())) if devices else shared


def hanging(function: Callable[..., PyTree], *arguments: PyTree) -> PyTree:
    """Which arrays of a function hang on its arguments, arrays or shapes, as its program tells: a bool for each.

    That an array is traced would not tell: inside of a trace, all that `jnp` makes is, of whatever it makes it.

    >>> import jax.numpy as jnp
    >>> hanging(lambda seed: {"a": jnp.arange(3) + 1, "b": jnp.arange(3) + seed}, jnp.int32(0))
    {'a': False, 'b': True}
    """
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    reached = _reached(program.jaxpr, [True] * len(program.jaxpr.invars))
    return jax.tree.unflatten(jax.tree.structure(shapes), reached)


def _reached(program: Any, given: list[bool]) -> list[bool]:
    """Which outputs of a jaxpr hang on the inputs given; of what has a jaxpr inside, `jit` alone is looked into."""
    known = {id(one) for one, is_given in zip(program.invars, given, strict=True) if is_given}
    for equation in program.eqns:
        inputs = [id(one) in known for one in equation.invars]
        if equation.primitive.name in ("jit", "pjit"):
            reached = _reached(equation.params["jaxpr"].jaxpr, inputs)
        else:
            reached = [any(inputs)] * len(equation.outvars)
        known |= {id(one) for one, is_reached in zip(equation.outvars, reached, strict=True) if is_reached}
    return [id(one) in known for one in program.outvars]
