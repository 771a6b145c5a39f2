"""Fine-tunes a pretrained network for new images, as the lecture's table plans it.

What the plan freezes from the images on is computed once and kept; what is trained begins at the linear classifier
that is solved for on top of it. This is the experiment file of `lec7 transfer`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from lec7 import augment, data, losses, optim, transfer
from lec7.augment import Preprocessing
from lec7.errors import InputError, nearest
from lec7.experiment import Experiment
from lec7.models import Model, Variables
from lec7.typing import Batch

EPOCHS = 10
"""Passes over the examples, where stages are trained and `steps` says nothing else."""


@dataclass(frozen=True)
class FineTuning:
    """Hyperparameters."""

    data: str = ""
    """A folder with a folder of images for each class, or with train/ and test/ of such; or digits, mnist5k,
    fashion-mnist or photographs."""
    model: str = "efficientnet-lite0"
    """The pretrained network."""
    weights: str = ""
    """Its weights: a file, package:NAME/PATH or hf:OWNER/NAME; by default those of the family."""
    different: bool = False
    """The images are unlike photographs of things; --similar, the default, says that they are like them."""
    size: int = 0
    """Height and width of what the network sees, in pixels; 0 is what it was trained with."""
    at: str = ""
    """Stage that the classifier looks at, such as blocks/10; by default as the plan says."""
    train_from: str = ""
    """First stage that is trained; head: none but the classifier; by default as the plan says."""
    few: float = transfer.FEW
    """Examples per class below which there are few."""
    learning_rate: float = 1e-3
    """Of the classifier; what was pretrained has a tenth."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Statistics of the pretraining, or of the new images."""
    augment: bool = False
    """Mirror and shift the images of training; then nothing can be computed ahead."""
    steps: int = 0
    """Training steps; 0 is ten passes over the examples."""
    batch_size: int = 32
    """Examples a step."""
    held_out: float = 0.2
    """Share of each class to test with, where the data have no part for that."""
    seed: int = 0
    """Of which examples are held out, their order, and noise."""
    cache: str = ""
    """Folder of features that are computed once; by default ~/.cache/lec7/features."""


class Images(NamedTuple):
    """What to learn, and what a person may want to know of it."""

    train: data.ArraySource
    test: data.ArraySource
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Task(NamedTuple):
    """All that a fine-tuning is made of.

    Attributes:
        images: what to learn.
        inputs: what the network sees of a batch.
        plan: what is trained.
        probe: the linear classifier, and the network that it is the head of.
        below: the stage up to which the network is computed once; None where it is not.
        features: that stage's output, in place of the images.
    """

    images: Images
    inputs: Callable[[Batch], jax.Array]
    plan: transfer.Plan
    probe: transfer.Probe
    below: str | None
    features: Images


