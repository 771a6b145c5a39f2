"""Lecture 7 of CS231n as composable JAX: optimization, regularization, transfer learning.

Rooms load when first touched, so that `import lec7` costs nothing and a researcher who
takes one room never meets the others:

>>> import lec7
>>> tx = lec7.optim.adam(1e-3)
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "augment",
    "averaging",
    "bench",
    "data",
    "ensemble",
    "errors",
    "experiment",
    "losses",
    "models",
    "optim",
    "random",
    "regularize",
    "replicas",
    "report",
    "schedules",
    "sweep",
    "train",
    "transfer",
    "tree",
    "typing",
]

if TYPE_CHECKING:
    from lec7 import (
        augment,
        averaging,
        bench,
        data,
        ensemble,
        errors,
        experiment,
        losses,
        models,
        optim,
        random,
        regularize,
        replicas,
        report,
        schedules,
        sweep,
        train,
        transfer,
        tree,
        typing,
    )


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"lec7.{name}")
    raise AttributeError(f"module 'lec7' has no attribute {name!r}; its rooms are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
