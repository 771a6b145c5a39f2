"""How fast training goes on examples that are read from the host, against those on the device.

    .venv/bin/python scripts/bench_stream.py [--steps N] [--rounds N]

Fashion-MNIST, batches of 128, Adam: an MLP 256-256, which needs 1,000 batches a second and more, and a small CNN. The
sources take turns in one process; a figure is the median of the rounds, after one that compiles.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from lec7 import data, losses, models, optim, train
from lec7.train.fit import WAITING

EVERY = 50

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--rounds", type=int, default=5)
given = parser.parse_args()


def sources(folder: Path) -> dict[str, data.Source]:
    resident, _ = data.fashion_mnist()
    for name, array in resident.arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))
    data.prepare_fashion_mnist(data_dir=folder / "tfds")
    return {
        "on the device": resident,
        "memory maps": data.memory_maps(folder),
        "TFDS, ArrayRecord": data.tfds("fashion_mnist", "train", folder / "tfds"),
    }


def networks() -> dict[str, models.Model]:
    return {
        "MLP 256-256": models.from_nnx(lambda rngs: models.MLP(784, (256, 256), 10, rngs=rngs)),
        "CNN 32-64-256": models.from_nnx(lambda rngs: models.CNN((28, 28, 1), (32, 64), 256, 10, rngs=rngs)),
    }


def timed(step, state, source, steps: int) -> tuple[float, float]:
    """Steps a second, and the share of time in which the device stood still after the first window, ahead of which
    the readers are started."""
    begin, waited = time.perf_counter(), []
    for state, metrics in train.fit(step, state, source, steps=steps, batch_size=128, every=EVERY):
        waited.append(float(metrics[WAITING][0]) if WAITING in metrics else 0.0)
    jax.block_until_ready(state)
    return steps / (time.perf_counter() - begin), statistics.mean(waited[1:])


with tempfile.TemporaryDirectory() as temporary:
    found = sources(Path(temporary))
    for name, model in networks().items():
        optimizer = optim.adam(1e-3)
        step = train.make_step(model, losses.cross_entropy, optimizer)
        steps = given.steps if name.startswith("MLP") else max(3 * EVERY, given.steps // 5)
        rates: dict[str, list[tuple[float, float]]] = {kind: [] for kind in found}
        for _ in range(given.rounds + 1):
            for kind, source in found.items():
                state = train.init(jax.random.key(0), model, optimizer, train.image(source[np.arange(1)]))
                rates[kind].append(timed(step, state, source, steps))
        base = statistics.median(rate for rate, _ in rates["on the device"][1:])
        print(f"\n{name}, {steps} steps, {given.rounds} rounds, {jax.devices()[0].device_kind}")
        for kind, runs in rates.items():
            rate, waited = (statistics.median(values) for values in zip(*runs[1:], strict=True))
            print(f"  {kind:<18} {rate:8.1f} steps/s  {rate / base:5.2f} of the device's  waiting {waited:4.0%}")
