"""lec7's own small networks, written in Flax NNX."""

from collections.abc import Sequence
from math import prod

import jax
from flax import nnx

from lec7 import random
from lec7.errors import InputError
from lec7.models.convolution import convolution, max_pool
from lec7.regularize import Dropout
from lec7.typing import Key, Scalar


class MLP(nnx.Module):
    """Linear, batch norm, ReLU, dropout for each hidden layer; then a linear classifier.

    Args:
        inputs: number of features of an example, after flattening.
        widths: width of each hidden layer.
        outputs: number of classes.
        keep: dropout's chance to keep; may be traced.
        rngs: for the initial weights (He normal).

    >>> import jax, jax.numpy as jnp
    >>> mlp = MLP(64, (32, 32), 10, rngs=nnx.Rngs(0))
    >>> mlp(jnp.zeros((5, 8, 8)), key=jax.random.key(0)).shape
    (5, 10)
    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int, *, keep: Scalar = 1.0, rngs: nnx.Rngs):
        sizes = [inputs, *widths]
        if min(*sizes, outputs) < 1:
            raise InputError(f"an MLP with layers of {sizes} and {outputs} units, expected at least 1 in each")
        # A bias ahead of batch norm would be taken out by its mean.
        self.linears = nnx.List(_linear(m, n, rngs, use_bias=False) for m, n in zip(sizes, widths, strict=False))
        self.norms = nnx.List(nnx.BatchNorm(n, rngs=rngs) for n in widths)
        self.dropout = Dropout(keep)
        self.head = nnx.Linear(sizes[-1], outputs, rngs=rngs)

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From [n, ...] to logits [n, outputs]."""
        x = x.reshape(len(x), -1)
        for i, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            x = jax.nn.relu(norm(linear(x)))
            x = self.dropout(x, key=_layer_key(key, i))
        return self.head(x)


class CNN(nnx.Module):
    """3x3 convolution, batch norm, 2x2 maximum and ReLU for each entry of `channels`; then an MLP head.

    Args:
        shape: height, width and channels of an image.
        channels: output channels of each convolution.
        width: width of the hidden layer.
        outputs: number of classes.
        keep: dropout's chance to keep, before and after the hidden layer; may be traced.
        rngs: for the initial weights (He normal).

    >>> import jax, jax.numpy as jnp
    >>> cnn = CNN((28, 28, 1), (8, 16), 32, 10, rngs=nnx.Rngs(0))
    >>> cnn(jnp.zeros((5, 28, 28, 1)), key=jax.random.key(0)).shape
    (5, 10)
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        channels: Sequence[int],
        width: int,
        outputs: int,
        *,
        keep: Scalar = 1.0,
        rngs: nnx.Rngs,
    ):
        height, across, depth = shape
        sizes = [depth, *channels]
        shrink = 2 ** len(channels)
        # A bias ahead of batch norm would be taken out by its mean.
        self.convs = nnx.List(_conv(m, n, rngs) for m, n in zip(sizes, channels, strict=False))
        self.norms = nnx.List(nnx.BatchNorm(n, rngs=rngs) for n in channels)
        self.hidden = _linear(prod((height // shrink, across // shrink, sizes[-1])), width, rngs)
        self.dropout = Dropout(keep)
        self.head = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From images [n, height, width, channels] to logits [n, outputs]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.relu(max_pool(norm(conv(x))))  # ReLU and maximum commute: this is a quarter of the work
        x = self.dropout(x.reshape(len(x), -1), key=_layer_key(key, 0))
        x = jax.nn.relu(self.hidden(x))
        return self.head(self.dropout(x, key=_layer_key(key, 1)))


def _linear(inputs: int, outputs: int, rngs: nnx.Rngs, use_bias: bool = True) -> nnx.Linear:
    return nnx.Linear(inputs, outputs, use_bias=use_bias, kernel_init=nnx.initializers.he_normal(), rngs=rngs)


def _conv(inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs,
        outputs,
        (3, 3),
        use_bias=False,
        kernel_init=nnx.initializers.he_normal(),
        conv_general_dilated=convolution(),
        rngs=rngs,
    )


def _layer_key(key: Key | None, layer: int) -> Key | None:
    return None if key is None else random.stream(key, "dropout", layer)
