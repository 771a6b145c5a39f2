"""An MLP on handwritten digits, to start from. `--help` shows this text, so say here what the experiment is about.

An experiment file has two parts: a dataclass of hyperparameters, which become options of the command line, and a
function `build`, which makes the experiment of them. Everything else is up to you.
"""

from dataclasses import dataclass

import optax

from lec7 import averaging, data, losses, models, optim, schedules
from lec7.experiment import Experiment


# A hyperparameter is a field with a type and a default: a number, a text, a bool, None, or a tuple of these. The text
# below it is what --help says. Any of them may be swept. Floats and the seed go through one compiled program, however
# many values there are; each value of another field (width, steps) makes a program of its own.
@dataclass(frozen=True)
class Hyperparameters:
    """What can be set from outside."""

    learning_rate: float = 3e-3
    """Adam's rate after the warm-up; half a cosine brings it to 0."""
    weight_decay: float = 1e-2
    """How much of the weights each step takes away, times the learning rate."""
    dropout: float = 0.2
    """Chance to drop a hidden unit."""
    ema_decay: float = 0.99
    """Decay of the parameters' moving average."""
    width: int = 128
    """Width of both hidden layers."""
    steps: int = 1000
    """Number of training steps."""
    batch_size: int = 128
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from: initial weights, the order of examples, dropout."""


def build(hp: Hyperparameters) -> Experiment:
    """The experiment of these hyperparameters."""
    # In a sweep this function is traced, and floats are no known numbers: calculate with them as you like, but don't
    # ask what they are. `if hp.dropout > 0` would make each dropout a program of its own.

    # Your data: two sources of arrays by name, a row an example. `inputs=` of the experiment says what the model sees,
    # which is the "image" unless told otherwise; the loss and the figures look for "label".
    #     train = data.ArraySource({"image": images, "label": labels})      arrays of NumPy or JAX
    #     train, test = data.split(train, held_out=1000)
    #     train = data.image_folder("FOLDER", side=64).source               FOLDER/cat/1.jpg, FOLDER/dog/1.jpg, ...
    # docs/scaling.md has sources that are read from disk while it trains.
    train, test = data.digits()

    # Your model: any Flax NNX module (models.from_nnx), Flax Linen module (models.from_linen), or a plain pair of
    # functions (models.Model). An NNX module whose __call__ has an argument `key` gets noise in training.
    model = models.from_nnx(lambda rngs: models.MLP(64, (hp.width, hp.width), 10, keep=1 - hp.dropout, rngs=rngs))

    # Your loss: from the model's outputs and a batch to values for each example, of which "loss" is minimized. What
    # else is in there is logged and evaluated under its name.
    #     def loss(outputs, batch):
    #         error = outputs[:, 0] - batch["target"]
    #         return {"loss": error**2, "absolute_error": abs(error)}
    loss = losses.cross_entropy

    # Your optimizer: any Optax transformation. An average of the parameters goes last in the chain; then the evaluation
    # tells figures of it, as test/accuracy, and of the parameters as they are, as test_raw/accuracy.
    # The monitor logs norms of gradients and updates, which `lec7 report` draws.
    rate = schedules.warmup(schedules.cosine(hp.learning_rate, hp.steps), 50)
    optimizer = optim.monitor(optax.chain(optim.adamw(rate, weight_decay=hp.weight_decay), averaging.ema(hp.ema_decay)))

    return Experiment(
        model=model,
        loss=loss,
        optimizer=optimizer,
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=50,  # steps from one row of the log to the next
        evaluate_every=250,  # steps from one evaluation, and checkpoint, to the next
    )
