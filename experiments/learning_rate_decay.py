"""Learning-rate decay: the lecture has you find a rate without decay first, and then see where decay is needed.

    .venv/bin/python experiments/learning_rate_decay.py    sweeps, prints a table and draws learning_rate_decay.png
    lec7 run experiments/learning_rate_decay.py            trains with one of the decays

Momentum on 3,500 MNIST digits in small batches, with a constant rate and with four ways to bring it down: by steps,
exponentially, as 1/t, by half a cosine. Each has the best of nine rates, and its best of three strengths where it has
one, by the loss on 500 digits held out; the figures are of 1,000 others, with seeds that had no part in the choice.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from matplotlib.figure import Figure

from lec7 import data, losses, models, optim, schedules, sweep, train
from lec7.experiment import Experiment
from lec7.typing import Schedule

Decay = Literal["none", "step", "exponential", "inverse_time", "cosine"]
TITLES = {"none": "none", "step": "by steps", "exponential": "exponential", "inverse_time": "1/t", "cosine": "cosine"}
COLOURS = dict(zip(TITLES, ("#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00"), strict=True))
STRONG = ("step", "exponential", "inverse_time")
"""Those that have a strength."""


@dataclass(frozen=True)
class LearningRateDecay:
    """Hyperparameters. Floats can be swept inside one compiled program."""

    decay: Decay = "cosine"
    """How the rate comes down."""
    learning_rate: float = 0.1
    """Momentum's rate at the start."""
    strength: float = 1.0
    """How far it comes down: steps and exponentials to 10**(-2 * strength) of it, 1/t to 1 / (1 + 30 * strength)."""
    judge: Literal["validation", "test"] = "test"
    """What is evaluated on: digits to choose by, or those of the figures."""
    steps: int = 2000
    """Number of training steps."""
    batch_size: int = 16
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from."""


def schedule(hp: LearningRateDecay) -> Schedule:
    """The rate at each step."""
    end = 2 * hp.strength
    match hp.decay:
        case "step":  # at each quarter
            return schedules.step_decay(hp.learning_rate, hp.steps // 4, 10 ** (-end / 3))
        case "exponential":
            return schedules.exponential(hp.learning_rate, end * 2.302585 / hp.steps)
        case "inverse_time":
            return schedules.inverse_time(hp.learning_rate, 30 * hp.strength / hp.steps)
        case "cosine":
            return schedules.cosine(hp.learning_rate, hp.steps)
        case _:
            return schedules.constant(hp.learning_rate)


def build(hp: LearningRateDecay) -> Experiment:
    """The experiment of these hyperparameters."""
    examples, test = data.mnist5k()
    examples, validation = data.split(examples, held_out=500)
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(784, (32,), 10, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optim.momentum(schedule(hp)),
        train=examples,
        test=validation if hp.judge == "validation" else test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=50,
        evaluate_every=200,
    )


@dataclass(frozen=True)
class Options:
    """How much to try."""

    quick: bool = False
    """A look in under a minute: fewer decays, rates, seeds and steps, which shows how it works and proves nothing."""
    output: Path = Path("learning_rate_decay.png")
    """The picture."""


def main(options: Options) -> None:
    """Prints the table and draws the picture."""
    begin = time.monotonic()
    train.device_per_core()
    steps, rates, seeds = (200, 4, 1) if options.quick else (2000, 9, 3)
    tried = ("none", "step", "cosine") if options.quick else tuple(TITLES)
    hp = LearningRateDecay(steps=steps, judge="validation")
    points = [
        {"decay": decay, "learning_rate": rate, "strength": strength, "seed": seed}
        for decay in tried
        for rate in sweep.log(1e-3, 0.3, rates).values()
        for strength in ((0.5, 1.0, 1.5) if decay in STRONG else (1.0,))
        for seed in range(seeds)
    ]
    judge = sweep.Judge("test/loss")
    chosen = sweep.run(build, points, hp, judge=judge, observer=Said())
    best = {decay: of(chosen, decay)[0].hyperparameters for decay in tried}
    fresh = range(100, 100 + (2 if options.quick else 8))
    final = [{**best[decay], "judge": "test", "seed": seed} for decay in tried for seed in fresh]
    found = sweep.run(build, final, hp, judge=judge, observer=Said())
    results = {decay: of(found, decay)[0] for decay in tried}

    print(f"| {'decay':<12} | rate  | strength | test accuracy [%] |     test loss     |")
    print(f"|{'-' * 14}|------:|---------:|------------------:|------------------:|")
    for decay, setting in results.items():
        rate, strength = setting.hyperparameters["learning_rate"], setting.hyperparameters["strength"]
        accuracy = spread([100 * row.metrics["test/accuracy"] for row in setting.rows], 2)
        shown = f"{strength:g}" if decay in STRONG else ""
        loss = spread([row.metrics["test/loss"] for row in setting.rows], 4)
        print(f"| {TITLES[decay]:<12} | {rate:.3f} | {shown:>8} | {accuracy:>17} | {loss:>17} |")
    draw(chosen, results, options.output)
    decays = [results[decay].mean for decay in tried if decay != "none"]
    better = sum(mean < results["none"].mean for mean in decays)
    print(f"\n{better} of {len(decays)} decays have a lower test loss than no decay at its best rate,")
    print(f"and the best of them {results['none'].mean / min(decays):.2f} times lower")
    print(f"{len(points) + len(final)} runs in {time.monotonic() - begin:.0f} s; drawn in {options.output}")


class Said(sweep.Silent):
    """Prints what a sweep says of its programs."""

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, flush=True)


def of(results: sweep.Results, decay: str) -> list[sweep.Setting]:
    """The settings with a decay, the best first."""
    return [one for one in results.settings() if one.hyperparameters["decay"] == decay]


def spread(values: list[float], places: int) -> str:
    """Mean and standard deviation over seeds."""
    return f"{statistics.mean(values):.{places}f} ± {statistics.stdev(values):.{places}f}"


def mean_curve(setting: sweep.Setting, name: str) -> tuple[list[int], list[float]]:
    """A curve's mean over seeds."""
    curves = [row.curves[name] for row in setting.rows]
    return [step for step, _ in curves[0]], [statistics.mean(v for _, v in at) for at in zip(*curves, strict=True)]


def draw(chosen: sweep.Results, results: dict[str, sweep.Setting], path: Path) -> None:
    """The loss against the rate without decay and with it, and the curves at each one's best rate."""
    figure = Figure(figsize=(13.5, 3.8), layout="constrained")
    against, rates, training, testing = figure.subplots(1, 4)
    for decay, setting in results.items():
        style: dict[str, Any] = {"color": COLOURS[decay], "label": TITLES[decay], "linewidth": 1.6}
        best: dict[float, float] = {}
        for one in of(chosen, decay):
            best.setdefault(one.hyperparameters["learning_rate"], one.mean)
        against.plot(*zip(*sorted(best.items()), strict=True), marker=".", **style)
        rates.plot(*mean_curve(setting, "train/learning_rate"), **style)
        training.plot(*mean_curve(setting, "train/loss"), **style)
        testing.plot(*mean_curve(setting, "test/loss"), marker=".", **style)
    against.set(xscale="log", yscale="log", xlabel="learning rate at the start", title="validation loss, best strength")
    rates.set(yscale="log", ylim=(1e-4, None), xlabel="step", title="learning rate, each at its best")
    training.set(yscale="log", xlabel="step", title="training loss")
    testing.set(yscale="log", xlabel="step", title="test loss")
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    against.legend(title="decay", fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
