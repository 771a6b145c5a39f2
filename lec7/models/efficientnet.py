"""EfficientNet-Lite: inverted residuals without squeeze-and-excitation, of what small devices are good at."""

from functools import partial
from typing import NamedTuple

import jax
from flax import nnx

from lec7.models.network import ConvNorm, Network, mean_pool
from lec7.regularize import StochasticDepth, linear_decay
from lec7.typing import Key, Scalar

EPSILON = 1e-3


class Stage(NamedTuple):
    """Blocks of one shape; the first of them has the stride, and changes the number of channels."""

    repeats: int
    size: int
    stride: int
    expansion: int
    channels: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(classes: int = 1000, *, keep: Scalar = 0.8, keep_depth: Scalar = 0.8, rngs: nnx.Rngs) -> Network:
    """EfficientNet-Lite0: 4,652,008 parameters with 1,000 classes, for images of 224 x 224.

    Padding is TensorFlow's, which depends on the size of the image, and batch norm's epsilon 1e-3.

    Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019; the Lite
    variants are Google's, of 2020.

    Args:
        classes: number of outputs.
        keep: dropout's chance to keep a feature.
        keep_depth: chance to keep the branch of the last block; it comes down linearly from 1.
        rngs: for the initial weights.

    Raises:
        InputError: `keep` or `keep_depth` is known and not in (0, 1].
    """
    blocks, inputs, survival = [], 32, linear_decay(keep_depth, sum(stage.repeats for stage in LITE0))
    for stage in LITE0:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(
                InvertedResidual(inputs, stage._replace(stride=stride), keep=survival[len(blocks)], rngs=rngs)
            )
            inputs = stage.channels
    return Network(
        stem=ConvNorm(3, 32, size=3, stride=2, activation=jax.nn.relu6, epsilon=EPSILON, rngs=rngs),
        blocks=blocks,
        neck=ConvNorm(inputs, 1280, activation=jax.nn.relu6, epsilon=EPSILON, rngs=rngs),
        pool=mean_pool,
        head=nnx.Linear(1280, classes, rngs=rngs),
        keep=keep,
    )


class InvertedResidual(nnx.Module):
    """Channels are expanded, mixed in space each by itself, and projected; and the input added where it fits.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.

    Args:
        inputs: channels in.
        stage: the rest of its shape.
        keep: stochastic depth's chance to keep the branch; may be traced.
        rngs: for the initial weights.
    """

    def __init__(self, inputs: int, stage: Stage, *, keep: Scalar = 1.0, rngs: nnx.Rngs):
        wide = inputs * stage.expansion
        conv_norm = partial(ConvNorm, epsilon=EPSILON, rngs=rngs)
        self.expand = conv_norm(inputs, wide, activation=jax.nn.relu6) if stage.expansion > 1 else None
        self.depthwise = conv_norm(
            wide, wide, size=stage.size, stride=stage.stride, groups=wide, activation=jax.nn.relu6
        )
        self.project = conv_norm(wide, stage.channels)
        self.depth = StochasticDepth(keep)
        self.residual = stage.stride == 1 and inputs == stage.channels

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From [n, height, width, inputs] to [n, height / stride, width / stride, channels]."""
        branch = x if self.expand is None else self.expand(x)
        branch = self.project(self.depthwise(branch))
        return x + self.depth(branch, key=key) if self.residual else branch
