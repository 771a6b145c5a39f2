"""Flax NNX layers of the noise; in testing (`module.eval()`) each is deterministic."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lec7.errors import InputError
from lec7.regularize.noise import (
    check_keep,
    check_std,
    drop_connect,
    dropout,
    gaussian_noise,
    spatial_dropout,
    stochastic_depth,
)
from lec7.regularize.pooling import Kind, OutputShape, check_kind, even_max_pool, fractional_max_pool, pair
from lec7.typing import Key, Scalar


class Hyperparameter(nnx.Variable[jax.Array]):
    """A number that a layer holds and nobody trains, such as dropout's chance to keep.

    As a variable it is a leaf of the module like any other, and may be traced; as an attribute it
    would be metadata, and Flax would compare tracers.
    """


class Noise(nnx.Module):
    """What layers of noise have in common: in training they draw, from the key of each call; in testing they don't.

    A layer of your own has a method `draw(key, x)`, and `expected(x)` where testing is not the identity.

    >>> class Flip(Noise):
    ...     def draw(self, key, x):
    ...         return x * jax.random.rademacher(key, x.shape, x.dtype)
    ...     def expected(self, x):
    ...         return jnp.zeros_like(x)
    >>> layer = Flip()
    >>> layer.eval()
    >>> layer(jnp.ones(2)).tolist()
    [0.0, 0.0]
    """

    def __init__(self):
        self.deterministic = False

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """Draws in training, for which it needs the key."""
        if self.deterministic:
            return self.expected(x)
        if key is None:
            name = type(self).__name__
            raise InputError(f"{name} has no key in training; call it with key=..., or call eval() on the model")
        return self.draw(key, x)

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """What the layer gives in training."""
        raise NotImplementedError

    def expected(self, x: jax.Array) -> jax.Array:
        """What the layer gives in testing: the identity, where that is what comes out in the mean over keys."""
        return x


class _Dropping(Noise):
    """Noise that has nothing but a chance to keep."""

    def __init__(self, keep: Scalar):
        super().__init__()
        self.keep = _keep(keep)


class Dropout(_Dropping):
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

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """Drops elements."""
        return dropout(key, x, self.keep[...])


class SpatialDropout(_Dropping):
    """`spatial_dropout` as a layer, of `x` [n, ..., channels].

    Args:
        keep: chance to keep a channel, in (0, 1]; may be traced.

    >>> layer = SpatialDropout(0.5)
    >>> layer(jnp.ones((2, 8, 8, 3)), key=jax.random.key(1)).shape
    (2, 8, 8, 3)
    """

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """Drops channels."""
        return spatial_dropout(key, x, self.keep[...])


class StochasticDepth(_Dropping):
    """`stochastic_depth` as a layer around the branch of a residual block: `x + layer(branch(x), key=key)`.

    Args:
        keep: chance to keep the branch, in (0, 1]; may be traced. `linear_decay(0.5, blocks)[i]` is that of block i.

    >>> from lec7.regularize import linear_decay
    >>> blocks = [StochasticDepth(keep) for keep in linear_decay(0.5, 4)]
    >>> blocks[0](jnp.ones((2, 3)), key=jax.random.key(1)).shape
    (2, 3)
    """

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """Drops the branch."""
        return stochastic_depth(key, x, self.keep[...])


class GaussianNoise(Noise):
    """`gaussian_noise` as a layer.

    Args:
        std: standard deviation of the noise, at least 0; may be traced.

    >>> layer = GaussianNoise(0.1)
    >>> layer(jnp.ones(4), key=jax.random.key(1)).shape
    (4,)
    """

    def __init__(self, std: Scalar):
        super().__init__()
        check_std(std)
        self.std = Hyperparameter(jnp.asarray(std, float))

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """Adds noise."""
        return gaussian_noise(key, x, self.std[...])


class FractionalMaxPool(Noise):
    """`fractional_max_pool` as a layer; in testing `even_max_pool`, with regions evenly spaced.

    Args:
        output_shape: height and width afterwards, or one number for both.
        kind: how borders are drawn, `"pseudorandom"` or `"random"`.
        overlapping: whether regions share a pixel with the next.

    >>> layer = FractionalMaxPool((7, 7))
    >>> layer(jnp.ones((2, 10, 10, 3)), key=jax.random.key(1)).shape
    (2, 7, 7, 3)
    """

    def __init__(self, output_shape: OutputShape, kind: Kind = "pseudorandom", overlapping: bool = True):
        super().__init__()
        check_kind(kind)
        self.output_shape, self.overlapping = pair(output_shape), overlapping
        self.kind: Kind = kind

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """Maxima over regions with random borders."""
        return fractional_max_pool(key, x, self.output_shape, self.kind, self.overlapping)

    def expected(self, x: jax.Array) -> jax.Array:
        """Maxima over regions evenly spaced: no average, but one draw that favours no place."""
        return even_max_pool(x, self.output_shape, self.overlapping)


class DropConnect(Noise):
    """A linear layer whose weights are dropped in training, the bias never: `x @ drop_connect(key, W, keep) + b`.

    Args:
        inputs: number of features.
        outputs: number of units.
        keep: chance to keep a weight, in (0, 1]; may be traced.
        per_example: a mask for each example, [n, inputs, outputs], and not one for the batch.
        rngs: for the initial weights.
        **options: those of `nnx.Linear`, such as `use_bias` and `kernel_init`.

    >>> layer = DropConnect(4, 3, keep=0.5, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((2, 4)), key=jax.random.key(1)).shape
    (2, 3)
    """

    def __init__(
        self, inputs: int, outputs: int, keep: Scalar, per_example: bool = False, *, rngs: nnx.Rngs, **options: Any
    ):
        super().__init__()
        self.linear = nnx.Linear(inputs, outputs, rngs=rngs, **options)
        self.keep = _keep(keep)
        self.per_example = per_example

    def draw(self, key: Key, x: jax.Array) -> jax.Array:
        """Uses some of the connections, from [n, ..., inputs] to [n, ..., outputs]."""
        examples = len(x) if self.per_example else None
        weights = drop_connect(key, self.linear.kernel[...], self.keep[...], examples)
        y = jnp.einsum("n...i,nio->n...o" if self.per_example else "n...i,io->n...o", x, weights)
        bias = self.linear.bias
        return y if bias is None else y + bias[...].reshape(*[1] * (y.ndim - 1), -1)

    def expected(self, x: jax.Array) -> jax.Array:
        """Uses all connections."""
        return self.linear(x)


def _keep(keep: Scalar) -> Hyperparameter:
    check_keep(keep)
    return Hyperparameter(jnp.asarray(keep, float))
