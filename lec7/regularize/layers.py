"""Flax NNX layers of the noise; in testing (`module.eval()`) each is the identity."""

import jax
import jax.numpy as jnp
from flax import nnx

from lec7.errors import InputError
from lec7.regularize.noise import check_keep, dropout
from lec7.typing import Key, Scalar


class Hyperparameter(nnx.Variable):
    """A number that a layer holds and nobody trains, such as dropout's chance to keep.

    As a variable it is a leaf of the module like any other, and may be traced; as an attribute it
    would be metadata, and Flax would compare tracers.
    """


class Dropout(nnx.Module):
    """`dropout` as a layer. The key comes with each call: `layer(x, key=key)`.

    Args:
        keep: chance to keep an element, in (0, 1]; may be traced.

    >>> import jax, jax.numpy as jnp
    >>> layer = Dropout(0.5)
    >>> layer(jnp.ones(4), key=jax.random.key(1)).shape
    (4,)
    >>> layer.eval()
    >>> layer(jnp.ones(4)).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, keep: Scalar):
        check_keep(keep)
        self.keep = Hyperparameter(jnp.asarray(keep, float))
        self.deterministic = False

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """Drops in training, for which it needs the key."""
        if self.deterministic:
            return x
        if key is None:
            raise InputError("Dropout has no key in training; call it with key=..., or call eval() on the model")
        return dropout(key, x, self.keep[...])