def build(hp: FineTuning) -> Experiment:
    """The experiment of these hyperparameters."""
    task = prepare(hp)
    model = task.plan.model(task.probe.model)
    if task.below is not None:
        model = transfer.rest(model, task.below)
    if task.plan.below == "pool":  # The classifier is all that there is to train, and it is solved for.
        optimizer, steps = optim.groups({".*": optim.frozen()}), 1
    else:
        optimizer = task.plan.optimizer()
        steps = hp.steps or EPOCHS * -(-len(task.images.train) // hp.batch_size)
    return Experiment(
        model=model,
        loss=losses.cross_entropy,
        optimizer=optimizer,
        train=task.features.train,
        test=task.features.test,
        steps=steps,
        batch_size=min(hp.batch_size, len(task.images.train)),
        seed=hp.seed,
        inputs=task.inputs if task.below is None else (lambda batch: batch["image"]),
        log_every=min(10, steps),
        evaluate_every=max(1, steps // 10),
        augment=augmentation(task.images) if hp.augment else None,
    )


@cache
def prepare(hp: FineTuning) -> Task:
    """Reads the images and the weights, plans, and solves for the linear classifier.

    Raises:
        InputError: something of it can't be used.
    """
    if not hp.data:
        raise InputError(f"--data is missing, expected a folder of images or one of {', '.join(NAMED)}")
    if hp.size < 0:
        raise InputError(f"--size is {hp.size}, expected height and width in pixels, or 0 for those of the pretraining")
    pretrained = transfer.pretrained(hp.model, hp.weights or None)
    preprocessing = preprocessing_of(hp)
    images = read(hp.data, preprocessing, float(hp.held_out), hp.seed)
    plan = transfer.plan(
        not hp.different,
        len(images.train) / len(images.classes),
        transfer.stages(pretrained.model),
        few=float(hp.few),
        learning_rate=float(hp.learning_rate),
        at=hp.at or None,
        train_from=hp.train_from or None,
        batch_norm=hp.batch_norm,
    )
    if hp.augment and plan.below == "pool":
        raise InputError(
            "--augment is for training, and here a linear classifier is solved for; name a stage to train from, such "
            f"as --train-from {plan.parts[-2].stage}"
        )

    def inputs(batch: Batch) -> jax.Array:
        return preprocessing(batch["image"])

    options: dict[str, Any] = {"inputs": inputs, "cache": hp.cache or transfer.cache_folder() / "features"}
    probe = transfer.linear_probe(
        pretrained.model, pretrained.variables, images.train, plan.at, classes=len(images.classes), **options
    )
    below = None if hp.augment else plan.below
    if below is None:
        return Task(images, inputs, plan, probe, below, images)

    def computed(source: data.ArraySource) -> data.ArraySource:
        found = transfer.features(probe.model, probe.variables, source, below, **options)
        return data.ArraySource({"image": found, "label": source.arrays["label"]})

    features = images._replace(train=computed(images.train), test=computed(images.test))
    return Task(images, inputs, plan, probe, below, features)


def preprocessing_of(hp: FineTuning) -> Preprocessing:
    """What is done to images."""
    preprocessing = transfer.FAMILIES[hp.model].preprocessing
    return replace(preprocessing, size=hp.size or preprocessing.size)


def read(name: str, preprocessing: Preprocessing, held_out: float, seed: int) -> Images:
    """The images of a folder, or of a data set by its name."""
    folder = Path(name)
    if folder.is_dir():
        return _of_folder(folder, round(preprocessing.size / preprocessing.crop), held_out, seed)
    if name not in NAMED:
        raise InputError(
            f"no folder {name}, and no data set of this name{nearest(name, list(NAMED))}; expected a folder with a "
            f"folder of images for each class, or one of {', '.join(NAMED)}"
        )
    train, test = NAMED[name][0]()
    return Images(train, test, NAMED[name][1])


def _of_folder(folder: Path, side: int, held_out: float, seed: int) -> Images:
    parts = [folder / part for part in ("test", "val", "validation") if (folder / part).is_dir()]
    if (folder / "train").is_dir() and parts:
        train = data.image_folder(folder / "train", side)
        test = data.image_folder(parts[0], side, classes=train.classes)
        return Images(train.source, test.source, train.classes, (*_notes(train), *_notes(test)))
    if not 0 < held_out < 1:
        raise InputError(f"held_out is {held_out}, expected a number in (0, 1): the share of each class to test with")
    found = data.image_folder(folder, side)
    rows = data.stratified(np.asarray(found.source.arrays["label"]), held_out, seed)
    train, test = (data.take(found.source, np.flatnonzero(which)) for which in (~rows, rows))
    return Images(train, test, found.classes, _notes(found))


def _notes(found: data.ImageFolder) -> tuple[str, ...]:
    """What was left out."""
    notes = []
    if found.broken:
        names = ", ".join(f"{path} ({reason})" for path, reason in found.broken[:5])
        notes.append(
            f"{len(found.broken)} broken images are left out: {names}{', ...' if len(found.broken) > 5 else ''}"
        )
    if found.others:
        names = ", ".join(str(path) for path in found.others[:5])
        notes.append(f"{len(found.others)} files that are no images are left out: {names}")
    return tuple(notes)


FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
DIGITS = tuple("0123456789")
NAMED: Mapping[str, tuple[Callable[[], tuple[data.ArraySource, data.ArraySource]], tuple[str, ...]]] = {
    "digits": (data.digits, DIGITS),
    "mnist5k": (data.mnist5k, DIGITS),
    "fashion-mnist": (data.fashion_mnist, FASHION),
    "photographs": (data.photographs, data.PHOTOGRAPHS),
}


def augmentation(images: Images) -> Callable[..., Batch]:
    """Mirrored images, shifted by up to what preprocessing cuts off."""
    side = images.train.arrays["image"].shape[1]
    return augment.on_batch(augment.pipeline(augment.mirror(), augment.random_crop(side, pad=max(1, side // 16))))


def network(hp: FineTuning, at: str, classes: int) -> tuple[Model, Variables]:
    """The network that a run trained, with places for its arrays: predictions need no weights but the run's own."""
    family = replace(transfer.FAMILIES[hp.model], preprocessing=preprocessing_of(hp))
    model, places = transfer.blank(family)
    if at == "pool":
        return transfer.replace_head(jax.random.key(0), model, places, classes)
    return transfer.shorten(model, places, at, classes, family.example)
