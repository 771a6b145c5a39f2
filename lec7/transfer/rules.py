"""Where published weights go: for each family of files, rules from PyTorch's names to those of `lec7.models`."""

from lec7.transfer.graft import Rule
from lec7.transfer.layouts import CONVOLUTION, LINEAR, Layout, split


def _scaled(file: str, model: str) -> tuple[Rule, ...]:
    """A layer norm; and of a batch norm what is trained."""
    return Rule(rf"{file}\.weight", f"{model}/scale"), Rule(rf"{file}\.bias", f"{model}/bias")


def _norm(file: str, model: str) -> tuple[Rule, ...]:
    """A batch norm; the number of batches tracked has no use here."""
    return (
        *_scaled(file, model),
        Rule(rf"{file}\.running_mean", f"{model}/mean"),
        Rule(rf"{file}\.running_var", f"{model}/var"),
        Rule(rf"{file}\.num_batches_tracked", None),
    )


def _linear(file: str, model: str, layout: Layout = LINEAR) -> tuple[Rule, ...]:
    return Rule(rf"{file}\.weight", f"{model}/kernel", layout), Rule(rf"{file}\.bias", f"{model}/bias")


def _conv_norm(conv: str, norm: str, model: str) -> tuple[Rule, ...]:
    return Rule(rf"{conv}\.weight", f"{model}/conv/kernel", CONVOLUTION), *_norm(norm, f"{model}/norm")


EFFICIENTNET_LITE = (
    *_conv_norm("_conv_stem", "_bn0", "stem"),
    # The first block has no expansion, and counts its norms from 0 all the same.
    *_conv_norm(r"_blocks\.(\d+)\._expand_conv", r"_blocks\.(\d+)\._bn0", r"blocks/\1/expand"),
    *_conv_norm(r"_blocks\.(\d+)\._depthwise_conv", r"_blocks\.(\d+)\._bn1", r"blocks/\1/depthwise"),
    *_conv_norm(r"_blocks\.(\d+)\._project_conv", r"_blocks\.(\d+)\._bn2", r"blocks/\1/project"),
    *_conv_norm("_conv_head", "_bn1", "neck"),
    *_linear("_fc", "head"),
)
"""The names of lukemelas' EfficientNet-PyTorch."""


def resnet(repeats: tuple[int, ...], convolutions: int) -> tuple[Rule, ...]:
    """Those of timm's and torchvision's ResNets, whose blocks are counted anew in each stage.

    Args:
        repeats: number of blocks in each stage.
        convolutions: in each block: 2, or 3 in a bottleneck.

    >>> from itertools import chain
    >>> rules = resnet((2, 2, 2, 2), 2)
    >>> set(chain(*(rule.places("layer2.1.conv2.weight") or () for rule in rules)))
    {'blocks/3/branch/1/conv/kernel'}
    """
    names = [rf"layer{stage}\.{i}" for stage, count in enumerate(repeats, 1) for i in range(count)]

    def block(name: str, place: str) -> tuple[Rule, ...]:
        branch = (
            rule
            for i in range(convolutions)
            for rule in _conv_norm(rf"{name}\.conv{i + 1}", rf"{name}\.bn{i + 1}", f"{place}/branch/{i}")
        )
        return *branch, *_conv_norm(rf"{name}\.downsample\.0", rf"{name}\.downsample\.1", f"{place}/shortcut")

    return (
        *_conv_norm("conv1", "bn1", "stem"),
        *(rule for i, name in enumerate(names) for rule in block(name, f"blocks/{i}")),
        *_linear("fc", "head"),
    )


def _attention(file: str, model: str) -> tuple[Rule, ...]:
    """Query, key and value, which lie one behind the other in the file."""
    parts = ("query", "key", "value")
    kernels, biases = (tuple(f"{model}/{part}/{leaf}" for part in parts) for leaf in ("kernel", "bias"))
    return (
        Rule(rf"{file}\.qkv\.weight", kernels, split(3, LINEAR)),
        Rule(rf"{file}\.qkv\.bias", biases, split(3)),
        *_linear(rf"{file}\.proj", f"{model}/out"),
    )


VIT = (
    Rule("cls_token", "stem/token"),
    Rule("pos_embed", "stem/positions"),
    *_linear(r"patch_embed\.proj", "stem/conv", CONVOLUTION),
    *_scaled(r"blocks\.(\d+)\.norm1", r"blocks/\1/norm1"),
    *_attention(r"blocks\.(\d+)\.attn", r"blocks/\1/attention"),
    *_scaled(r"blocks\.(\d+)\.norm2", r"blocks/\1/norm2"),
    *_linear(r"blocks\.(\d+)\.mlp\.fc1", r"blocks/\1/expand"),
    *_linear(r"blocks\.(\d+)\.mlp\.fc2", r"blocks/\1/project"),
    *_scaled("norm", "neck"),
    *_linear("head", "head"),
)
"""The names of timm's vision transformers."""
