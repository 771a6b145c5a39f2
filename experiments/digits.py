"""Handwritten digits, 8x8 pixels: an MLP with batch norm and dropout, and a Polyak average of the parameters.

A thousand and a half small images train in seconds, so that this is the file to begin with: it runs anywhere.
"""

from dataclasses import dataclass

import optax

from lec7 import averaging, data, losses, models, optim, schedules
from lec7.experiment import Experiment


@dataclass(frozen=True)
class Digits:
    """Hyperparameters. Floats can be swept inside one compiled program."""

    optimizer: optim.Name = "adam"
    """Which of the lecture's optimizers. Those of second order want --batch-size 1437 and --dropout 0."""
    learning_rate: float = 3e-3
    """Its rate after the warm-up; half a cosine brings it to 0. SGD and momentum want ten times as much or more; the
    optimizers of second order find their steps themselves."""
    dropout: float = 0.3
    """Chance to drop a hidden unit."""
    ema_decay: float = 0.99
    """Decay of the parameters' moving average."""
    width: int = 256
    """Width of both hidden layers."""
    steps: int = 2000
    """Number of training steps."""
    batch_size: int = 128
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from."""


def build(hp: Digits) -> Experiment:
    """The experiment of these hyperparameters."""
    train, test = data.digits()
    model = models.from_nnx(lambda rngs: models.MLP(64, (hp.width, hp.width), 10, keep=1 - hp.dropout, rngs=rngs))
    rate = schedules.warmup(schedules.cosine(hp.learning_rate, hp.steps), 100)
    return Experiment(
        model=model,
        loss=losses.cross_entropy,
        optimizer=optax.chain(optim.by_name(hp.optimizer, rate), averaging.ema(hp.ema_decay)),
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=50,
        evaluate_every=250,
    )


if __name__ == "__main__":
    import claims

    claims.training(build, Digits, "an MLP tells 97 % of the digits right that it has not seen", accuracy=0.97)
