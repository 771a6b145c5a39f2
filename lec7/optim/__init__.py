"""Optimizers as pure gradient transformations in the Optax style (lecture 7, section 2).

Each optimizer is an `optax.GradientTransformationExtraArgs` built from a public core (`scale_by_*`)
and `scale_by_learning_rate`, so that each composes with any Optax transform. Every number may be a
traced array, and a learning rate may be a schedule.
"""

from lec7.optim.optimizers import adam, momentum, sgd
from lec7.optim.transforms import (
    AdamState,
    LearningRateState,
    MomentumState,
    learning_rates,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_momentum,
)

__all__ = [
    "AdamState",
    "LearningRateState",
    "MomentumState",
    "adam",
    "learning_rates",
    "momentum",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_momentum",
    "sgd",
]
