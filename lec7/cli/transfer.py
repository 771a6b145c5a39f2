"""`lec7 transfer`: from a folder of labelled images to a fine-tuned network, its evaluation and a report."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lec7.cli import run
from lec7.cli.options import read
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.cli.fine_tune import Task
    from lec7.experiment import Experiment, RunFolder


@dataclass(frozen=True)
class Options:
    """Where the run goes."""

    workdir: Path = Path("runs")
    """Folder of the runs."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The run's name; by default the data's name and a number."""
    overwrite: bool = False
    """Replace a run of this name."""


def main(arguments: list[str]) -> int:
    """Fine-tunes, evaluates and reports; the exit code tells how it ended."""
    from lec7 import experiment
    from lec7.experiment.file import as_float32
    from lec7.experiment.folder import taken

    if {"--similar", "--different"} <= set(arguments):
        raise InputError("--similar and --different say the opposite of each other: give one of them")
    file = experiment.load(Path(__file__).with_name("fine_tune.py"))
    fine_tune = sys.modules[file.build.__module__]
    both = dataclasses.make_dataclass("Both", [("run", Options), ("hyperparameter", file.hyperparameters)])
    given = read(both, [word for word in arguments if word != "--similar"], "transfer", fine_tune.__doc__ or "")
    options, hp = given.run, given.hyperparameter
    # Features take minutes to compute.
    if options.name is not None and not options.overwrite and (there := options.workdir / options.name).exists():
        raise taken(there)
    if Path(hp.data).is_dir() and hp.data:
        hp = dataclasses.replace(hp, data=str(Path(hp.data).resolve()))
    if hp.weights and Path(hp.weights).exists():
        hp = dataclasses.replace(hp, weights=str(Path(hp.weights).resolve()))

    task = fine_tune.prepare(as_float32(hp))
    images = task.images
    print(f"{len(images.train)} images to train on and {len(images.test)} to test with, {len(images.classes)} classes")
    for note in images.notes:
        print(note)
    print(f"\n{task.plan}\n\nThe linear classifier, on {task.plan.at}, chosen on a fifth of the examples:")
    print(f"{task.probe.linear}\n", flush=True)

    settings = run.Options(options.workdir, options.name, options.overwrite)
    more = {"classes": list(images.classes), "at": task.plan.at}
    code, folder, built = run.begin(file, settings, hp, Path(hp.data).name, more)
    if code == 0:
        assert isinstance(built, experiment.Experiment)
        report(folder, built, task)
        print(f"report: {folder.path / 'report.md'}\npredict with: lec7 predict {folder.path} IMAGE")
    return code


def report(folder: RunFolder, built: Experiment, task: Task) -> None:
    """Writes the report of a finished run, and prints the confusion matrix."""
    import jax
    import numpy as np

    from lec7 import report, transfer
    from lec7.cli.tables import show
    from lec7.train.checkpoints import Checkpoints

    with Checkpoints(folder.checkpoints_path) as checkpoints:
        state = checkpoints.restore(jax.eval_shape(built.init)).state
    logits = transfer.features(built.model, state.variables, built.test, "head", inputs=built.inputs)
    judged = report.Judged(
        np.asarray(jax.nn.softmax(logits)), np.asarray(task.images.test.arrays["label"]), task.images.classes
    )
    if len(judged.classes) <= MOST_CLASSES:
        right = judged.confusion.diagonal() / judged.confusion.sum(1).clip(1)
        show(
            "confusion matrix: rows are true classes, columns what was said",
            ("", *(f"{name}#" for name in judged.classes), "right#"),
            (
                (name, *map(str, row), f"{share:.1%}")
                for name, row, share in zip(judged.classes, judged.confusion, right, strict=True)
            ),
        )
    report.transfer(folder, judged, np.asarray(task.images.test.arrays["image"]), str(task.plan))


MOST_CLASSES = 20
"""Of a matrix that is printed; the picture has all."""


def check_run(config: Mapping[str, Any]) -> None:
    """Refuses a run that is none of `lec7 transfer`."""
    if "classes" not in config:
        raise InputError(f"{config['experiment']} is no fine-tuned network; predictions need a run of lec7 transfer")
