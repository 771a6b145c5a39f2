"""What a device can do at the most: copy memory, take it from the host, and multiply large matrices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lec7.bench.clock import Call
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
    x = [jnp.ones(nbytes // 4, jnp.float32)]

    def call(times: int) -> jax.Array:
        for _ in range(times):
            x[0] = negate(x[0])
        return x[0]

    return Limit(MEMORY, "bytes", call, 2.0 * nbytes)


def from_host(nbytes: int) -> Limit:
    """Memory of the host that is put on the device; of a CPU, that is copied."""
    x = np.ones(nbytes // 4, np.float32)

    def call(times: int) -> jax.Array:
        for _ in range(times):
            y = jax.device_put(x, may_alias=False).block_until_ready()
        return y

    return Limit(HOST, "bytes", call, float(nbytes))


def matmul(n: int, dtype: str) -> Limit:
    """Two matrices of n x n numbers, multiplied as JAX does by default."""
    key, other = jax.random.split(jax.random.key(0))
    # Products of orthogonal-like matrices stay of a size.
    a = (jax.random.normal(key, (n, n)) / n**0.5).astype(dtype)
    b = [jax.random.normal(other, (n, n)).astype(dtype)]
    multiply = jax.jit(jnp.matmul)

    def call(times: int) -> jax.Array:
        for _ in range(times):
            b[0] = multiply(a, b[0])
        return b[0]

    return Limit(dtype, "FLOP", call, 2.0 * n**3)
