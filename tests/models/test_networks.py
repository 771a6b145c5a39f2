"""What the image classifiers with pretrained weights are built of; tests/transfer holds them to other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lec7 import models
from lec7.errors import InputError
from lec7.models.contract import count
from lec7.models.resnet import resnet
from lec7.models.vit import Block, vit

# Parameters as torchvision and timm count them, and the number of blocks.
SIZES = {
    "efficientnet_lite0": (4_652_008, 16),
    "resnet18": (11_689_512, 8),
    "resnet34": (21_797_672, 16),
    "resnet50": (25_557_032, 16),
    "vit_tiny": (5_717_416, 12),
    "vit_small": (22_050_664, 12),
    "vit_base": (86_567_656, 12),
}
SMALL = {
    "basic": lambda rngs, **options: resnet((1, 1), 5, bottleneck=False, rngs=rngs, **options),
    "bottleneck": lambda rngs, **options: resnet((1, 2), 5, bottleneck=True, rngs=rngs, **options),
    "transformer": lambda rngs, **options: vit(12, 3, 5, size=32, rngs=rngs, **options),
}
X = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_published_sizes(name):
    network = nnx.eval_shape(lambda: getattr(models, name)(rngs=nnx.Rngs(0)))
    parameters, blocks = SIZES[name]
    assert count(nnx.to_pure_dict(nnx.state(network, nnx.Param))) == parameters
    assert len(network.blocks) == blocks


def test_stages_are_told_from_images_to_logits():
    def stages(build):
        return nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))).stages

    assert stages(SMALL["bottleneck"]) == ("stem", "blocks/0", "blocks/1", "blocks/2", "pool", "head")
    assert stages(SMALL["transformer"]) == ("stem", *(f"blocks/{i}" for i in range(12)), "neck", "pool", "head")


def test_stages_of_a_resnet_halve_the_image():
    strides = []

    def outputs():
        network = resnet((1, 2, 1), 5, bottleneck=True, rngs=nnx.Rngs(0))
        network.eval()
        strides.extend(layer.conv.strides for layer in network.blocks[1].branch)
        found = [network.stem(jnp.zeros((1, 64, 48, 3)))]
        for block in network.blocks:
            found.append(block(found[-1]))
        return found

    shapes = [x.shape[1:] for x in jax.eval_shape(outputs)]
    assert shapes == [(16, 12, 64), (16, 12, 256), (8, 6, 512), (8, 6, 512), (4, 3, 1024)]
    assert strides == [1, 2, 1]  # in the 3 x 3 convolution


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_training_draws_from_the_key_and_testing_needs_none(key, name):
    model = models.from_nnx(lambda rngs: SMALL[name](rngs, keep_depth=0.5, keep=0.8))
    variables = jax.jit(model.init)(key, X)
    train = jax.jit(lambda key: model.apply(variables, X, train=True, key=key)[0])
    np.testing.assert_array_equal(train(key), train(key))
    assert not np.array_equal(train(key), train(jax.random.key(1)))
    logits, _ = jax.eval_shape(lambda: model.apply(variables, X, train=False))
    assert logits.shape == (4, 5)
    with pytest.raises(InputError, match="StochasticDepth has no key in training"):
        jax.eval_shape(lambda: model.apply(variables, X, train=True))


def test_both_branches_of_a_transformers_block_are_dropped_apart(key):
    block, x = Block(12, 3, keep=0.5, rngs=nnx.Rngs(0)), jnp.zeros((64, 5, 12))
    for linear, value in ((block.attention.out, 1.0), (block.project, 2.0)):
        linear.kernel[...], linear.bias[...] = jnp.zeros_like(linear.kernel[...]), jnp.full(12, value)
    # What is kept is doubled: an image gets 2 of the first, 4 of the second, both, or none.
    assert set(np.unique(block(x, key=key))) == {0, 2, 4, 6}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((16, 3, 5), "3 heads can't share a width of 16"), ((12, 3, 5, 40), "size is 40, expected a multiple of .* 16")],
)
def test_what_is_no_transformer_is_refused(arguments, message):
    width, heads, classes, *size = arguments
    with pytest.raises(InputError, match=message):
        vit(width, heads, classes, size=size[0] if size else 224, rngs=nnx.Rngs(0))
