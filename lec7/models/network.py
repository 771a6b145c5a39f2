"""What lec7's image classifiers have in common: a stem, blocks one behind the other, a neck, pooling and a head."""

from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from lec7 import random
from lec7.models.convolution import convolution
from lec7.regularize import Dropout
from lec7.typing import Key, Scalar

Activation = Callable[[jax.Array], jax.Array]
Padding = str | Sequence[tuple[int, int]]


class Network(nnx.Module):
    """Images, stem, blocks, neck, pooling, dropout, head, logits; each family of pretrained networks is one.

    Args:
        stem: from images [n, height, width, channels] to what the first block takes.
        blocks: modules that are called as `block(x, key=key)`.
        neck: from what the last block gives to what is pooled.
        pool: from that to features [n, features].
        head: from features to logits [n, classes].
        keep: dropout's chance to keep a feature, ahead of the head; may be traced.
    """

    def __init__(
        self,
        stem: nnx.Module,
        blocks: Iterable[nnx.Module],
        neck: Callable[[jax.Array], jax.Array],
        pool: Callable[[jax.Array], jax.Array],
        head: nnx.Linear,
        keep: Scalar = 1.0,
    ):
        self.stem, self.blocks, self.head = stem, nnx.List(blocks), head
        self.neck = neck if isinstance(neck, nnx.Module) else Function(neck)
        self.pool = Function(pool)
        self.dropout = Dropout(keep)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of its parts, from images to logits: `"stem"`, `"blocks/0"`, ..., `"neck"`, `"pool"`, `"head"`."""
        neck = () if isinstance(self.neck, Function) else ("neck",)
        return "stem", *(f"blocks/{i}" for i in range(len(self.blocks))), *neck, "pool", "head"

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From images [n, height, width, channels] to logits [n, classes]; in training the noise needs a key."""
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            x = block(x, key=stream(key, "depth", i))
        x = self.dropout(self.pool(self.neck(x)), key=stream(key, "dropout"))
        return self.head(x)


class Function(nnx.Module):
    """A function as a module: a part with a name, where a network can be cut."""

    def __init__(self, function: Callable[[jax.Array], jax.Array]):
        self.function = function

    def __call__(self, x: jax.Array) -> jax.Array:
        """What the function makes of it."""
        return self.function(x)


class ConvNorm(nnx.Module):
    """A convolution without bias, batch norm, and an activation.

    Args:
        inputs: channels in.
        outputs: channels out.
        size: height and width of the kernel.
        stride: of the places where it stands.
        groups: `inputs` in a depthwise convolution.
        padding: `"SAME"` as in TensorFlow, or `symmetric(size)` as in PyTorch.
        activation: by default none.
        epsilon: what batch norm adds to the variance.
        rngs: for the initial weights (He normal).

    >>> layer = ConvNorm(3, 8, size=3, stride=2, activation=jax.nn.relu, rngs=nnx.Rngs(0))
    >>> layer(jnp.zeros((1, 8, 8, 3))).shape
    (1, 4, 4, 8)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        size: int = 1,
        stride: int = 1,
        groups: int = 1,
        padding: Padding = "SAME",
        activation: Activation | None = None,
        epsilon: float = 1e-5,
        rngs: nnx.Rngs,
    ):
        self.conv = nnx.Conv(
            inputs,
            outputs,
            (size, size),
            stride,
            feature_group_count=groups,
            padding=padding,
            use_bias=False,
            kernel_init=nnx.initializers.he_normal(),
            conv_general_dilated=convolution(),
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(outputs, epsilon=epsilon, rngs=rngs)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """From [n, height, width, inputs] to [n, height / stride, width / stride, outputs]."""
        x = self.norm(self.conv(x))
        return x if self.activation is None else self.activation(x)


def symmetric(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """PyTorch's padding of a kernel of odd size: as much on each side, whatever the stride."""
    side = (size // 2, size // 2)
    return side, side


def mean_pool(x: jax.Array) -> jax.Array:
    """The mean over an image's places.

    Args:
        x: floats [n, ..., channels]: [n, height, width, channels], or [n, tokens, channels].

    Returns:
        Floats [n, channels].

    >>> mean_pool(jnp.array([1.0, 3.0]).reshape(1, 2, 1)).tolist()
    [[2.0]]
    """
    return x.mean(tuple(range(1, x.ndim - 1)))


def mean_and_std_pool(x: jax.Array) -> jax.Array:
    """Mean and standard deviation over an image's places.

    Args:
        x: floats [n, ..., channels].

    Returns:
        Floats [n, 2 channels], the means first.

    >>> mean_and_std_pool(jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)).tolist()
    [[2.0, 1.0]]
    """
    mean = mean_pool(x)
    centred = x - mean.reshape(len(x), *[1] * (x.ndim - 2), -1)
    return jnp.concatenate([mean, jnp.sqrt(mean_pool(centred**2))], -1)


def stream(key: Key | None, name: str, index: int = 0) -> Key | None:
    """The key of a layer; none in testing."""
    return None if key is None else random.stream(key, name, index)
