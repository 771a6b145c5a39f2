"""The training state, the step, what runs it, and the loop.

`lec7.train.checkpoints` (Orbax) is imported by its own name, so that the step runs without it.
"""

from lec7.train.evaluate import make_evaluate, make_evaluate_members, make_refresh, together_and_each
from lec7.train.fit import fit, windows
from lec7.train.lanes import device_per_core, lanes, make_cpu_devices
from lec7.train.lr_find import LearningRates, lr_find
from lec7.train.placement import Rules, columns, fsdp, place, replicated, rows, shardings
from lec7.train.pmap import pmap
from lec7.train.run import draw, jit, scan, stacked
from lec7.train.sharded import describe_sharding, devices_of, make_mesh, sharded
from lec7.train.state import TrainState, init
from lec7.train.step import Step, image, make_step

__all__ = [
    "LearningRates",
    "Rules",
    "Step",
    "TrainState",
    "columns",
    "describe_sharding",
    "device_per_core",
    "devices_of",
    "draw",
    "fit",
    "fsdp",
    "image",
    "init",
    "jit",
    "lanes",
    "lr_find",
    "make_cpu_devices",
    "make_evaluate",
    "make_evaluate_members",
    "make_mesh",
    "make_refresh",
    "make_step",
    "place",
    "pmap",
    "replicated",
    "rows",
    "scan",
    "sharded",
    "shardings",
    "stacked",
    "together_and_each",
    "windows",
]
