"""Augmentations on small training sets: none, each alone, and the best together, on 1,000 digits and 1,000 garments.

    .venv/bin/python experiments/augmentation.py                  tries all of them and prints a table, in some minutes
    lec7 run experiments/augmentation.py --use random_crop rotate trains with some of them

Images, network and training are those of experiments/regularization.py, without any regularizer.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import claims
import jax
from regularization import Effort, Regularization, Training, accuracies, head, images, row, worth
from regularization import experiment as plain

from lec7 import augment, data, train
from lec7.errors import InputError
from lec7.experiment import Experiment

Augmentation = Literal[
    "mirror",
    "random_crop",
    "translate",
    "rotate",
    "stretch",
    "shear",
    "lens",
    "elastic",
    "brightness",
    "erase",
    "randaugment",
    "trivialaugment",
    "mixup",
    "cutmix",
]


@dataclass(frozen=True)
class Augmented(Training):
    """Hyperparameters. Floats can be swept inside one compiled program."""

    use: tuple[Augmentation, ...] = ()
    """What augments, in this order."""
    degrees: float = 12.0
    """How far an image turns at most."""
    shear: float = 0.2
    """How far it slants at most."""
    shift: float = 0.08
    """How far it moves at most, as a part of its size."""
    lens: float = 0.2
    """How strong a lens is at most."""
    elastic: float = 0.7
    """Standard deviation of the ways that points go, in pixels."""
    brightness: float = 0.4
    """How far brightness changes from 1 at most."""
    magnitude: float = 9.0
    """RandAugment's, from 0 to 30."""
    alpha: float = 0.4
    """Of mixup's Beta distribution."""


def build(hp: Augmented) -> Experiment:
    """The experiment of these hyperparameters."""
    own = images(hp.images)
    return experiment(hp, hp.seed, own.train, own.test)


def experiment(
    hp: Augmented, seed: int | jax.Array, examples: data.ArraySource, others: data.ArraySource
) -> Experiment:
    """The same with examples of any kind."""
    operations = {
        "mirror": lambda: augment.mirror(),
        "random_crop": lambda: augment.random_crop(28, pad=2),
        "translate": lambda: augment.translate(hp.shift),
        "rotate": lambda: augment.rotate(hp.degrees),
        "stretch": lambda: augment.stretch(1.2),
        "shear": lambda: augment.shear(hp.shear),
        "lens": lambda: augment.lens(hp.lens),
        "elastic": lambda: augment.elastic(hp.elastic, spacing=7),
        "brightness": lambda: augment.brightness(hp.brightness),
        "erase": lambda: augment.sometimes(augment.erase(), 0.5),
        "randaugment": lambda: augment.randaugment(2, hp.magnitude),
        "trivialaugment": lambda: augment.trivialaugment(),
    }
    mixtures = {"mixup": lambda: augment.mixup(hp.alpha), "cutmix": lambda: augment.cutmix()}
    chosen = [operations[name]() for name in hp.use if name in operations]
    mixed = [mixtures[name]() for name in hp.use if name in mixtures]
    if len(mixed) > 1:
        raise InputError("--use has mixup and cutmix, of which one mixes what the other has mixed; choose one")
    base = Regularization(learning_rate=hp.learning_rate, steps=hp.steps, batch_size=hp.batch_size)
    more = augment.on_batch(augment.pipeline(*chosen), mixed[0] if mixed else None, classes=10)
    return replace(plain(replace(base, seed=seed), examples, others), augment=more if hp.use else None)


Row = Literal["none", Augmentation, "together"]
TITLES = {
    "random_crop": "crop of 4 pixels' padding",
    "randaugment": "RandAugment",
    "trivialaugment": "TrivialAugment",
    "cutmix": "CutMix",
}
"""What rows are called in the table, where not by their names."""
QUICK: tuple[Row, ...] = ("none", "mirror", "together")
"""Rows of a quick trial."""
TOGETHER: tuple[Augmentation, ...] = ("random_crop", "rotate", "stretch")


@dataclass(frozen=True)
class Options(Effort):
    """What to try, and how long."""

    together: tuple[Augmentation, ...] = TOGETHER
    """What the last row has."""
    only: tuple[Row, ...] = ()
    """Rows to print, by the names that `--use` has; all by default."""


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table, in Markdown."""
    train.device_per_core()
    options = options.settled()
    alone = {name: (name,) for name in get_args(Augmentation)}
    rows: dict[Row, tuple[Augmentation, ...]] = {"none": (), **alone, "together": options.together}
    if unknown := set(options.only) - set(rows):
        raise InputError(f"--only has {min(unknown)!r}, expected some of {', '.join(map(repr, rows))}")
    print(head("augmentation", options.judge))
    found = {}
    for name in options.only or (QUICK if options.quick else rows):
        begun, title = time.perf_counter(), TITLES.get(name, name)
        hp = Augmented(use=rows[name], steps=options.steps)
        found[title] = accuracies(partial(experiment, hp), options.replicates, options.judge)
        print(row(title, found[title], time.perf_counter() - begun), flush=True)
    if "together" in found:
        print(f"\nTogether: {', '.join(options.together)}.")
    if "none" in found and len(found) > 1:
        yield from worth(found, "none", "every augmentation")


if __name__ == "__main__":
    claims.command(main, Options)
