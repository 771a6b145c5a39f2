"""Named key streams: randomness as a pure function of (key, name, step).

The training state carries one base key that never changes. Whatever needs randomness asks for a
stream by name, and so draws the same numbers in an uninterrupted run and in one resumed at step t.
"""

import zlib

import jax
import jax.numpy as jnp

from lec7.errors import InputError, short
from lec7.typing import ArrayLike, Key

MOST_SEED = 2**31 - 1
"""The greatest seed that may be traced, as an int32."""


def stream(key: Key, name: str, step: ArrayLike | None = None) -> Key:
    """The key of the stream `name`, at `step` where one is given.

    Args:
        key: base key, as `jax.random.key` makes it.
        name: what the numbers are for (`"dropout"`, `"shuffle"`); known when tracing.
        step: an int or an integer array of shape (); may be traced.

    Returns:
        A key that depends on all three and on nothing else.

    Raises:
        InputError: the key is none, or one of the old kind.

    >>> import jax
    >>> key = jax.random.key(0)
    >>> bool((stream(key, "dropout", 7) == stream(key, "dropout", 7)).all())
    True
    >>> bool((stream(key, "dropout", 7) == stream(key, "dropout", 8)).all())
    False
    """
    key = jax.random.fold_in(typed(key), zlib.crc32(name.encode()))
    return key if step is None else jax.random.fold_in(key, step)


def typed(key: Key) -> Key:
    """A key, or an array of them, as it is; refuses what is none.

    Args:
        key: of any shape.

    Raises:
        InputError: it is no key, or one of the old kind, an array of whole numbers.

    >>> typed(jax.random.PRNGKey(0))
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: the key is uint32[2], expected a typed one: jax.random.key(seed), or ...
    """
    if not hasattr(key, "dtype") or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise InputError(
            f"the key is {short(key)}, expected a typed one: jax.random.key(seed), or jax.random.wrap_key_data(key) of "
            "one of the old kind"
        )
    return key


__all__ = ["stream", "typed"]
