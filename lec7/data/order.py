"""Which examples step t sees, as a pure function of (key, t).

An epoch is a permutation of the data set that is computed entry by entry: no table is made, kept or
sorted, a step pays for its own batch alone, and a resumed run or another number of hosts changes no
batch.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import random
from lec7.errors import InputError
from lec7.typing import ArrayLike, Key

ROUNDS = 8


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
    rows = math.isqrt(length - 1) + 1
    columns = -(-length // rows)
    secrets = jax.random.bits(random.typed(key), (ROUNDS,), jnp.uint32)
    epoch = jnp.asarray(epoch, jnp.uint32)

    def once(index):
        left, right = index // columns, index % columns
        for i in range(0, ROUNDS, 2):
            left = (left + _hash(right, epoch, secrets[i])) % rows
            right = (right + _hash(left, epoch, secrets[i + 1])) % columns
        return left * columns + right

    def walk(index):
        return jnp.where(index < length, index, once(index))

    start = once(jnp.asarray(index, jnp.uint32))
    return lax.while_loop(lambda index: jnp.any(index >= length), walk, start).astype(jnp.int32)


def _hash(value: jax.Array, epoch: jax.Array, secret: jax.Array) -> jax.Array:
    """A well mixed uint32 of three: MurmurHash3's finaliser, once for the epoch and once for the value."""
    return _mix(value ^ _mix(epoch * jnp.uint32(0x9E3779B9) ^ secret))


def _mix(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def check_batch_size(batch_size: int, length: int) -> None:
    """Refuse a batch that the data set cannot fill."""
    if not 1 <= batch_size <= length:
        raise InputError(f"batch_size is {batch_size}, expected 1 to {length}, the number of examples")
