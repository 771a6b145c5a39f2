"""Named key streams: randomness as a pure function of (key, name, step).

The training state carries one base key that never changes. Whatever needs randomness asks for a
stream by name, and so draws the same numbers in an uninterrupted run and in one resumed at step t.
"""

import zlib

import jax

from lec7.typing import ArrayLike, Key


def stream(key: Key, name: str, step: ArrayLike | None = None) -> Key:
    """The key of the stream `name`, at `step` where one is given.

    Args:
        key: base key, as `jax.random.key` makes it.
        name: what the numbers are for (`"dropout"`, `"shuffle"`); known when tracing.
        step: an int or an integer array of shape (); may be traced.

    Returns:
        A key that depends on all three and on nothing else.

    >>> import jax
    >>> key = jax.random.key(0)
    >>> bool((stream(key, "dropout", 7) == stream(key, "dropout", 7)).all())
    True
    >>> bool((stream(key, "dropout", 7) == stream(key, "dropout", 8)).all())
    False
    """
    key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key if step is None else jax.random.fold_in(key, step)
