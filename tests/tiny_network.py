"""A pretrained network of a thousand parameters, for what hangs on no particular weights."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lec7 import data, models, transfer
from lec7.models import ConvNorm, Model, Network, Variables, mean_pool

STAGES = ("stem", "blocks/0", "blocks/1", "blocks/2", "blocks/3", "neck", "pool", "head")
CLASSES = 7


class Block(nnx.Module):
    def __init__(self, channels: int, rngs: nnx.Rngs):
        self.layer = ConvNorm(channels, channels, size=3, activation=jax.nn.relu, rngs=rngs)

    def __call__(self, x, *, key=None):
        return x + self.layer(x)


def network(classes: int = CLASSES, *, rngs: nnx.Rngs, keep: float = 0.9) -> Network:
    return Network(
        stem=ConvNorm(3, 6, size=3, stride=2, activation=jax.nn.relu, rngs=rngs),
        blocks=[Block(6, rngs) for _ in range(4)],
        neck=ConvNorm(6, 12, activation=jax.nn.relu, rngs=rngs),
        pool=mean_pool,
        head=nnx.Linear(12, classes, rngs=rngs),
        keep=keep,
    )


@cache
def pretrained() -> tuple[Model, Variables]:
    """The model, and weights and statistics that look trained."""
    model = models.from_nnx(lambda rngs: network(rngs=rngs))
    variables = model.init(jax.random.key(0), images(1))
    rng = np.random.default_rng(0)
    trained = jax.tree.map(lambda x: x + jnp.asarray(np.abs(rng.normal(size=x.shape)) * 0.1, x.dtype), variables)
    return transfer.start_from(model, trained), trained


def images(n: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 8, 8, 3)), jnp.float32)


@cache
def source(n: int = 40, classes: int = 4) -> data.ArraySource:
    """Images with a bright channel, row or column that tells their class."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 8, 8, 3)).astype(np.float32)
    label = np.arange(n, dtype=np.int32) % classes
    for i, k in enumerate(label):
        x[i, :, :, k % 3] += 1.0 + (k > 2) * (np.arange(8) % 2)[:, None] * 3
    return data.ArraySource({"image": x, "label": label})
