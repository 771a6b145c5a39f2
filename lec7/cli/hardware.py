"""What a run is trained on, and how exactly it computes: options, and what is made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from lec7.experiment import Experiment


@dataclass(frozen=True)
class Hardware:
    """Which devices, in which precision, and where the examples live."""

    mesh: Annotated[str | None, tyro.conf.arg(metavar="AXIS=N,...")] = None
    """Devices that train one model: data=4,fsdp=2 has rows of the batch on 8, and the state in halves; model=2 has
    layers in halves; -1 takes the devices left. On a CPU they are made. By default one, or all of several processes."""
    precision: Literal["float32", "bf16"] = "float32"
    """What the model computes in; parameters are float32 in any case."""
    examples: Literal["auto", "device", "host"] = "auto"
    """Where examples that can be read from the host live: by default on the device if they fit."""


NO_MATTER = Hardware()
"""One device, in float32."""

PER_RUN = tuple(field.name for field in dataclasses.fields(Hardware))


def hardware_of(settings: Mapping[str, Any]) -> Hardware:
    """The part of a command's options, or of a run's `config.json`, that is about hardware."""
    return Hardware(**{name: settings[name] for name in PER_RUN if name in settings})


def make_devices(mesh: str | None, processes: int) -> None:
    """Makes as many devices of a CPU as the mesh has in this process; to be called before JAX has made its own.

    Accelerators are what they are.
    """
    from lec7 import train

    if mesh is not None:
        train.make_cpu_devices(-(-train.devices_of(mesh) // processes))


def silent(text: str) -> None:
    """Says nothing."""


def equip(experiment: Experiment, hardware: Hardware, say: Callable[[str], None] = silent) -> Experiment:
    """The experiment on its hardware, with its examples where they are to be, checked; says what is where."""
    import jax

    from lec7 import train
    from lec7.experiment import check, settle

    experiment = _in_precision(experiment, hardware.precision)
    if hardware.mesh is not None or jax.process_count() > 1:
        mesh = train.make_mesh(hardware.mesh or "data=-1")
        experiment = dataclasses.replace(experiment, mesh=mesh)
    settled = settle(experiment, hardware.examples)
    check(settled.experiment)
    for text in settled.told:
        say(text)
    if experiment.mesh is not None:
        say(_on_mesh(settled.experiment, experiment.mesh))
    return settled.experiment


def _on_mesh(experiment: Experiment, mesh: Mesh) -> str:
    """What a mesh has of the state."""
    import jax

    from lec7 import train

    shapes = jax.eval_shape(experiment.init)
    wanted = train.shardings(shapes, mesh, experiment.rules)
    placed = train.describe_sharding(jax.tree.map(lambda x, where: x.update(sharding=where), shapes, wanted))
    axes = ", ".join(f"{axis}={size}" for axis, size in mesh.shape.items() if size > 1) or "one device"
    return (
        f"mesh of {mesh.size} {mesh.devices.flat[0].platform} devices, {axes}: the state has "
        f"{placed.nbytes / 1e6:,.1f} MB, of which a device keeps {placed.nbytes_per_device / 1e6:,.1f}"
    )


def rounded(make: Callable[[Any], Experiment], precision: str) -> Callable[[Any], Experiment]:
    """`make`, of experiments whose model computes in this precision."""
    return make if precision == NO_MATTER.precision else lambda hp: _in_precision(make(hp), precision)


def _in_precision(experiment: Experiment, precision: str) -> Experiment:
    from lec7 import models

    if precision == NO_MATTER.precision:
        return experiment
    return dataclasses.replace(experiment, model=models.in_precision(experiment.model, models.precision(precision)))
