"""Learning-rate decay: the lecture has you find a rate without decay first, and then see where decay is needed.

    .venv/bin/python experiments/learning_rate_decay.py    sweeps, prints a table and draws learning_rate_decay.png
    lec7 run experiments/learning_rate_decay.py            trains with one of the decays

Momentum on 3,500 MNIST digits in small batches, with a constant rate and with four ways to bring it down: by steps,
exponentially, as 1/t, by half a cosine. Each has the best of nine rates, and its best of three strengths where it has
one, by the loss on 500 digits held out; the figures are of 1,000 others, with seeds that had no part in the choice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import best
import claims
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
class Options(claims.Effort):
    """How much to try, and where the picture goes."""

    output: Path = Path("learning_rate_decay.png")
    """The picture."""


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table and draws the picture."""
    train.device_per_core()
    steps, rates, seeds, fresh = (200, 4, 1, 2) if options.quick else (2000, 9, 3, 8)
    tried = ("none", "step", "cosine") if options.quick else tuple(TITLES)
    points = [
        {"decay": decay, "learning_rate": rate, "strength": strength}
        for decay in tried
        for rate in sweep.log(1e-3, 0.3, rates).values()
        for strength in ((0.5, 1.0, 1.5) if decay in STRONG else (1.0,))
    ]
    hp = LearningRateDecay(steps=steps)
    found = best.find(build, hp, "decay", points, range(seeds), range(100, 100 + fresh))
    print(f"| {'decay':<12} | rate  | strength | test accuracy [%] |     test loss     |")
    print(f"|{'-' * 14}|------:|---------:|------------------:|------------------:|")
    for decay, setting in found.settings.items():
        rate, strength = setting.hyperparameters["learning_rate"], setting.hyperparameters["strength"]
        accuracy = best.spread([100 * value for value in best.values(setting, "test/accuracy")], 2)
        shown = f"{strength:g}" if decay in STRONG else ""
        loss = best.spread(best.values(setting, "test/loss"), 4)
        print(f"| {TITLES[decay]:<12} | {rate:.3f} | {shown:>8} | {accuracy:>17} | {loss:>17} |")
    draw(found, options.output)
    print(f"\n{found.runs} runs; drawn in {options.output}")
    yield from findings(found)


def findings(found: best.Best) -> Iterator[claims.Finding]:
    """What the lecture says, and whether it is so."""
    constant = found.settings["none"]
    decays = {decay: setting.mean for decay, setting in found.settings.items() if decay != "none"}
    lower = [decay for decay, loss in decays.items() if loss < constant.mean]
    yield claims.Finding(
        "a decay is better than the best rate without one",
        len(lower) == len(decays),
        f"{len(lower)} of {len(decays)} decays have a lower test loss, the best of them "
        f"{constant.mean / min(decays.values()):.2f} times lower",
    )
    rates = {decay: setting.hyperparameters["learning_rate"] for decay, setting in found.settings.items()}
    yield claims.Finding(
        "a rate that is found without decay is a good one with it",
        min(rate for decay, rate in rates.items() if decay != "none") <= 2 * rates["none"],
        f"the best rate is {rates['none']:.2g} without decay, and with one "
        + ", ".join(f"{rate:.2g}" for decay, rate in rates.items() if decay != "none"),
    )


def draw(found: best.Best, path: Path) -> None:
    """The loss against the rate without decay and with it, and the curves at each one's best rate."""
    figure = Figure(figsize=(13.5, 3.8), layout="constrained")
    against, rates, training, testing = figure.subplots(1, 4)
    for decay, setting in found.settings.items():
        style: dict[str, Any] = {"color": COLOURS[decay], "label": TITLES[decay], "linewidth": 1.6}
        against.plot(*found.by_rate(decay), marker=".", **style)
        best.plot(rates, setting, "train/learning_rate", **style)
        best.plot(training, setting, "train/loss", **style)
        best.plot(testing, setting, "test/loss", marker=".", **style)
    against.set(xscale="log", yscale="log", xlabel="learning rate at the start", title="validation loss, best strength")
    against.grid(alpha=0.3)
    rates.set(yscale="log", ylim=(1e-4, None), title="learning rate, each at its best")
    training.set(yscale="log", title="training loss")
    testing.set(yscale="log", title="test loss")
    against.legend(title="decay", fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    claims.command(main, Options)
