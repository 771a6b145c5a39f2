"""Names for the few shapes and types of data that every room shares."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

Key = jax.Array
"""A typed PRNG key, as `jax.random.key` makes it."""

Device = Any
"""One of `jax.devices()`."""

Scalar = float | jax.Array
"""A Python float or a traced array of shape ()."""

Schedule = Callable[[Any], jax.Array]
"""A pure function from a step (int32 array of shape (), or an int, counted from 0) to a value."""

PyTree = Any
"""Nested containers with arrays as leaves."""

Params = Any
"""Nested dicts of arrays; a leaf has one name everywhere: `"blocks/3/conv/kernel"`."""

ValueFn = Callable[[Params], jax.Array]
"""An objective: from parameters to a value of shape ()."""

Batch = Mapping[str, jax.Array]
"""Arrays that agree in their first axis, one row an example: `{"image": ..., "label": ...}`."""

Metrics = dict[str, jax.Array]
"""Named values of a batch or a window of steps; `"loss"` is the one that is minimized."""


def is_traced(value: Any) -> bool:
    """Whether a value is known only to the compiled program, as inside `jit` and `vmap`.

    Args:
        value: anything.

    >>> import jax
    >>> is_traced(1.0), jax.jit(lambda x: 2.0 if is_traced(x) else x)(1.0)
    (False, Array(2., dtype=float32, weak_type=True))
    """
    return isinstance(value, jax.core.Tracer)  # pyright: ignore[reportAttributeAccessIssue]


def wide(dtype: DTypeLike) -> jnp.dtype:
    """The dtype that sums of many such numbers are kept in: float32, or the dtype itself where it is wider.

    Args:
        dtype: of the numbers.

    >>> wide(jnp.bfloat16), wide(jnp.float64)
    (dtype('float32'), dtype('float64'))
    """
    return jnp.promote_types(dtype, jnp.float32)


__all__ = [
    "ArrayLike",
    "Batch",
    "DTypeLike",
    "Device",
    "Key",
    "Metrics",
    "Params",
    "PyTree",
    "Scalar",
    "Schedule",
    "ValueFn",
    "is_traced",
    "wide",
]
