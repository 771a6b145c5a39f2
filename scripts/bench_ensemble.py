"""Steps a second of an ensemble's members: one after the other or side by side, on one device or on one for each core.

    .venv/bin/python scripts/bench_ensemble.py [--members 8] [--widths 32 64 256]

The MLP of experiments/digits.py. All ways take turns in one process, so that what else the machine does meets them all;
ratios are medians over rounds, against members one after the other on one device, which is what single runs take.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import tyro

from lec7 import ensemble, experiment, train

DIGITS = Path(__file__).resolve().parents[1] / "experiments" / "digits.py"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    members: int = 8
    """Members of the ensemble."""
    widths: tuple[int, ...] = (32, 64, 256)
    """Widths of both hidden layers; one line each."""
    rounds: int = 9
    """Turns that each way takes, of 50 steps."""


def main(options: Options) -> None:
    """Prints a line for each width."""
    train.device_per_core()
    one, every = jax.devices()[:1], jax.devices()
    ways = {
        "one after the other": (1, one),
        "side by side": (options.members, one),
        f"one after the other on {len(every)} devices": (1, every),
        f"side by side on {len(every)} devices": (options.members, every),
    }
    file = experiment.load(DIGITS)
    print(f"{options.members} members, batch 128, {every[0].device_kind}, JAX {jax.__version__}; {sys.platform}")
    for width in options.widths:
        hp = file.hyperparameters(width=width, steps=10**9)
        going, seconds = {}, {name: [] for name in ways}
        for name, (chunk, devices) in ways.items():
            many = ensemble.make(file.make, hp, range(options.members), chunk, devices)
            going[name] = many.fit(many.init())
            jax.block_until_ready(next(going[name]))
        for turn in range(options.rounds):
            for name, windows in list(going.items())[:: 1 if turn % 2 else -1]:
                begin = time.perf_counter()
                jax.block_until_ready(next(windows))
                seconds[name].append(time.perf_counter() - begin)
        print(f"width {width}:")
        for name, taken in seconds.items():
            rate = 50 * options.members / statistics.median(taken)
            ratio = statistics.median(
                base / mine for base, mine in zip(next(iter(seconds.values())), taken, strict=True)
            )
            print(f"  {name:<35} {rate:8,.0f} steps/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
