"""Checks lec7 on whatever devices there are, also where pytest and most of what lec7 needs elsewhere is missing.

    scripts/device_check.sh [--steps 469]

Each room that trains is imported, each test of tests/accelerator called, and Fashion-MNIST trained on for an epoch. Its
four IDX files lie in the folder that FASHION names, in ./fashion-mnist, or where Debian's package puts them. In their
absence made-up images of the same shape do.
"""

import argparse
import importlib
import os
import platform
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable
from functools import partial
from importlib import metadata, util
from pathlib import Path

import jax
import numpy as np

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "accelerator"
ROOMS = ("optim", "averaging", "schedules", "regularize", "augment", "losses", "models", "train", "data", "experiment")
NEEDED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
OF_USE = ("grain", "tensorflow_datasets", "sklearn", "safetensors", "filelock", "tensorboardX", "matplotlib", "tyro")
LEAST_ACCURACY = 0.8
"""What an epoch has to reach; it reaches 0.89."""


class Checks:
    """Calls one check after the other, tells how each ended, and keeps the names of those that failed."""

    def __init__(self) -> None:
        self.count, self.failed = 0, []

    def __call__(self, name: str, check: Callable[[], object]) -> None:
        begin = time.perf_counter()
        try:
            check()
            ended = "ok"
        except Exception:
            ended = "FAILED"
            self.failed.append(name)
            traceback.print_exc(file=sys.stdout)
        self.count += 1
        print(f"{ended:<6} {time.perf_counter() - begin:6.1f} s  {name}", flush=True)


def main() -> int:
    """Prints a line for each check; the exit code is 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=469, help="steps on Fashion-MNIST; 469 are an epoch")
    given = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(TESTS)]
    tell_machine()
    stand_in_for_pytest()
    checks = Checks()
    for room in ROOMS:
        checks(f"import lec7.{room}", partial(importlib.import_module, f"lec7.{room}"))
    for path in sorted(TESTS.glob("test_*.py")):
        checks(f"import {path.name}", partial(importlib.import_module, path.stem))
        module = sys.modules.get(path.stem)
        for name, test in vars(module).items() if module else ():
            if name.startswith("test_"):
                checks(name.removeprefix("test_").replace("_", " "), test)
    checks(f"experiments/fashion.py, {given.steps} steps", partial(fashion, given.steps))
    if checks.failed:
        print(f"{len(checks.failed)} of {checks.count} checks failed: {'; '.join(checks.failed)}")
        return 1
    print(f"all {checks.count} checks passed")
    return 0


def tell_machine() -> None:
    """Devices, versions, and what is not there."""
    devices = jax.local_devices()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in NEEDED)
    absent = ", ".join(name for name in OF_USE if util.find_spec(name) is None)
    print(f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})")
    print(f"Python {platform.python_version()}, {versions}; without {absent or 'nothing'}", flush=True)


def stand_in_for_pytest() -> None:
    """Where pytest is missing, a module by its name that has the two markers that tests/accelerator asks it for."""
    if util.find_spec("pytest") is None:
        pytest = types.ModuleType("pytest")
        vars(pytest)["mark"] = types.SimpleNamespace(accelerator=None, slow=lambda test: test)
        sys.modules["pytest"] = pytest


def fashion(steps: int) -> None:
    """Trains the CNN of experiments/fashion.py, tells its speed and accuracy, and refuses a low one."""
    from lec7 import experiment

    file = experiment.load(ROOT / "experiments" / "fashion.py")
    with tempfile.TemporaryDirectory() as made_up:
        folder = images() or write_images(Path(made_up))
        built = experiment.instantiate(file, file.hyperparameters(steps=steps, directory=str(folder)))
    windows = built.fit(built.init())
    begin = time.perf_counter()
    state, metrics = next(windows)
    jax.block_until_ready((state, metrics))
    compiled, done = time.perf_counter(), state.steps_taken
    for state, metrics in windows:
        pass
    jax.block_until_ready((state, metrics))
    rate = (steps - done) / (time.perf_counter() - compiled)
    figures = built.make_evaluation()(state)
    peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    print(f"images from {folder}; compiled and {done} steps in {compiled - begin:.1f} s, then {rate:,.0f} steps/s")
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    print(f"memory at most: {f'{peak / 1e6:,.0f} MB' if peak else 'the device does not tell'}")
    assert figures["test/accuracy"] >= LEAST_ACCURACY, f"expected an accuracy of {LEAST_ACCURACY} at least"


def images() -> Path | None:
    """The folder that has Fashion-MNIST, if there is one."""
    from lec7.data.catalogue import FASHION_MNIST

    if named := os.environ.get("FASHION"):
        return Path(named)
    return next((folder for folder in (ROOT / "fashion-mnist", FASHION_MNIST) if folder.is_dir()), None)


def write_images(folder: Path) -> Path:
    """IDX files of made-up images, as many and as large as Fashion-MNIST's: a pattern for each class, and noise."""
    print("no Fashion-MNIST here: made-up images take its place")
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 64, (10, 7, 7), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    for name, count in (("train", 60_000), ("t10k", 10_000)):
        labels = rng.integers(0, 10, count, np.uint8)
        pixels = patterns[labels] + rng.integers(0, 192, (count, 28, 28), np.uint8)
        for kind, array in (("labels-idx1", labels), ("images-idx3", pixels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


if __name__ == "__main__":
    sys.exit(main())
