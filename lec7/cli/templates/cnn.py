"""A CNN on small images, which it sees shifted, to start from. `--help` shows this text: say what yours is about.

An experiment file has two parts: a dataclass of hyperparameters, which become options of the command line, and a
function `build`, which makes the experiment of them. Everything else is up to you.
"""

from dataclasses import dataclass
from typing import Literal

import optax

from lec7 import augment, averaging, data, losses, models, optim, schedules
from lec7.experiment import Experiment


# A hyperparameter is a field with a type and a default: a number, a text, a bool, None, or a tuple of these. The text
# below it is what --help says. Any of them may be swept. Floats and the seed go through one compiled program, however
# many values there are; each value of another field (channels, steps) makes a program of its own.
@dataclass(frozen=True)
class Hyperparameters:
    """What can be set from outside."""

    data: Literal["digits", "mnist5k", "fashion-mnist"] = "digits"
    """1,797 digits of 8x8 pixels, which are always there; 5,000 of 28x28 (extra mnist); or 70,000 garments of 28x28,
    from Debian's package dataset-fashion-mnist."""
    learning_rate: float = 4e-3
    """Adam's rate after the warm-up; half a cosine brings it to 0."""
    dropout: float = 0.1
    """Chance to drop a unit before and after the hidden layer."""
    ema_decay: float = 0.99
    """Decay of the parameters' moving average."""
    shift: int = 1
    """Images of training are shifted by up to so many pixels, to any side."""
    channels: tuple[int, ...] = (16, 32)
    """Output channels of the convolutions; each halves the image's height and width."""
    width: int = 128
    """Width of the hidden layer."""
    steps: int = 1000
    """Number of training steps."""
    batch_size: int = 128
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from: initial weights, the order of examples, shifts, dropout."""


# Your data: functions that give two sources of arrays by name, a row an example: an "image", as bytes or as floats in
# [0, 1], and a "label".
#     train = data.ArraySource({"image": images, "label": labels})      arrays of NumPy or JAX
#     train, test = data.split(train, held_out=1000)
#     train = data.image_folder("FOLDER", side=64).source               FOLDER/cat/1.jpg, FOLDER/dog/1.jpg, ...
# docs/scaling.md has sources that are read from disk while it trains.
DATA = {"digits": data.digits, "mnist5k": data.mnist5k, "fashion-mnist": data.fashion_mnist}
CLASSES = 10


def build(hp: Hyperparameters) -> Experiment:
    """The experiment of these hyperparameters."""
    # In a sweep this function is traced, and floats are no known numbers: calculate with them as you like, but don't
    # ask what they are. `if hp.dropout > 0` would make each dropout a program of its own.
    train, test = DATA[hp.data]()
    height, width, channels = train.arrays["image"].shape[1:]

    # Your model: any Flax NNX module (models.from_nnx), Flax Linen module (models.from_linen), or a plain pair of
    # functions (models.Model). An NNX module whose __call__ has an argument `key` gets noise in training. In one of
    # your own, convolutions with conv_general_dilated=models.convolution() are fast on CPUs as well.
    model = models.from_nnx(
        lambda rngs: models.CNN(
            (height, width, channels), hp.channels, hp.width, CLASSES, keep=1 - hp.dropout, rngs=rngs
        )
    )

    # Your loss: from the model's outputs and a batch to values for each example, of which "loss" is minimized. What
    # else is in there is logged and evaluated under its name.
    #     def loss(outputs, batch):
    #         error = outputs[:, 0] - batch["target"]
    #         return {"loss": error**2, "absolute_error": abs(error)}
    loss = losses.cross_entropy

    # Your optimizer: any Optax transformation. An average of the parameters goes last in the chain; then the evaluation
    # tells figures of it, as test/accuracy, and of the parameters as they are, as test_raw/accuracy. Its batch
    # statistics are recomputed for that, since those of training are of other parameters.
    # The monitor logs norms of gradients and updates, which `lec7 report` draws.
    rate = schedules.warmup(schedules.cosine(hp.learning_rate, hp.steps), 50)
    optimizer = optim.monitor(optax.chain(optim.adam(rate), averaging.ema(hp.ema_decay)))

    # Your augmentation: images of training are drawn anew at each step; those to test with stay as they are.
    # docs/augmentation.md lists the operations. One with a strength that is a float can be swept over it.
    pipeline = augment.pipeline(augment.random_crop((height, width), pad=hp.shift))

    return Experiment(
        model=model,
        loss=loss,
        optimizer=optimizer,
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        augment=augment.on_batch(pipeline),
        log_every=50,  # steps from one row of the log to the next
        evaluate_every=250,  # steps from one evaluation, and checkpoint, to the next
    )
