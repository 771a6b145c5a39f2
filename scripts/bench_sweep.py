"""What a sweep is worth beside runs one after the other, and whether it chooses its lanes well.

    .venv/bin/python scripts/bench_sweep.py [--parts rates processes lanes kinds] [--every-run]

rates: 64 learning rates of a small MLP on digits, 500 steps: a sweep, a loop that builds and compiles each, and a loop
    with one program whose rate is traced; compilation included.
processes: 32 settings by 4 seeds of experiments/digits.py, against as many `lec7 run` processes.
lanes: a step of a lane with 1, 2, 4, ... 64 lanes side by side, and the number that the sweep chooses.
kinds: two kinds of optimizer as one program that computes both and takes one, against a program each.

Runs that are all alike are timed by a sample and counted as many, but with --every-run. Everything is in one process
but for `processes`; no program is kept from one part to the next.
"""

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from lec7 import averaging, experiment, optim, sweep, train
from lec7.experiment.signals import StopRequest
from lec7.sweep.course import Course
from lec7.sweep.lane import Lane
from lec7.sweep.observer import Silent
from lec7.sweep.width import candidates

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
LEC7 = Path(sys.executable).with_name("lec7")
Part = Literal["rates", "processes", "lanes", "kinds"]


@dataclass(frozen=True)
class Options:
    """What to measure."""

    parts: tuple[Part, ...] = ("rates", "processes", "lanes", "kinds")
    """Which parts."""
    every_run: bool = False
    """Time all runs of a loop, and not a sample."""
    steps: int | None = None
    """Steps of a run in `processes` (2000) and `kinds` (500)."""
    most: int = 64
    """Lanes side by side on a device, at most."""
    rounds: int = 5
    """Turns that each number of lanes takes."""


def main(options: Options) -> None:
    """Prints each part."""
    train.device_per_core()
    print(f"{jax.devices()[0].device_kind}, {jax.device_count()} devices, JAX {jax.__version__}; {sys.platform}")
    for part in options.parts:
        jax.clear_caches()
        print(f"\n{part}")
        {"rates": rates, "processes": processes, "lanes": lanes, "kinds": kinds}[part](options)


def timed(function: Callable[[], Any]) -> float:
    """Seconds that a call takes, to the end of what it computes."""
    jax.clear_caches()
    begin = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - begin


SWEPT = "sweep"


def rates(options: Options) -> None:
    """64 learning rates."""
    taken = {name: statistics.median(seconds) for name, seconds in rates_taken(options).items()}
    for name, seconds in taken.items():
        print(f"  {name:<36} {seconds:8.1f} s {seconds / taken[SWEPT]:8.1f} times")


def rates_taken(options: Options) -> dict[str, list[float]]:
    """Seconds of all 64, by the way in which they are run, in three turns."""
    file = experiment.load(EXPERIMENTS / "digits.py")
    hp = file.hyperparameters(width=32, steps=500)
    values = sweep.log(1e-4, 1e-1, 64).values()

    def one(rate: float) -> dict[str, float]:
        made = file.make(dataclasses.replace(hp, learning_rate=rate))
        state = made.init()
        for state, _ in made.fit(state):
            pass
        return experiment.evaluate(made, state)

    def traced() -> Any:
        source, test = file.make(hp).train, file.make(hp).test

        @jax.jit
        def whole(rate, source, test):
            made = file.make(dataclasses.replace(hp, learning_rate=rate))
            state, _ = train.scan(made.make_step(), 500, train.draw(made.batch_size))(made.init(), source)
            return experiment.evaluation.figures(made, state, source, test)

        return [jax.device_get(whole(np.float32(rate), source, test)) for rate in values]

    def swept() -> Any:
        return sweep.run(file.make, {"learning_rate": values}, hp).columns()

    sample = values if options.every_run else values[::16]
    each = statistics.median(timed(lambda rate=rate: one(rate)) for rate in sample)
    turns = [(timed(swept), timed(traced), 64 * each) for _ in range(3)]
    names = SWEPT, "a loop with a traced learning rate", "a loop that compiles each"
    return {name: list(column) for name, column in zip(names, zip(*turns, strict=True), strict=True)}


