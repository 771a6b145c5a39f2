"""Where the arrays of a training state lie on a mesh: parameters by rules, and likewise all that follows them."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7 import tree
from lec7.errors import InputError
from lec7.train.state import TrainState
from lec7.typing import Params, PyTree, is_traced

DATA, FSDP, MODEL = AXES = ("data", "fsdp", "model")
"""The axes of a mesh: `data` has replicas of the state, `fsdp` those who share one, and both have rows of the batch;
`model` has those who share the work on the same rows."""

ROWS = (DATA, FSDP)
"""The axes that deal out the rows of a batch."""

Placement = Callable[[tuple[int, ...], Mapping[str, int]], P]
"""From an array's shape and the sizes of the mesh's axes to which of its axes is dealt out over which of the mesh's."""

Rules = Mapping[str, "Placement | P"]
"""From patterns of parameters' names to placements; of several that match, the first counts."""


def replicated(shape: tuple[int, ...], sizes: Mapping[str, int]) -> P:
    """Whole on each device.

    Args:
        shape: of the parameter.
        sizes: of the mesh's axes, by name.

    Returns:
        Over which axis of the mesh each axis of the parameter lies.

    >>> replicated((64, 10), {"data": 1, "fsdp": 8, "model": 1})
    P()
    """
    return P()


def fsdp(shape: tuple[int, ...], sizes: Mapping[str, int]) -> P:
    """Along the largest axis that the `fsdp` devices divide; whole where there is none.

    Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020, stage 3.

    Args:
        shape: as of `replicated`.
        sizes: as of `replicated`.

    >>> fsdp((64, 256), {"data": 1, "fsdp": 8, "model": 1}), fsdp((10,), {"data": 1, "fsdp": 8, "model": 1})
    (P(None, 'fsdp'), P())
    """
    return _spec(shape, sizes, {})


def columns(shape: tuple[int, ...], sizes: Mapping[str, int]) -> P:
    """A layer's outputs, the last axis, over `model`, and the largest of the others over `fsdp`.

    Source: Shoeybi et al., "Megatron-LM", 2019, section 3: the first of a pair of dense layers is cut by its columns.

    Args:
        shape: as of `replicated`.
        sizes: as of `replicated`.

    >>> columns((64, 256), {"data": 1, "fsdp": 4, "model": 2}), columns((256,), {"data": 1, "fsdp": 4, "model": 2})
    (P('fsdp', 'model'), P('model',))
    """
    return _spec(shape, sizes, {len(shape) - 1: MODEL})


def rows(shape: tuple[int, ...], sizes: Mapping[str, int]) -> P:
    """A layer's inputs, the last axis but one, over `model`, and the largest of the others over `fsdp`.

    Source: as that of `columns`: the second of a pair of dense layers is cut by its rows.

    Args:
        shape: as of `replicated`.
        sizes: as of `replicated`.

    >>> rows((256, 64), {"data": 1, "fsdp": 4, "model": 2}), rows((64,), {"data": 1, "fsdp": 4, "model": 2})
    (P('model', 'fsdp'), P('fsdp',))
    """
    return _spec(shape, sizes, {len(shape) - 2: MODEL})


def _spec(shape: tuple[int, ...], sizes: Mapping[str, int], wanted: Mapping[int, str]) -> P:
    """The axes that are wanted where they divide, and `fsdp` along the largest of the others that it divides."""
    axes: list[str | None] = [None] * len(shape)
    for place, name in wanted.items():
        if place >= 0 and _divides(sizes[name], shape[place]):
            axes[place] = name
    free = [i for i, name in enumerate(axes) if name is None and _divides(sizes[FSDP], shape[i])]
    if free:
        axes[max(free, key=lambda i: shape[i])] = FSDP
    while axes and axes[-1] is None:
        axes.pop()
    return P(*axes)


def _divides(size: int, length: int) -> bool:
    return size > 1 and length > 0 and length % size == 0


EVERYTHING: Rules = {".*": columns}
"""Each layer's outputs over `model`, and over `fsdp` what divides: right for any network."""


def param_specs(params: Params, mesh: Mesh, rules: Rules = EVERYTHING) -> dict[str, P]:
    """Where each parameter lies, by name; those that no pattern matches as `fsdp` has it.

    Args:
        params: arrays, or their shapes.
        mesh: what they are to lie on.
        rules: patterns of whole names, see `tree.select`.

    Raises:
        InputError: a pattern matches no parameter, or its placement does not fit one.
    """
    sizes = {axis: mesh.shape.get(axis, 1) for axis in AXES}
    found: dict[str, P] = {}
    for pattern, placement in rules.items():
        matching = tree.named(tree.select(params, pattern))
        for name, x in tree.named(params).items():
            if matching[name] and name not in found:
                found[name] = placement if isinstance(placement, P) else placement(x.shape, sizes)
                _check(name, x.shape, found[name], mesh, pattern)
    return {name: found.get(name, fsdp(x.shape, sizes)) for name, x in tree.named(params).items()}


