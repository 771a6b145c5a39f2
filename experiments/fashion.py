"""Fashion-MNIST, whole: a small CNN with batch norm and dropout, three epochs to more than 91 %.

The images come from Debian's package dataset-fashion-mnist, or from any folder that holds the four IDX files; with
--data tfds from a data set of TensorFlow Datasets, read while it trains (scripts/prepare_fashion_mnist.py writes it).
"""

from dataclasses import dataclass
from typing import Literal

import optax

from lec7 import averaging, data, losses, models, optim, schedules
from lec7.experiment import Experiment


@dataclass(frozen=True)
class Fashion:
    """Hyperparameters. Floats can be swept inside one compiled program."""

    learning_rate: float = 4e-3
    """Adam's rate after the warm-up; half a cosine brings it to 0."""
    dropout: float = 0.1
    """Chance to drop a unit before and after the hidden layer."""
    ema_decay: float = 0.99
    """Decay of the parameters' moving average."""
    steps: int = 1407
    """Number of training steps; 1407 of 128 examples are three epochs."""
    batch_size: int = 128
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from."""
    data: Literal["idx", "tfds"] = "idx"
    """Where the images are: in IDX files, and all on the device; or on disk as TFDS has them, and read when needed."""
    directory: str = ""
    """Folder of the IDX files, by default that of Debian's package; or of TFDS's data sets, by default its own."""


def build(hp: Fashion) -> Experiment:
    """The experiment of these hyperparameters."""
    if hp.data == "tfds":
        train, test = (data.tfds("fashion_mnist", split, hp.directory or None) for split in ("train", "test"))
    else:
        train, test = data.fashion_mnist(hp.directory or None)
    model = models.from_nnx(lambda rngs: models.CNN((28, 28, 1), (32, 64), 256, 10, keep=1 - hp.dropout, rngs=rngs))
    rate = schedules.warmup(schedules.cosine(hp.learning_rate, hp.steps), 50)
    return Experiment(
        model=model,
        loss=losses.cross_entropy,
        optimizer=optax.chain(optim.adam(rate), averaging.ema(hp.ema_decay)),
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=20,
        evaluate_every=469,
    )


if __name__ == "__main__":
    import claims

    claims.training(build, Fashion, "a small CNN tells 91 % of the garments right after three epochs", accuracy=0.91)
