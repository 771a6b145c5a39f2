"""Regularization: add noise in training, average it out in testing (lecture 7, section 3)."""

from lec7.regularize.layers import (
    DropConnect,
    Dropout,
    FractionalMaxPool,
    GaussianNoise,
    Hyperparameter,
    Noise,
    SpatialDropout,
    StochasticDepth,
)
from lec7.regularize.noise import (
    averaged,
    drop_connect,
    dropout,
    gaussian_noise,
    linear_decay,
    spatial_dropout,
    stochastic_depth,
)
from lec7.regularize.penalties import Penalty, elastic_net, l1, l2, l2_sp, penalties
from lec7.regularize.pooling import even_max_pool, fractional_max_pool, fractional_max_pool_at
from lec7.regularize.transforms import (
    GradientNoiseState,
    ProximalState,
    SamState,
    gradient_noise,
    max_norm,
    prox_elastic_net,
    prox_l1,
    sam,
)

__all__ = [
    "DropConnect",
    "Dropout",
    "FractionalMaxPool",
    "GaussianNoise",
    "GradientNoiseState",
    "Hyperparameter",
    "Noise",
    "Penalty",
    "ProximalState",
    "SamState",
    "SpatialDropout",
    "StochasticDepth",
    "averaged",
    "drop_connect",
    "dropout",
    "elastic_net",
    "even_max_pool",
    "fractional_max_pool",
    "fractional_max_pool_at",
    "gaussian_noise",
    "gradient_noise",
    "l1",
    "l2",
    "l2_sp",
    "linear_decay",
    "max_norm",
    "penalties",
    "prox_elastic_net",
    "prox_l1",
    "sam",
    "spatial_dropout",
    "stochastic_depth",
]
