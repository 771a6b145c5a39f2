"""Noise on activations, weights and branches, as pure functions of a key and an array."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lec7 import random
from lec7.errors import InputError
from lec7.ranges import FACTOR, NOT_NEGATIVE, check, check_count, floats
from lec7.typing import Key, PyTree, Scalar, wide


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
        InputError: `keep` is known and not in (0, 1], `x` no floats, or the key none of `jax.random.key`.

    >>> import jax, jax.numpy as jnp
    >>> float(jnp.mean(dropout(jax.random.key(0), jnp.ones(100_000), 0.5))).__round__(1)
    1.0
    """
    return _kept(key, floats("x", x), keep)


def spatial_dropout(key: Key, x: jax.Array, keep: Scalar) -> jax.Array:
    """Dropout of whole channels: one draw for each example and channel, at all places alike.

    Neighbouring pixels of a feature map tell much the same, so that dropping one by one takes little away.

    Source: Tompson et al., "Efficient Object Localization Using Convolutional Networks", 2015, section 3.2.

    Args:
        key: PRNG key.
        x: floats [n, ..., channels].
        keep: chance to keep a channel, in (0, 1]; may be traced.

    Returns:
        An array of x's shape and dtype; its expectation over keys is `x`.

    Raises:
        InputError: as of `dropout`, or `x` has fewer than two axes.

    >>> import jax, jax.numpy as jnp
    >>> y = spatial_dropout(jax.random.key(0), jnp.ones((2, 3, 3, 4)), 0.5)
    >>> sorted(set(y[0, :, :, 0].ravel().tolist())) in ([0.0], [2.0])
    True
    """
    x = floats("x", x)
    if x.ndim < 2:
        raise InputError(f"x has shape {x.shape}, expected [n, ..., channels]: examples first, channels last")
    return _kept(key, x, keep, (x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]))


def drop_connect(key: Key, weights: jax.Array, keep: Scalar, examples: int | None = None) -> jax.Array:
    """DropConnect: each weight is kept with chance `keep` and divided by it, or else 0.

    The expectation over keys is `weights`, so that in testing all connections are used as they are. Wan et al. don't
    divide by `keep`, and in testing draw from the Gaussian that a unit's sum comes close to.

    Source: lecture 7, "A common pattern": drop connections in training, use all in testing; Wan et al.,
    "Regularization of Neural Networks using DropConnect", 2013.

    Args:
        key: PRNG key.
        weights: floats of any shape.
        keep: chance to keep a weight, in (0, 1]; may be traced.
        examples: None for one mask; or how many independent ones, one for each example of a batch, which takes as many
            times the memory of the weights.

    Returns:
        Weights of the same shape and dtype; with `examples`, [examples, *weights.shape].

    Raises:
        InputError: as of `dropout`, or `examples` is no int of at least 1.

    >>> import jax, jax.numpy as jnp
    >>> drop_connect(jax.random.key(0), jnp.ones((3, 2)), 0.5, examples=8).shape
    (8, 3, 2)
    """
    weights = floats("weights", weights)
    if examples is None:
        return _kept(key, weights, keep)
    check_count("examples", examples, "the number of masks, one for each example")
    return _kept(key, weights[None], keep, (examples, *weights.shape))


def stochastic_depth(key: Key, branch: jax.Array, keep: Scalar) -> jax.Array:
    """Drops the branch of a residual block for some examples.

        x + stochastic_depth(key, f(x), keep)

    One draw for each example; a branch that is kept is divided by `keep`, so that the expectation over keys is the
    branch itself and testing uses all layers. Huang et al. draw once for a batch, and multiply by `keep` in testing
    instead.

    Source: lecture 7, "A common pattern"; Huang et al., "Deep Networks with Stochastic Depth", 2016.

    Args:
        key: PRNG key.
        branch: floats [n, ...], what a residual block adds.
        keep: chance to keep the branch, in (0, 1]; may be traced. `linear_decay` has one for each layer.

    Returns:
        An array of the branch's shape and dtype.

    Raises:
        InputError: as of `dropout`, or `branch` has no axis of examples.

    >>> import jax, jax.numpy as jnp
    >>> y = stochastic_depth(jax.random.key(0), jnp.ones((4, 100)), 0.5)
    >>> all(len(set(row.tolist())) == 1 for row in y)
    True
    """
    branch = floats("branch", branch)
    if not branch.ndim:
        raise InputError("branch has shape (), expected [n, ...]: examples first")
    return _kept(key, branch, keep, (branch.shape[0], *[1] * (branch.ndim - 1)))


