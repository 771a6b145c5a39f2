"""Optimizers as pure gradient transformations in the Optax style (lecture 7, section 2).

Each optimizer is an `optax.GradientTransformationExtraArgs` built from a public core (`scale_by_*`)
and `scale_by_learning_rate`, so that each composes with any Optax transform. Every number may be a
traced array, and a learning rate may be a schedule.
"""

from lec7.optim.accumulate import AccumulateState, accumulate
from lec7.optim.adaptive import (
    AdamState,
    AmsgradState,
    NadamState,
    SquaresState,
    scale_by_adagrad,
    scale_by_adam,
    scale_by_amsgrad,
    scale_by_nadam,
    scale_by_rms,
)
from lec7.optim.apply import Applying, apply_gradients
from lec7.optim.decay import DecayState, coupled_weight_decay, decoupled_weight_decay
from lec7.optim.descent import MomentumState, scale_by_momentum, scale_by_nesterov
from lec7.optim.describe import Description, describe
from lec7.optim.finite import SkipState, TooManySkipped, check_skipped, skip_nonfinite, skipped
from lec7.optim.groups import GroupsState, frozen, frozen_paths, groups, scale_by_path
from lec7.optim.learning_rate import LearningRateState, learning_rates, scale_by_learning_rate
from lec7.optim.monitor import MonitorState, diagnostics, monitor
from lec7.optim.optimizers import (
    CONVENTIONS,
    OPTIMIZERS,
    Convention,
    Name,
    adagrad,
    adam,
    adamw,
    amsgrad,
    by_name,
    momentum,
    nadam,
    nesterov,
    rmsprop,
    sgd,
)
from lec7.optim.precision import PrecisionState, cast, mixed_precision, stochastic_round

__all__ = [
    "CONVENTIONS",
    "OPTIMIZERS",
    "AccumulateState",
    "AdamState",
    "AmsgradState",
    "Applying",
    "Convention",
    "DecayState",
    "Description",
    "GroupsState",
    "LearningRateState",
    "MomentumState",
    "MonitorState",
    "NadamState",
    "Name",
    "PrecisionState",
    "SkipState",
    "SquaresState",
    "TooManySkipped",
    "accumulate",
    "adagrad",
    "adam",
    "adamw",
    "amsgrad",
    "apply_gradients",
    "by_name",
    "cast",
    "check_skipped",
    "coupled_weight_decay",
    "decoupled_weight_decay",
    "describe",
    "diagnostics",
    "frozen",
    "frozen_paths",
    "groups",
    "learning_rates",
    "mixed_precision",
    "momentum",
    "monitor",
    "nadam",
    "nesterov",
    "rmsprop",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_amsgrad",
    "scale_by_learning_rate",
    "scale_by_momentum",
    "scale_by_nadam",
    "scale_by_nesterov",
    "scale_by_path",
    "scale_by_rms",
    "sgd",
    "skip_nonfinite",
    "skipped",
    "stochastic_round",
]
