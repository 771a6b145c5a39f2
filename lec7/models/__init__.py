"""The model contract, the ways into it from Flax, and lec7's own networks."""

from lec7.models.contract import Model, Variables
from lec7.models.convolution import convolution, max_pool
from lec7.models.efficientnet import efficientnet_lite0
from lec7.models.linen import from_linen
from lec7.models.network import ConvNorm, Network, mean_and_std_pool, mean_pool
from lec7.models.networks import CNN, MLP
from lec7.models.nnx import from_nnx, from_outline, variables_of
from lec7.models.precision import Precision, in_precision, precision
from lec7.models.resnet import resnet18, resnet34, resnet50
from lec7.models.statistics import has_statistics, refresh_statistics
from lec7.models.together import How, together
from lec7.models.vit import vit_base, vit_small, vit_tiny

__all__ = [
    "CNN",
    "MLP",
    "ConvNorm",
    "How",
    "Model",
    "Network",
    "Precision",
    "Variables",
    "convolution",
    "efficientnet_lite0",
    "from_linen",
    "from_nnx",
    "from_outline",
    "has_statistics",
    "in_precision",
    "max_pool",
    "mean_and_std_pool",
    "mean_pool",
    "precision",
    "refresh_statistics",
    "resnet18",
    "resnet34",
    "resnet50",
    "together",
    "variables_of",
    "vit_base",
    "vit_small",
    "vit_tiny",
]
