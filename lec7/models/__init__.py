"""The model contract, the ways into it from Flax, and lec7's own networks."""

from lec7.models.contract import Model, Variables
from lec7.models.convolution import convolution, max_pool
from lec7.models.linen import from_linen
from lec7.models.networks import CNN, MLP
from lec7.models.nnx import from_nnx

__all__ = ["CNN", "MLP", "Model", "Variables", "convolution", "from_linen", "from_nnx", "max_pool"]
