"""Where a run's state lies on its mesh, told without having the devices."""

from math import prod
from typing import Any, cast

import jax
from jax.sharding import AbstractMesh, Mesh

from lec7.experiment import Experiment
from lec7.train import describe_sharding, shardings
from lec7.train.placement import AXES
from lec7.train.sharded import Placed


def sharding(experiment: Experiment, mesh: str, devices: int) -> Placed:
    """Where each array of a run's state lies.

    Args:
        experiment: on any hardware.
        mesh: the run's, such as "data=4,fsdp=2"; -1 stands for the devices left.
        devices: how many the run had.
    """
    given = {axis.strip(): int(size) for axis, _, size in (part.partition("=") for part in mesh.split(","))}
    left = devices // prod(size for size in given.values() if size > 0)
    sizes = [left if given.get(axis, 1) < 0 else given.get(axis, 1) for axis in AXES]
    # Shapes are dealt out by the sizes alone.
    abstract = cast(Mesh, AbstractMesh(tuple(sizes), AXES))
    shapes: Any = jax.eval_shape(experiment.init)
    wanted = shardings(shapes, abstract, experiment.rules)
    return describe_sharding(jax.tree.map(lambda x, where: x.update(sharding=where), shapes, wanted))
