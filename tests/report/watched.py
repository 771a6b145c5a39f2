"""An experiment whose pages are tested, and a name and a value that would be markup if they were no texts."""

WATCHED = '''
"""A small classifier of digits, whose norms are watched by groups."""

from dataclasses import dataclass

import optax

from lec7 import averaging, data, losses, models, optim
from lec7.experiment import Experiment


@dataclass(frozen=True)
class Watched:
    learning_rate: float = 0.01
    """Of Adam."""
    width: int = 16
    """Of the hidden layer."""
    remark: str = ""
    """Says nothing to the model."""
    steps: int = 60
    """How many."""
    seed: int = 0
    """Of all."""


def build(hp: Watched) -> Experiment:
    train, test = data.digits()
    watched = optim.monitor(optim.adam(hp.learning_rate), groups={"head": "head/.*", "body": "linears/.*"})
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(64, (hp.width,), 10, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optax.chain(watched, averaging.ema(0.9)),
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=32,
        seed=hp.seed,
        log_every=10,
        evaluate_every=20,
    )
'''
HOSTILE = "<img src=x onerror=alert(1)>"
REMARK = "</script><script>alert(2)</script>{{ 7 * 7 }}"
