"""Schedules: pure functions from a step to a value, such as a learning rate.

A schedule takes a step, counted from 0, as an int or an integer array of shape (), and gives a
float array of shape (). Every number that makes a schedule may be a traced array: schedules can
be built inside `jit` and `vmap`. Known numbers that are out of range raise `InputError`; traced
ones are not checked.

`cycle` tells which cycle of `cyclic_cosine` a step belongs to. `reduce_on_plateau` alone depends on
more than the step: it is a gradient transformation, whose state remembers the losses.
"""

from lec7.schedules.combine import join, warmup
from lec7.schedules.cycles import Cycle, cycle, cyclic_cosine, one_cycle, triangular
from lec7.schedules.decays import constant, cosine, exponential, inverse_time, polynomial, step_decay
from lec7.schedules.plateau import PlateauState, reduce_on_plateau

__all__ = [
    "Cycle",
    "PlateauState",
    "constant",
    "cosine",
    "cycle",
    "cyclic_cosine",
    "exponential",
    "inverse_time",
    "join",
    "one_cycle",
    "polynomial",
    "reduce_on_plateau",
    "step_decay",
    "triangular",
    "warmup",
]
