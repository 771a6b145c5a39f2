"""Optimizers on digits: momentum trains faster than SGD, and Adam is a good default choice, near its best at 0.001.

    .venv/bin/python experiments/optimizers_on_digits.py    sweeps, prints a table, draws optimizers_on_digits.png
    lec7 run experiments/optimizers_on_digits.py            trains with one of the optimizers

An MLP on 1,150 handwritten digits with a rate that stays as it is, so that nothing but the optimizer brings steps down.
Each of six has the best of twelve rates by the loss on 287 digits held out; the figures are of 360 others, with seeds
that had no part in the choice.
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import best
import claims
from matplotlib.figure import Figure

from lec7 import data, losses, models, optim, sweep, train
from lec7.experiment import Experiment

Kind = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]
TITLES = dict(zip(get_args(Kind), ("SGD", "momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam"), strict=True))
COLOURS = dict(zip(TITLES, ("#000000", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"), strict=True))
LOW = 0.05
"""A training loss that is called low: when it is reached is told."""


@dataclass(frozen=True)
class OnDigits:
    """Hyperparameters. Floats can be swept inside one compiled program."""

    optimizer: Kind = "adam"
    """Which optimizer."""
    learning_rate: float = 1e-3
    """Its rate, from the first step to the last."""
    judge: Literal["validation", "test"] = "test"
    """What is evaluated on: digits to choose by, or those of the figures."""
    steps: int = 1000
    """Number of training steps."""
    batch_size: int = 64
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from."""


def build(hp: OnDigits) -> Experiment:
    """The experiment of these hyperparameters."""
    examples, test = data.digits()
    examples, validation = data.split(examples, held_out=287)
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(64, (64, 64), 10, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optim.by_name(hp.optimizer, hp.learning_rate),
        train=examples,
        test=validation if hp.judge == "validation" else test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=20,
        evaluate_every=100,
    )


@dataclass(frozen=True)
class Options(claims.Effort):
    """How much to try, and where the picture goes."""

    output: Path = Path("optimizers_on_digits.png")
    """The picture."""


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table and draws the picture."""
    train.device_per_core()
    steps, rates, seeds, fresh = (200, 3, 1, 2) if options.quick else (1000, 12, 3, 8)
    kinds = ("sgd", "momentum", "adam") if options.quick else tuple(TITLES)
    points = [
        {"optimizer": kind, "learning_rate": rate}
        for kind in kinds
        for rate in (1e-3, *sweep.log(3e-4, 1.0, rates - 1).values())
    ]
    found = best.find(build, OnDigits(steps=steps), "optimizer", points, range(seeds), range(100, 100 + fresh))
    print(f"| optimizer | rate   | steps to a training loss of {LOW:g} | test accuracy [%] | test loss       |")
    print("|-----------|-------:|-------------------------------:|------------------:|----------------:|")
    for kind, setting in found.settings.items():
        accuracy = best.spread([100 * value for value in best.values(setting, "test/accuracy")], 2)
        loss, rate = best.spread(best.values(setting, "test/loss"), 4), setting.hyperparameters["learning_rate"]
        print(f"| {TITLES[kind]:<9} | {rate:.4f} | {reached(setting):>30} | {accuracy:>17} | {loss:>15} |")
    draw(found, options.output)
    print(f"\n{found.runs} runs; drawn in {options.output}")
    yield from findings(found)


def reached(setting: sweep.Setting) -> str:
    """When the mean training loss was low for the first time."""
    steps, loss, _ = best.curve(setting, "train/loss")
    return f"{steps[(loss <= LOW).argmax()]:.0f}" if (loss <= LOW).any() else f"not in {steps[-1]:.0f}"


def findings(found: best.Best) -> Iterator[claims.Finding]:
    """What the lecture says, and whether it is so."""
    sgd, momentum, adam = (found.settings[kind] for kind in ("sgd", "momentum", "adam"))

    def early(setting: sweep.Setting) -> float:
        """The mean training loss over the first tenth of the steps."""
        loss = best.curve(setting, "train/loss")[1]
        return float(loss[: max(1, len(loss) // 10)].mean())

    yield claims.Finding(
        "momentum trains faster than SGD, each at its best rate",
        early(momentum) < early(sgd),
        f"mean training loss over the first tenth {early(momentum):.3f} against {early(sgd):.3f}",
    )
    accuracies = {kind: best.values(setting, "test/accuracy") for kind, setting in found.settings.items()}
    leader = max(accuracies, key=lambda kind: statistics.mean(accuracies[kind]))
    behind = 100 * (statistics.mean(accuracies[leader]) - statistics.mean(accuracies["adam"]))
    noise = 100 * math.hypot(*(statistics.stdev(accuracies[kind]) for kind in (leader, "adam")))
    yield claims.Finding(
        "Adam is a good default choice",
        behind <= noise,
        f"its test accuracy is {behind:.2f} points behind the best, {TITLES[leader]}; seeds differ by {noise:.2f}",
    )
    rates, losses_there = found.by_rate("adam")
    at_default, least = losses_there[rates.index(1e-3)], min(losses_there)
    yield claims.Finding(
        "Adam's rate of 0.001 is a great starting point",
        at_default <= 1.25 * least,
        f"its validation loss is {at_default:.4f} there, and {least:.4f} at its best rate, "
        f"{adam.hyperparameters['learning_rate']:.2g}",
    )


def draw(found: best.Best, path: Path) -> None:
    """The validation loss against the rate, and the curves at each one's best rate."""
    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    against, training, testing = figure.subplots(1, 3)
    for kind, setting in found.settings.items():
        style: dict[str, Any] = {"color": COLOURS[kind], "linewidth": 1.5}
        rate = setting.hyperparameters["learning_rate"]
        against.plot(*found.by_rate(kind), marker=".", label=f"{TITLES[kind]}, {rate:.2g}", **style)
        best.plot(training, setting, "train/loss", **style)
        best.plot(testing, setting, "test/accuracy", marker=".", **style)
    against.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation loss, mean over seeds")
    against.grid(alpha=0.3)
    against.legend(title="best rate", fontsize="small")
    training.set(yscale="log", ylim=(1e-3, None), ylabel="training loss, each at its best rate")
    testing.set(ylim=(0.9, 1.0), ylabel="test accuracy")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    claims.command(main, Options)
