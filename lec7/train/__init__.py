"""The training state, the step, what runs it, and the loop.

`lec7.train.checkpoints` (Orbax) is imported by its own name, so that the step runs without it.
"""

from lec7.train.evaluate import make_evaluate, make_evaluate_members, make_refresh, together_and_each
from lec7.train.fit import fit, windows
from lec7.train.lanes import device_per_core, lanes
from lec7.train.lr_find import LearningRates, lr_find
from lec7.train.run import draw, jit, scan, stacked
from lec7.train.state import TrainState, init
from lec7.train.step import Step, image, make_step

__all__ = [
    "LearningRates",
    "Step",
    "TrainState",
    "device_per_core",
    "draw",
    "fit",
    "image",
    "init",
    "jit",
    "lanes",
    "lr_find",
    "make_evaluate",
    "make_evaluate_members",
    "make_refresh",
    "make_step",
    "scan",
    "stacked",
    "together_and_each",
    "windows",
]