def processes(options: Options) -> None:
    """128 runs of the digits experiment."""
    steps = ["--steps", str(options.steps or 2000)]
    grid = [*steps, "--learning-rate", "log:1e-3:1e-2:8", "--dropout", "0.1,0.2,0.3,0.4", "--seed", "0:4"]
    with tempfile.TemporaryDirectory() as folder:

        def command(*words: str) -> float:
            begin = time.perf_counter()
            subprocess.run(
                [LEC7, *words, "--workdir", folder], check=True, stdout=subprocess.DEVNULL, cwd=EXPERIMENTS.parent
            )
            return time.perf_counter() - begin

        swept = command("sweep", "experiments/digits.py", *grid)
        count = 128 if options.every_run else 4
        each = statistics.median(
            command("run", "experiments/digits.py", *steps, "--seed", str(i)) for i in range(count)
        )
    print(f"  lec7 sweep       {swept:8.1f} s")
    print(f"  128 x lec7 run   {128 * each:8.1f} s   {128 * each / swept:6.1f} times ({each:.1f} s each)")


def lanes(options: Options) -> None:
    """The number of lanes that is chosen, and all others."""
    digits, fashion = (experiment.load(EXPERIMENTS / name) for name in ("digits.py", "fashion.py"))
    cases = {
        "MLP 32-32": (digits, {"width": 32}),
        "MLP 256-256": (digits, {"width": 256}),
        "CNN 32-64-256": (fashion, {}),
    }
    for name, (file, fields) in cases.items():
        hp = dataclasses.replace(file.hyperparameters(), **fields, steps=10**6)
        course = Course(file.make, hp, sweep.Judge(), sweep.Machine(), None, None, Silent(), StopRequest())
        points = [{"seed": seed} for seed in range(options.most * jax.device_count())]
        ((runner, _),) = course._grouped(points, [Lane(i, point) for i, point in enumerate(points)])
        chosen = runner.chosen(len(points), hp.steps).width // jax.device_count()
        numbers = candidates(options.most)
        for lanes in numbers:
            runner.trial(lanes)
            runner.program.wide(lanes * jax.device_count(), runner.devices).step_seconds = None
        taken = {lanes: [] for lanes in numbers}
        for turn in range(options.rounds):
            for lanes in numbers[:: 1 if turn % 2 else -1]:
                wide = runner.program.wide(lanes * jax.device_count(), runner.devices)
                wide.step_seconds = None
                taken[lanes].append(runner.trial(lanes).seconds / jax.device_count())
        medians = {lanes: statistics.median(seconds) for lanes, seconds in taken.items()}
        best = min(medians, key=medians.__getitem__)
        figures = "  ".join(f"{lanes}: {1e6 * seconds:.0f}" for lanes, seconds in medians.items())
        print(f"  {name}: us a step of a lane, by lanes on each device: {figures}")
        print(f"    chosen {chosen}, {medians[chosen] / medians[best]:.2f} times as long as the best, {best}")


def kinds(options: Options) -> None:
    """Adam and momentum in one program."""
    file = experiment.load(EXPERIMENTS / "digits.py")

    @dataclass(frozen=True)
    class Either:
        learning_rate: float = 1e-2
        is_adam: float = 1.0
        optimizer: str = ""
        seed: int = 0

    def build(hp: Either):
        digits = file.hyperparameters(width=32, steps=options.steps or 500, seed=hp.seed)
        if hp.optimizer:
            base = optim.by_name(hp.optimizer, hp.learning_rate)
        else:
            base = either(hp.is_adam, optim.adam(hp.learning_rate), optim.momentum(hp.learning_rate))
        return dataclasses.replace(file.build(digits), optimizer=optax.chain(base, averaging.ema(0.99)))

    rates = sweep.log(1e-3, 1e-1, 16)
    both = {"learning_rate": rates, "is_adam": [0.0, 1.0]}
    each = {"learning_rate": rates, "optimizer": ["adam", "momentum"]}
    machine = sweep.Machine(lanes=8)
    seconds = [
        [
            timed(lambda space=space: sweep.run(build, space, Either(), machine=machine).columns())
            for space in (both, each)
        ]
        for _ in range(3)
    ]
    one, two = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(
        f"  32 lanes of {options.steps or 500} steps: one program {one:.1f} s, a program for each optimizer {two:.1f} s"
    )


def either(is_first: Any, one: Any, other: Any) -> optax.GradientTransformation:
    """The first transform where a traced number is 1, else the second: both are computed, and one is taken."""

    def init(params):
        return one.init(params), other.init(params)

    def update(updates, state, params=None, **extra):
        (a, own), (b, others) = (
            one.update(updates, state[0], params, **extra),
            other.update(updates, state[1], params, **extra),
        )
        return jax.tree.map(lambda x, y: jnp.where(is_first > 0.5, x, y), a, b), (own, others)

    return optax.GradientTransformationExtraArgs(init, update)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
