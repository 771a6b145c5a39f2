"""Vision transformers: an image is a sequence of patches, and one more token that gathers what they show."""

import functools
from typing import TypedDict, Unpack

import jax
import jax.numpy as jnp
from flax import nnx

from lec7.errors import InputError
from lec7.models.convolution import convolution
from lec7.models.network import Network, stream
from lec7.regularize import StochasticDepth, linear_decay
from lec7.typing import Key, Scalar

BLOCKS = 12
NORMAL = nnx.initializers.normal(0.02)

# Variances are those of differences from the mean: in a transformer some features lie far from 0.
LayerNorm = functools.partial(nnx.LayerNorm, epsilon=1e-6, use_fast_variance=False)


class Options(TypedDict, total=False):
    """What `vit` may be told of each of its sizes."""

    size: int
    patch: int
    keep: Scalar
    keep_depth: Scalar


def vit_tiny(classes: int = 1000, *, rngs: nnx.Rngs, **options: Unpack[Options]) -> Network:
    """ViT-Tiny: 5,717,416 parameters with 1,000 classes.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021.

    Args:
        classes: number of outputs.
        rngs: for the initial weights.
        **options: as of `vit`.
    """
    return vit(192, 3, classes, rngs=rngs, **options)


def vit_small(classes: int = 1000, *, rngs: nnx.Rngs, **options: Unpack[Options]) -> Network:
    """ViT-Small: 22,050,664 parameters with 1,000 classes.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021.

    Args:
        classes: number of outputs.
        rngs: for the initial weights.
        **options: as of `vit`.
    """
    return vit(384, 6, classes, rngs=rngs, **options)


def vit_base(classes: int = 1000, *, rngs: nnx.Rngs, **options: Unpack[Options]) -> Network:
    """ViT-Base: 86,567,656 parameters with 1,000 classes.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021.

    Args:
        classes: number of outputs.
        rngs: for the initial weights.
        **options: as of `vit`.
    """
    return vit(768, 12, classes, rngs=rngs, **options)


def vit(
    width: int,
    heads: int,
    classes: int,
    *,
    size: int = 224,
    patch: int = 16,
    keep: Scalar = 1.0,
    keep_depth: Scalar = 1.0,
    rngs: nnx.Rngs,
) -> Network:
    """A vision transformer of 12 blocks; its features are those of the class token after the last norm.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2020;
    the smaller widths are of Touvron et al., "Training data-efficient image transformers", 2020.

    Args:
        width: features of each token.
        heads: of attention; they share the width.
        classes: number of outputs.
        size: height and width of the images, in pixels; `transfer.resize_position_embedding` makes it another one.
        patch: height and width of a patch.
        keep: dropout's chance to keep a feature, ahead of the head.
        keep_depth: chance to keep both branches of the last block; it comes down linearly from 1.
        rngs: for the initial weights.

    Raises:
        InputError: `width` can't be shared out, or an image is no whole number of patches.

    >>> small = vit(16, 2, 10, size=32, rngs=nnx.Rngs(0))
    >>> small.eval()
    >>> small(jnp.zeros((1, 32, 32, 3))).shape
    (1, 10)
    """
    if width % heads:
        raise InputError(f"{heads} heads can't share a width of {width}; expected a divisor of it")
    if size % patch:
        raise InputError(f"size is {size}, expected a multiple of the patch's, {patch}")
    survival = linear_decay(keep_depth, BLOCKS)
    return Network(
        stem=Patches(width, patch, (size // patch) ** 2, rngs=rngs),
        blocks=[Block(width, heads, keep=survival[i], rngs=rngs) for i in range(BLOCKS)],
        neck=LayerNorm(width, rngs=rngs),
        pool=class_token,
        head=nnx.Linear(width, classes, rngs=rngs),
        keep=keep,
    )


class Patches(nnx.Module):
    """The class token, and a linear map of each patch, row by row; to each is added what is learned of its position.

    Args:
        width: features of each token.
        patch: height and width of a patch.
        places: number of patches.
        rngs: for the initial weights.
    """

    def __init__(self, width: int, patch: int, places: int, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(
            3,
            width,
            (patch, patch),
            (patch, patch),
            padding="VALID",
            conv_general_dilated=convolution(),
            rngs=rngs,
        )
        self.token = nnx.Param(NORMAL(rngs.params(), (1, 1, width)))
        self.positions = nnx.Param(NORMAL(rngs.params(), (1, 1 + places, width)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """From images [n, height, width, 3] to tokens [n, 1 + patches, features]."""
        patch, places = self.conv.kernel.shape[0], self.positions.shape[1] - 1
        n, *shape, _ = x.shape
        rows, columns = (side // patch for side in shape)
        if shape != [rows * patch, columns * patch] or rows * columns != places:
            raise InputError(
                f"the images are {shape[0]} x {shape[1]} pixels, expected {places} patches of {patch} x {patch}; "
                f"resize the images, or the positions: transfer.resize_position_embedding(params, (rows, columns))"
            )
        patches = self.conv(x).reshape(n, places, -1)
        token = jnp.broadcast_to(self.token[...], (n, 1, patches.shape[-1]))
        return jnp.concatenate([token, patches], axis=1) + self.positions[...]


class Attention(nnx.Module):
    """Each token takes up what others have: values, weighted by how well their keys fit its query, in several heads.

    Source: Vaswani et al., "Attention Is All You Need", 2017.

    Args:
        width: features of each token.
        heads: that share them.
        rngs: for the initial weights.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.query, self.key, self.value, self.out = (nnx.Linear(width, width, rngs=rngs) for _ in range(4))

    def __call__(self, x: jax.Array) -> jax.Array:
        """From tokens [n, tokens, width] to such."""
        q, k, v = (layer(x).reshape(*x.shape[:2], self.heads, -1) for layer in (self.query, self.key, self.value))
        return self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape))


class Block(nnx.Module):
    """Attention between tokens, then a perceptron on each; both are branches, with a norm ahead of them.

    Args:
        width: features of each token; the perceptron has four times as many units.
        heads: of attention.
        keep: stochastic depth's chance to keep each of the branches; may be traced.
        rngs: for the initial weights.
    """

    def __init__(self, width: int, heads: int, *, keep: Scalar = 1.0, rngs: nnx.Rngs):
        self.norm1, self.attention = LayerNorm(width, rngs=rngs), Attention(width, heads, rngs=rngs)
        self.norm2 = LayerNorm(width, rngs=rngs)
        self.expand, self.project = nnx.Linear(width, 4 * width, rngs=rngs), nnx.Linear(4 * width, width, rngs=rngs)
        self.depth = StochasticDepth(keep)

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From tokens [n, tokens, width] to such."""
        x = x + self.depth(self.attention(self.norm1(x)), key=stream(key, "attention"))
        units = jax.nn.gelu(self.expand(self.norm2(x)), approximate=False)
        return x + self.depth(self.project(units), key=stream(key, "perceptron"))


def class_token(x: jax.Array) -> jax.Array:
    """The first of the tokens, from [n, tokens, width] to [n, width]."""
    return x[:, 0]
