"""What an average of the parameters costs: training steps with one, as multiples of steps without.

    .venv/bin/python scripts/bench_averaging.py [--batch-size 64] [--rounds 15]

An MLP 784-256-256-10 with batch norm, dropout and Adam on 5,000 MNIST digits. All take turns in one process, so that
what else the machine does meets them all; the ratio is the median over rounds.
"""

import statistics
import time
from dataclasses import dataclass

import jax
import optax
import tyro

from lec7 import averaging, data, losses, models, optim, train

EVERY = 100
AVERAGES = {
    "none": (),
    "ema(0.99)": (averaging.ema(0.99),),
    "ema(0.99, every=10)": (averaging.ema(0.99, every=10),),
    "polyak_ruppert()": (averaging.polyak_ruppert(),),
    "swa(500, every=50)": (averaging.swa(500, every=50),),
    "lawa(5, every=50)": (averaging.lawa(5, every=50),),
    "snapshots(5, period=200)": (averaging.snapshots(5, period=200),),
    "power_ema(k=8, every=50)": (averaging.power_ema(k=8, every=50),),
}


@dataclass(frozen=True)
class Options:
    """What to measure."""

    batch_size: int = 64
    """Examples a step."""
    rounds: int = 15
    """Turns that each takes, of 100 steps."""


def main(options: Options) -> None:
    """Prints a line for each average."""
    source, _ = data.mnist5k()
    model = models.from_nnx(lambda rngs: models.MLP(784, (256, 256), 10, keep=0.8, rngs=rngs))
    runs, states = {}, {}
    for name, averages in AVERAGES.items():
        optimizer = optax.chain(optim.adam(1e-3), *averages)
        state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
        step = train.make_step(model, losses.cross_entropy, optimizer)
        runs[name] = train.jit(train.scan(step, EVERY, train.draw(options.batch_size)))
        states[name], _ = runs[name](state, source, EVERY)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(options.rounds):
        for name, run in list(runs.items())[:: 1 if turn % 2 else -1]:
            jax.block_until_ready(states[name])
            begin = time.perf_counter()
            states[name], _ = run(states[name], source, EVERY)
            jax.block_until_ready(states[name])
            seconds[name].append(time.perf_counter() - begin)
    print(f"MLP 784-256-256-10, batch {options.batch_size}, {jax.devices()[0].device_kind}, JAX {jax.__version__}")
    for name, taken in seconds.items():
        ratios = sorted(mine / without for mine, without in zip(taken, seconds["none"], strict=True))
        step = 1000 * statistics.median(taken) / EVERY
        print(f"{name:<25} {step:.3f} ms a step, ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
