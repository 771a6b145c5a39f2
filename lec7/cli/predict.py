"""`lec7 predict`: what a fine-tuned network sees in images."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lec7.cli.options import read
from lec7.cli.tables import show
from lec7.errors import InputError


@dataclass(frozen=True)
class Options:
    """Which run, and which images."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of a run of lec7 transfer."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE")]
    """Image files."""
    top: int = 3
    """How many classes to tell of each."""


def main(arguments: list[str]) -> int:
    """Prints a table: the likeliest classes of each image."""
    options = read(Options, arguments, "predict", "Tell what a fine-tuned network sees in images.")
    import jax
    import numpy as np

    from lec7 import data, experiment, transfer
    from lec7.cli.transfer import check_run
    from lec7.transfer import Rule

    if not options.images:
        raise InputError("no image is given, expected files: lec7 predict RUN IMAGE ...")
    folder = experiment.RunFolder(options.run)
    config = folder.config
    check_run(config)
    steps = sorted(int(path.name) for path in folder.checkpoints_path.glob("*") if path.name.isdigit())
    if not steps:
        raise InputError(f"{folder.path} has no checkpoint yet; go on with: lec7 run --resume {folder.path}")

    file = experiment.load(Path(config["experiment"]))
    fine_tune = sys.modules[file.build.__module__]
    hp = file.restore(config["hyperparameters"])
    classes = config["classes"]
    model, places = fine_tune.network(hp, config["at"], len(classes))
    kept = transfer.load(folder.checkpoints_path / str(steps[-1]), item="state")
    rules = [Rule(r"params/(.*)", r"\1"), Rule(r"model_state/(.*)", r"\1"), Rule(".*", None)]
    variables, _ = transfer.graft(places, kept, rules)
    preprocessing = fine_tune.preprocessing_of(hp)
    side = round(preprocessing.size / preprocessing.crop)
    pixels = np.stack([data.read_image(path, side) for path in options.images])
    apply = jax.jit(lambda x: jax.nn.softmax(model.apply(variables, preprocessing(x), train=False)[0]))
    found = np.concatenate([np.asarray(apply(image[None])) for image in pixels])
    top = min(options.top, len(classes))
    show(
        f"{folder.path}, step {steps[-1]}",
        ("image", *(column for _ in range(top) for column in ("class", "chance#"))),
        (
            (str(path), *(text for k in np.argsort(-row)[:top] for text in (classes[k], f"{row[k]:.1%}")))
            for path, row in zip(options.images, found, strict=True)
        ),
    )
    return 0
