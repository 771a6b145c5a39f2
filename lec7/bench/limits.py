"""What a device can do at the most: copy memory, take it from the host, and multiply large matrices."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lec7.bench.clock import Call, carried, repeated
from lec7.bench.scale import Scale

MEMORY, HOST = "memory", "host"


class Limit(NamedTuple):
    """A limit.

    Attributes:
        name: "memory" of the device, the way from the "host" to it, or the dtype that is multiplied in.
        unit: what its rate counts.
        call: gets as near to it as one can.
        amount: bytes, or floating-point operations, each time.
    """

    name: str
    unit: str
    call: Call
    amount: float


def limits(scale: Scale) -> dict[str, Limit]:
    """Those of the default device, by name."""
    memory = copy(scale.copy_bytes), from_host(scale.copy_bytes)
    return {limit.name: limit for limit in (*memory, *(matmul(scale.matmul, dtype) for dtype in scale.dtypes))}


def copy(nbytes: int) -> Limit:
    """Memory that is read and written: numbers are negated where they lie.

    Args:
        nbytes: of the array; each time it is read once, and written once.
    """
    negate = jax.jit(jnp.negative, donate_argnums=0)
    return Limit(MEMORY, "bytes", carried(negate, jnp.ones(nbytes // 4, jnp.float32)), 2.0 * nbytes)


def from_host(nbytes: int) -> Limit:
    """Memory of the host that is put on the device; of a CPU, that is copied."""
    x = np.ones(nbytes // 4, np.float32)
    put = repeated(lambda: jax.device_put(x, may_alias=False).block_until_ready())
    return Limit(HOST, "bytes", put, float(nbytes))


def matmul(n: int, dtype: str) -> Limit:
    """Two matrices of n x n numbers, multiplied as JAX does by default."""
    key, other = jax.random.split(jax.random.key(0))
    # The product of such a matrix and another is of the other's size.
    a = (jax.random.normal(key, (n, n)) / n**0.5).astype(dtype)
    multiply = jax.jit(jnp.matmul)
    b = jax.random.normal(other, (n, n)).astype(dtype)
    return Limit(dtype, "FLOP", carried(partial(multiply, a), b), 2.0 * n**3)
