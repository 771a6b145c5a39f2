"""ResNet: blocks whose branch of convolutions is added to what came in."""

import math
from typing import NamedTuple

import jax
from flax import nnx

from lec7.models.convolution import max_pool
from lec7.models.network import ConvNorm, Network, mean_pool, symmetric
from lec7.regularize import StochasticDepth, linear_decay
from lec7.typing import Key, Scalar

WIDTHS = (64, 128, 256, 512)
"""Channels of the 3 x 3 convolutions in each stage; where a stage begins, an image is halved (but in the first)."""


def resnet18(classes: int = 1000, *, keep: Scalar = 1.0, keep_depth: Scalar = 1.0, rngs: nnx.Rngs) -> Network:
    """ResNet-18: 11,689,512 parameters with 1,000 classes.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016.

    Args:
        classes: number of outputs.
        keep: dropout's chance to keep a feature, ahead of the head.
        keep_depth: chance to keep the branch of the last block; it comes down linearly from 1.
        rngs: for the initial weights.

    >>> from lec7 import models, tree
    >>> shapes = models.from_nnx(lambda rngs: resnet18(rngs=rngs)).outline
    >>> tree.nbytes(models.variables_of(shapes).params) // 4
    11689512
    """
    return resnet((2, 2, 2, 2), classes, bottleneck=False, keep=keep, keep_depth=keep_depth, rngs=rngs)


def resnet34(classes: int = 1000, *, keep: Scalar = 1.0, keep_depth: Scalar = 1.0, rngs: nnx.Rngs) -> Network:
    """ResNet-34: 21,797,672 parameters with 1,000 classes.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016.

    Args:
        classes: number of outputs.
        keep: dropout's chance to keep a feature, ahead of the head.
        keep_depth: chance to keep the branch of the last block; it comes down linearly from 1.
        rngs: for the initial weights.
    """
    return resnet((3, 4, 6, 3), classes, bottleneck=False, keep=keep, keep_depth=keep_depth, rngs=rngs)


def resnet50(classes: int = 1000, *, keep: Scalar = 1.0, keep_depth: Scalar = 1.0, rngs: nnx.Rngs) -> Network:
    """ResNet-50: 25,557,032 parameters with 1,000 classes.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016.

    Args:
        classes: number of outputs.
        keep: dropout's chance to keep a feature, ahead of the head.
        keep_depth: chance to keep the branch of the last block; it comes down linearly from 1.
        rngs: for the initial weights.
    """
    return resnet((3, 4, 6, 3), classes, bottleneck=True, keep=keep, keep_depth=keep_depth, rngs=rngs)


def resnet(
    repeats: tuple[int, ...],
    classes: int,
    *,
    bottleneck: bool,
    keep: Scalar = 1.0,
    keep_depth: Scalar = 1.0,
    rngs: nnx.Rngs,
) -> Network:
    """A residual network for images of 224 x 224 or any other size, in the layout of torchvision and timm ("v1.5").

    Source: He et al., "Deep Residual Learning for Image Recognition", 2015; that a bottleneck has its stride in the
    3 x 3 convolution is Torch's.

    Args:
        repeats: number of blocks in each stage; the stages' blocks lie one behind the other in `blocks`.
        classes: number of outputs.
        bottleneck: blocks of 1 x 1, 3 x 3 and 1 x 1 to four times the channels, and not of two 3 x 3.
        keep: dropout's chance to keep a feature.
        keep_depth: chance to keep the branch of the last block; it comes down linearly from 1.
        rngs: for the initial weights.

    >>> import jax.numpy as jnp
    >>> small = resnet((1, 1), 10, bottleneck=True, rngs=nnx.Rngs(0))
    >>> small.stages, small(jnp.zeros((1, 32, 32, 3)), key=jax.random.key(0)).shape
    (('stem', 'blocks/0', 'blocks/1', 'pool', 'head'), (1, 10))
    """
    blocks, inputs, survival = [], WIDTHS[0], linear_decay(keep_depth, sum(repeats))
    for stage, (count, width) in enumerate(zip(repeats, WIDTHS, strict=False)):
        outputs = 4 * width if bottleneck else width
        for repeat in range(count):
            stride = 2 if stage > 0 and repeat == 0 else 1
            if bottleneck:
                shapes = Shape(width, 1), Shape(width, 3, stride), Shape(outputs, 1)
            else:
                shapes = Shape(width, 3, stride), Shape(outputs, 3)
            blocks.append(Residual(inputs, shapes, keep=survival[len(blocks)], rngs=rngs))
            inputs = outputs
    return Network(
        stem=Stem(3, WIDTHS[0], size=7, stride=2, padding=symmetric(7), activation=jax.nn.relu, rngs=rngs),
        blocks=blocks,
        neck=nnx.identity,
        pool=mean_pool,
        head=nnx.Linear(inputs, classes, rngs=rngs),
        keep=keep,
    )


class Shape(NamedTuple):
    """What tells one convolution of a branch from another: channels out, height and width of the kernel, its stride."""

    channels: int
    size: int
    stride: int = 1


class Stem(ConvNorm):
    """A convolution with its norm, and a maximum over overlapping windows, which halves the image again."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """From [n, height, width, inputs] to [n, height / 4, width / 4, outputs]."""
        return max_pool(super().__call__(x), 3, stride=2, padding=1)


class Residual(nnx.Module):
    """Convolutions, with what came in added ahead of the last ReLU; where shapes differ, through a 1 x 1 convolution.

    Args:
        inputs: channels in.
        shapes: of the convolutions of the branch.
        keep: stochastic depth's chance to keep the branch; may be traced.
        rngs: for the initial weights.
    """

    def __init__(self, inputs: int, shapes: tuple[Shape, ...], *, keep: Scalar = 1.0, rngs: nnx.Rngs):
        channels = (inputs, *(shape.channels for shape in shapes))
        relus = (*[jax.nn.relu] * (len(shapes) - 1), None)
        self.branch = nnx.List(
            ConvNorm(m, n, size=size, stride=stride, padding=symmetric(size), activation=activation, rngs=rngs)
            for m, (n, size, stride), activation in zip(channels, shapes, relus, strict=False)
        )
        stride, outputs = math.prod(shape.stride for shape in shapes), channels[-1]
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else ConvNorm(inputs, outputs, stride=stride, padding="VALID", rngs=rngs)
        self.depth = StochasticDepth(keep)

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From [n, height, width, inputs] to [n, height / stride, width / stride, outputs]."""
        branch = x
        for layer in self.branch:
            branch = layer(branch)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return jax.nn.relu(shortcut + self.depth(branch, key=key))