def _check(name: str, shape: tuple[int, ...], spec: P, mesh: Mesh, pattern: str) -> None:
    """Refuses a placement that the mesh or the array has no place for."""
    for place, axis in enumerate(spec):
        names = () if axis is None else (axis,) if isinstance(axis, str) else tuple(axis)
        if unknown := [one for one in names if one not in mesh.shape]:
            raise InputError(f"{pattern!r} is placed along {unknown[0]!r}, the mesh has axes {', '.join(mesh.shape)}")
        count = prod(mesh.shape[one] for one in names)
        if count > 1 and (place >= len(shape) or shape[place] % count):
            raise InputError(
                f"{name} of shape {shape} can't be placed as {spec}: axis {place} is not divisible by {count}; "
                "lec7.train.columns, rows and fsdp leave whole what does not divide"
            )


def shardings(state: TrainState, mesh: Mesh, rules: Rules = EVERYTHING) -> TrainState:
    """Where each array of a state lies on a mesh: a state of shardings.

    What the optimizer keeps of a parameter (moments, accumulated gradients, averages, rings of them) has the
    parameter's name at the end of its own, and lies as it does; all else is whole on each device.

    Args:
        state: arrays, or their shapes.
        mesh: of `make_mesh`.
        rules: where parameters lie.

    Raises:
        InputError: see `param_specs`.

    >>> from lec7.train import make_mesh
    >>> state = TrainState(jnp.int32(0), jax.random.key(0), {"bias": jnp.zeros(4)}, {}, ())
    >>> shardings(state, make_mesh("data=1")).params["bias"].spec
    P()
    """
    specs = param_specs(state.params, mesh, rules)
    shapes = {name: x.shape for name, x in tree.named(state.params).items()}

    def following(name: str, x: Any) -> NamedSharding:
        param = _param_of(name, specs)
        if param is None or x.shape[x.ndim - len(shapes[param]) :] != shapes[param]:
            return NamedSharding(mesh, P())
        return NamedSharding(mesh, P(*[None] * (x.ndim - len(shapes[param])), *specs[param]))

    whole = NamedSharding(mesh, P())
    return state.replace(
        step=whole,
        key=whole,
        params=tree.map_named(lambda name, _: NamedSharding(mesh, specs[name]), state.params),
        model_state=jax.tree.map(lambda _: whole, state.model_state),
        opt_state=tree.map_named(following, state.opt_state),
    )


def _param_of(name: str, params: Mapping[str, Any]) -> str | None:
    """The parameter whose name is the longest end of another name."""
    parts = name.split("/")
    return next((end for i in range(len(parts)) if (end := "/".join(parts[i:])) in params), None)


def gathered(sharding: NamedSharding) -> NamedSharding:
    """Where a parameter lies that is not dealt out over `fsdp`."""
    return NamedSharding(sharding.mesh, P(*(None if axis == FSDP else axis for axis in sharding.spec)))


def place(state: TrainState, mesh: Mesh, rules: Rules = EVERYTHING) -> TrainState:
    """The state on the mesh, copied from wherever it lies; each process has to have it whole.

    To begin with states that no single device has room for, make them there:
    `jax.jit(init, out_shardings=train.shardings(jax.eval_shape(init), mesh))()`.

    Args:
        state: of `init`.
        mesh: of `make_mesh`.
        rules: where parameters lie.

    Returns:
        The same values, laid out.

    Raises:
        InputError: see `shardings`.

    >>> from lec7.train import make_mesh
    >>> state = TrainState(jnp.int32(0), jax.random.key(0), {"bias": jnp.zeros(4)}, {}, ())
    >>> place(state, make_mesh("data=1")).params["bias"].sharding.spec
    P()
    """
    return put(state, shardings(state, mesh, rules))


def everywhere(arrays: PyTree, mesh: Mesh | None) -> PyTree:
    """Arrays that each process has whole, on each device of a mesh; as they are where there is none."""
    return arrays if mesh is None else put(arrays, jax.tree.map(lambda _: NamedSharding(mesh, P()), arrays))


def whole(arrays: PyTree, mesh: Mesh | None) -> PyTree:
    """Within a trace: arrays that are to be whole on each device, whatever becomes of them."""
    return arrays if mesh is None else lax.with_sharding_constraint(arrays, NamedSharding(mesh, P()))


def moved(arrays: PyTree, wanted: PyTree) -> PyTree:
    """Global arrays, as such that lie as is wanted."""
    return jax.jit(_same, out_shardings=wanted)(arrays)


def _same(arrays: PyTree) -> PyTree:
    """One function, so that moving the same again is not compiled again."""
    return arrays


def put(arrays: PyTree, wanted: PyTree) -> PyTree:
    """Arrays that each process has whole, as global ones that lie as is wanted."""
    return jax.tree.map(_put, arrays, wanted)


def _put(x: jax.Array, wanted: NamedSharding) -> jax.Array:
    if is_traced(x) or getattr(x, "sharding", None) == wanted:
        return x
    if wanted.is_fully_addressable:
        return jax.device_put(x, wanted)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), wanted), impl=jax.random.key_impl(x))
    host = jax.device_get(x)
    return jax.make_array_from_callback(x.shape, wanted, lambda index: host[index])