def linear_decay(keep: Scalar, layers: int) -> jax.Array:
    """The chances to keep of layers 1 to L, `1 - l / L * (1 - keep)`: early layers are dropped less.

    Source: Huang et al., "Deep Networks with Stochastic Depth", 2016, equation 4, where `keep` is 0.5.

    Args:
        keep: that of the last layer, in (0, 1]; may be traced.
        layers: L, the number of residual blocks.

    Returns:
        Floats [L].

    Raises:
        InputError: `keep` is known and not in (0, 1], or `layers` is no int of at least 1.

    >>> [round(float(p), 2) for p in linear_decay(0.5, 5)]
    [0.9, 0.8, 0.7, 0.6, 0.5]
    """
    check_keep(keep)
    check_count("layers", layers, "the number of residual blocks")
    part = jnp.asarray(np.arange(1, layers + 1) / layers, float)
    # The minimum keeps XLA from rounding product and difference as one, which it would do only where `keep` is traced.
    return 1.0 - jnp.minimum(part * (1.0 - jnp.asarray(keep, float)), 1.0)


def gaussian_noise(key: Key, x: jax.Array, std: Scalar) -> jax.Array:
    """Adds noise: `x + std * e`, with `e` normal, independent for each element.

    The expectation over keys is `x`, so that nothing is to be done in testing. `std = 0` is the exact identity.

    Source: lecture 7, "A common pattern": add some kind of randomness in training; Bishop, "Training with Noise is
    Equivalent to Tikhonov Regularization", 1995.

    Args:
        key: PRNG key.
        x: floats of any shape.
        std: standard deviation of the noise, in units of x, at least 0; may be traced.

    Returns:
        An array of x's shape and dtype.

    Raises:
        InputError: `std` is known and negative or not finite, `x` no floats, or the key none of `jax.random.key`.

    >>> import jax, jax.numpy as jnp
    >>> float(jnp.std(gaussian_noise(jax.random.key(0), jnp.ones(100_000), 0.5))).__round__(1)
    0.5
    """
    check_std(std)
    x, key = floats("x", x), random.typed(key)
    # Behind a barrier: XLA would fold a known `std` into the normal's own factor, and round otherwise.
    e = lax.optimization_barrier(jax.random.normal(key, x.shape, wide(x.dtype)))
    std = jnp.asarray(std, float)
    # Not even -0.0 changes, which -0.0 + 0.0 would.
    return jnp.where(std > 0, x + std * e, x).astype(x.dtype)


def averaged(key: Key, noise: Callable[[Key], PyTree], n: int) -> PyTree:
    """The mean over n draws of something random: testing where the expectation has no closed form.

    Behind what is not linear the identity is no average of the noise: this is. One draw after the other, so that it
    takes the memory of one.

    Source: lecture 7, "Dropout: Test time": average out the randomness, `E_z[f(x, z)]`.

    Args:
        key: PRNG key, from which each draw's comes.
        noise: from a key to an array, or a pytree of them; traceable.
        n: number of draws.

    Returns:
        The mean, shaped and typed as a draw. `ensemble.mc_dropout` has that of a classifier's probabilities.

    Raises:
        InputError: `n` is no int of at least 1.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.array([-1.0, 1.0])
    >>> y = averaged(jax.random.key(0), lambda key: jax.nn.relu(gaussian_noise(key, x, 1.0)), n=10_000)
    >>> [round(float(mean), 1) for mean in y]  # E relu(x + e), and not relu(x)
    [0.1, 1.1]
    """
    check_count("n", n, "the number of draws of the noise")
    like = jax.eval_shape(noise, random.typed(key))

    def add(total: PyTree, key: Key) -> tuple[PyTree, None]:
        return jax.tree.map(lambda total, x: total + x.astype(total.dtype), total, noise(key)), None

    none = jax.tree.map(lambda x: jnp.zeros(x.shape, wide(x.dtype)), like)
    total, _ = lax.scan(add, none, jax.random.split(key, n))
    return jax.tree.map(lambda total, x: (total / n).astype(x.dtype), total, like)


def check_keep(keep: Scalar) -> None:
    """Refuse a chance outside (0, 1] where it is known, that is not traced."""
    check("keep", keep, FACTOR, "the chance to keep, which is 1 - p to drop p")


def check_std(std: Scalar) -> None:
    """Refuse a standard deviation that is known and negative or not finite."""
    check("std", std, NOT_NEGATIVE, "the standard deviation of the noise")


def _kept(key: Key, x: jax.Array, keep: Scalar, draws: tuple[int, ...] | None = None) -> jax.Array:
    """`x` where a mask, of shape `draws` and broadcast against it, is kept, divided by `keep`; 0 elsewhere."""
    check_keep(keep)
    mask = jax.random.uniform(random.typed(key), x.shape if draws is None else draws) < keep
    # Multiplied by the reciprocal: a division by `keep` is rounded otherwise where XLA knows its value.
    return jnp.where(mask, x * (1.0 / jnp.asarray(keep, float)), 0.0).astype(x.dtype)
