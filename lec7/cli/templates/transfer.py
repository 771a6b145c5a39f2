"""A pretrained network for a new task, to start from. `--help` shows this text: say what yours is about.

As it stands, a small CNN is pretrained on the digits 0 to 4, which takes seconds, and then learns 5 to 9 from a few
examples of each. With `--network efficientnet-lite0 --images FOLDER` it is a published network and images of yours.

An experiment file has two parts: a dataclass of hyperparameters, which become options of the command line, and a
function `build`, which makes the experiment of them. Everything else is up to you. `lec7 transfer` does more by itself
(it plans what to train, and computes once what is frozen); here each choice is yours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
import optax

from lec7 import averaging, data, losses, models, optim, schedules, train, transfer
from lec7.experiment import Experiment
from lec7.models import Model, Variables
from lec7.typing import Batch


# A hyperparameter is a field with a type and a default: a number, a text, a bool, None, or a tuple of these. The text
# below it is what --help says. Any of them may be swept. Floats and the seed go through one compiled program, however
# many values there are; each value of another field (network, steps) makes a program of its own.
@dataclass(frozen=True)
class Hyperparameters:
    """What can be set from outside."""

    network: str = "small"
    """The CNN that is pretrained here, or a family of docs/transfer.md, such as efficientnet-lite0 (extra efficientnet)
    or resnet18."""
    weights: str = ""
    """A family's weights: a file, package:NAME/PATH or hf:OWNER/NAME; by default those that are published."""
    images: str = ""
    """A folder with a folder of images for each class, of which a fifth is held out; by default the digits 5 to 9."""
    side: int = 64
    """Height and width of such images, in pixels."""
    examples_per_class: int = 10
    """Digits of each class to train on."""
    learning_rate: float = 1e-2
    """Adam's rate of the new head, at the start; half a cosine brings it to 0."""
    pretrained_rate: float = 0.1
    """What pretrained layers have of the head's rate: 0 freezes them, 1 makes no difference."""
    ema_decay: float = 0.9
    """Decay of the parameters' moving average."""
    steps: int = 200
    """Number of training steps."""
    batch_size: int = 32
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from: the order of examples, dropout."""


class Pretrained(NamedTuple):
    """A network that begins at its weights, these weights, and what it sees of a batch."""

    model: Model
    variables: Variables
    inputs: Callable[[Batch], jax.Array]


class Task(NamedTuple):
    """What is to be learned."""

    train: data.ArraySource
    test: data.ArraySource
    classes: int


def build(hp: Hyperparameters) -> Experiment:
    """The experiment of these hyperparameters."""
    # In a sweep this function is traced, and floats are no known numbers: calculate with them as you like, but don't
    # ask what they are. `if hp.pretrained_rate > 0` would make each rate a program of its own.
    network = small() if hp.network == "small" else published(hp.network, hp.weights)
    task = digits(hp.examples_per_class) if not hp.images else folder(hp.images, hp.side)

    # Surgery gives new models, which begin at the pretrained weights. The new head is all zeros: each class is as
    # probable as any. Batch norms keep the statistics of the pretraining, since few examples make bad ones.
    model, _ = transfer.replace_head(jax.random.key(0), network.model, network.variables, task.classes)
    model = transfer.freeze_statistics(model)

    # Which parameter gets what, by expressions over names such as "head/kernel"; the first that matches counts. With
    # optim.frozen() in place of the second, no gradients are computed for what is pretrained, which is faster than a
    # rate of 0. An average goes last: the evaluation tells figures of it, as test/accuracy, and of the parameters as
    # they are, as test_raw/accuracy.
    head = schedules.cosine(hp.learning_rate, hp.steps)
    rest = schedules.cosine(hp.learning_rate * hp.pretrained_rate, hp.steps)
    optimizer = optax.chain(
        optim.groups({"head/.*": optim.adam(head), ".*": optim.adam(rest)}), averaging.ema(hp.ema_decay)
    )
    return Experiment(
        model=model,
        loss=losses.cross_entropy,
        optimizer=optimizer,
        train=task.train,
        test=task.test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        inputs=network.inputs,
        log_every=25,  # steps from one row of the log to the next
        evaluate_every=50,  # steps from one evaluation, and checkpoint, to the next
    )


# What takes long is kept, for `build` is called again and again: by sweeps, by ensembles, by evaluations.
@cache
def small() -> Pretrained:
    """A small CNN that knows the digits 0 to 4."""
    source = _digits(range(5)).train
    model = models.from_nnx(lambda rngs: models.CNN((8, 8, 1), (16, 32), 64, 5, rngs=rngs))
    optimizer = optim.adam(3e-3)
    with jax.ensure_compile_time_eval():  # in a sweep as well, where `build` is traced
        state = train.init(jax.random.key(0), model, optimizer, source[:1]["image"])
        step = train.make_step(model, losses.cross_entropy, optimizer)
        for state, _ in train.fit(step, state, source, steps=200, batch_size=64, every=100):
            pass
    return Pretrained(transfer.start_from(model, state.variables), state.variables, train.image)


@cache
def published(name: str, weights: str) -> Pretrained:
    """A family's network, with its weights; each of them is accounted for."""
    network = transfer.pretrained(name, weights or None)
    return Pretrained(network.model, network.variables, network.inputs)


@cache
def digits(examples_per_class: int) -> Task:
    """The digits 5 to 9: a few of each to train on, and all of the test."""
    source, test, classes = _digits(range(5, 10))
    label = np.asarray(source.arrays["label"])
    rows = np.concatenate([np.flatnonzero(label == k)[:examples_per_class] for k in range(classes)])
    return Task(data.take(source, rows), test, classes)


def _digits(known: range) -> Task:
    """Those of some digits, which are counted from 0."""

    def those(source: data.ArraySource) -> data.ArraySource:
        image, label = (np.asarray(source.arrays[name]) for name in ("image", "label"))
        which = np.isin(label, known)
        return data.ArraySource({"image": image[which], "label": label[which] - known[0]})

    learn, test = map(those, data.digits())
    return Task(learn, test, len(known))


# Your data, if they are no folder of images: two sources of arrays by name, a row an example.
#     data.ArraySource({"image": images, "label": labels})
@cache
def folder(path: str, side: int) -> Task:
    """The images of a folder, a fifth of each class held out."""
    found = data.image_folder(path, side)
    held_out = data.stratified(np.asarray(found.source.arrays["label"]), 0.2, seed=0)
    learn, test = (data.take(found.source, np.flatnonzero(which)) for which in (~held_out, held_out))
    return Task(learn, test, len(found.classes))
