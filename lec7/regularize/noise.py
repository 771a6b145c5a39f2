"""Noise on activations, as pure functions of a key and an array."""

import jax
import jax.numpy as jnp

from lec7.ranges import FACTOR, check
from lec7.typing import Key, Scalar


def dropout(key: Key, x: jax.Array, keep: Scalar) -> jax.Array:
    """Inverted dropout: each element is kept with chance `keep` and divided by it, or else 0.

    The expectation over keys is `x`, so that nothing is to be done in testing. `keep = 1` is the
    exact identity.

    Source: lecture 7, `mask = (rand < p) / p`; Srivastava et al., "Dropout", 2014.

    Args:
        key: PRNG key.
        x: floats of any shape.
        keep: chance to keep an element, in (0, 1]; may be traced.

    Returns:
        An array of x's shape and dtype.

    Raises:
        InputError: `keep` is known and not in (0, 1].

    >>> import jax, jax.numpy as jnp
    >>> float(jnp.mean(dropout(jax.random.key(0), jnp.ones(100_000), 0.5))).__round__(1)
    1.0
    """
    check_keep(keep)
    mask = jax.random.uniform(key, x.shape) < keep
    # Multiplied by the reciprocal: a division by `keep` is rounded otherwise where XLA knows its value.
    return jnp.where(mask, x * (1.0 / jnp.asarray(keep, float)), 0.0).astype(x.dtype)


def check_keep(keep: Scalar) -> None:
    """Refuse a chance outside (0, 1] where it is known, that is not traced."""
    check("keep", keep, FACTOR, "the chance to keep, which is 1 - p to drop p")
