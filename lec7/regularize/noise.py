"""Noise on activations, as pure functions of a key and an array."""

import jax
import jax.numpy as jnp

from lec7.errors import InputError
from lec7.typing import Key, Scalar, is_traced


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
    if not is_traced(keep) and not 0 < float(keep) <= 1:
        raise InputError(f"keep is {float(keep)}, expected a chance to keep in (0, 1]; to drop p, keep 1 - p")
