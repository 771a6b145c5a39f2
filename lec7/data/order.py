"""Which examples step t sees, as a pure function of (key, t).

An epoch is a permutation of the data set that is computed entry by entry: no table is made, kept or
sorted, a step pays for its own batch alone, and a resumed run or another number of hosts changes no
batch.
"""

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lec7 import random
from lec7.errors import InputError
from lec7.typing import ArrayLike, Key

ROUNDS = 8

Words = Any
"""Whole numbers from 0 to 2**32 - 1 (uint32): JAX's in a compiled step, NumPy's on the host."""


def batch_indices(key: Key, step: ArrayLike, length: int, batch_size: int) -> jax.Array:
    """The examples of step `step`: entries of one permutation after another.

    The stream of examples runs on from epoch to epoch, each one shuffled anew: each example comes
    once in `length` draws, none is dropped, and a batch may hold the end of one epoch and the start of the next.

    Args:
        key: base key of the order.
        step: counted from 0; may be traced.
        length: number of examples.
        batch_size: number of examples a step, at most `length`.

    Returns:
        int32 [batch_size], in [0, length).

    Raises:
        InputError: the batch is larger than the data set.

    >>> import jax
    >>> key = jax.random.key(0)
    >>> first, second = batch_indices(key, 0, 6, 3), batch_indices(key, 1, 6, 3)
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3, 4, 5]
    """
    check_batch_size(batch_size, length)
    epoch, place = _divmod_product(step, batch_size, length)
    place = place + jnp.arange(batch_size, dtype=jnp.uint32)
    return permute(key, place % length, length, epoch + place // length)


def _divmod_product(step: ArrayLike, batch_size: int, length: int) -> tuple[jax.Array, jax.Array]:
    """`divmod(step * batch_size, length)` where the product may not fit 32 bits: Horner's scheme over its bits."""
    step_epochs, step_places = jnp.divmod(jnp.asarray(step, jnp.uint32), jnp.uint32(length))
    epochs = places = jnp.uint32(0)
    for bit in f"{batch_size:b}":
        epochs, places = 2 * epochs, 2 * places
        if bit == "1":
            epochs, places = epochs + step_epochs, places + step_places
        epochs, places = epochs + places // length, places % length
    return epochs, places


def permute(key: Key, index: ArrayLike, length: int, epoch: ArrayLike = 0) -> jax.Array:
    """Where a pseudo-random permutation of `range(length)` sends `index`.

    A Feistel network over pairs (left, right) with left * columns + right an index: each round adds a hash of
    one half to the other, which can be undone, so that the whole is one to one. A result beyond `length` (the
    pairs make at most a row too many) is sent on until it falls inside.

    Source: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, method 3 (generalised Feistel,
    cycle walking); the hash is the finaliser of MurmurHash3.

    Args:
        key: which permutation.
        index: integers of any shape in [0, length).
        length: size of the permuted range, from 1 to 2**30.
        epoch: which permutation of this key's; integers that broadcast with `index`.

    Returns:
        int32, shaped as `index`.

    >>> import jax
    >>> sorted(permute(jax.random.key(0), jnp.arange(7), 7).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    salts = _salts(_secrets(key), jnp.asarray(epoch, jnp.uint32))

    def walk(index: jax.Array) -> jax.Array:
        return jnp.where(index < length, index, _once(index, salts, length))

    start = _once(jnp.asarray(index, jnp.uint32), salts, length)
    return lax.while_loop(lambda index: jnp.any(index >= length), walk, start).astype(jnp.int32)


Steps = int | np.ndarray
"""A step, or whole numbers of any shape."""


class Order(Protocol):
    """Which examples a step sees, told on the host; it pickles."""

    @property
    def batch_size(self) -> int:
        """Number of examples a step."""
        ...

    def indices(self, step: Steps) -> np.ndarray:
        """The examples of a step, or of several: whole numbers [..., batch_size] for steps [...]."""
        ...


class InOrder(NamedTuple):
    """Examples as they come: so many a step, counted from 0.

    >>> InOrder(3).indices(2).tolist()
    [6, 7, 8]
    """

    batch_size: int

    def indices(self, step: Steps) -> np.ndarray:
        """The examples of steps [...]: int [..., batch_size]."""
        return _places(step, self.batch_size)


class HostOrder:
    """The same order in NumPy, for what reads examples on the host: it compiles nothing, and pickles.

    Args:
        key: base key of the order, as `batch_indices` takes it.
        length: number of examples, from 1 to 2**30.
        batch_size: number of examples a step, at most `length`.

    Raises:
        InputError: the batch is larger than the data set, or the key is none.

    >>> key = jax.random.key(0)
    >>> HostOrder(key, 6, 3).indices(1).tolist() == batch_indices(key, 1, 6, 3).tolist()
    True
    """

    def __init__(self, key: Key, length: int, batch_size: int):
        check_batch_size(batch_size, length)
        self.length, self.batch_size = length, batch_size
        self.secrets = np.asarray(_secrets(key))

    def __repr__(self) -> str:
        return f"HostOrder(length={self.length}, batch_size={self.batch_size})"

    def indices(self, step: Steps) -> np.ndarray:
        """The examples of steps [...]: int32 [..., batch_size], in [0, length); `batch_indices` in other words."""
        epochs, places = np.divmod(_places(step, self.batch_size), self.length)
        # On the device epochs are counted in 32 bits.
        salts = _salts(self.secrets, (epochs % 2**32).astype(np.uint32))
        index = _once(places.astype(np.uint32), salts, self.length)
        while (outside := index >= self.length).any():
            index[outside] = _once(index[outside], salts[:, outside], self.length)
        return index.astype(np.int32)


def _places(step: Steps, batch_size: int) -> np.ndarray:
    """Where the examples of steps [...] stand in the stream of all: int64 [..., batch_size]."""
    return np.asarray(step, np.int64)[..., None] * batch_size + np.arange(batch_size)


def _secrets(key: Key) -> jax.Array:
    """What the rounds of a key's permutations differ by, uint32 [ROUNDS]."""
    return jax.random.bits(random.typed(key), (ROUNDS,), jnp.uint32)


def _salts(secrets: Words, epoch: Words) -> Words:
    """What the rounds of an epoch's permutation differ by, [ROUNDS, ...] for epochs [...]."""
    return _mix(epoch[None] * np.uint32(0x9E3779B9) ^ secrets.reshape(ROUNDS, *[1] * epoch.ndim))


def _once(index: Words, salts: Words, length: int) -> Words:
    """The network, once, in operators that JAX and NumPy have in common: from pairs to pairs, some beyond `length`."""
    rows = math.isqrt(length - 1) + 1
    columns = -(-length // rows)
    left, right = index // columns, index % columns
    for i in range(0, ROUNDS, 2):
        left = (left + _mix(right ^ salts[i])) % rows
        right = (right + _mix(left ^ salts[i + 1])) % columns
    return left * columns + right


def _mix(x: Words) -> Words:
    """A well mixed uint32 of another: MurmurHash3's finaliser."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def check_batch_size(batch_size: int, length: int) -> None:
    """Refuse a batch that the data set cannot fill."""
    if not 1 <= batch_size <= length:
        raise InputError(f"batch_size is {batch_size}, expected 1 to {length}, the number of examples")
