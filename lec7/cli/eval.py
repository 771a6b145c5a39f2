"""`lec7 eval`: evaluate a run's checkpoint on its test examples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lec7.cli.options import read
from lec7.cli.tables import show
from lec7.errors import InputError


@dataclass(frozen=True)
class Options:
    """Which run, and which of its checkpoints."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    checkpoint: str = "latest"
    """"latest", "best" or a step."""


def main(arguments: list[str]) -> int:
    """Prints a table of the figures."""
    options = read(Options, arguments, "eval", "Evaluate a run's checkpoint on its test examples.")
    import jax

    from lec7 import experiment
    from lec7.cli.run import rebuild
    from lec7.train.checkpoints import Checkpoints

    folder = experiment.RunFolder(options.run)
    built = rebuild(folder)
    if not folder.checkpoints_path.is_dir():
        raise InputError(f"{folder.path} has no checkpoint yet")
    with Checkpoints(folder.checkpoints_path) as checkpoints:
        restored = checkpoints.restore(jax.eval_shape(built.init), _step(options.checkpoint, checkpoints))
    for step, reason in restored.damaged.items():
        print(f"the checkpoint of step {step} is damaged ({reason}): evaluating the one before")
    figures = experiment.evaluate(built, restored.state)
    names = [name for name in figures if not name.endswith("_raw")]
    averaged = f"{names[0]}_raw" in figures
    kinds = {"averaged": "", "raw": "_raw"} if averaged else {"as they are": ""}
    show(
        f"{folder.path}, step {restored.step}, {len(built.test)} test examples",
        ("parameters", *(f"{name.removeprefix('test/')}#" for name in names)),
        ((kind, *(f"{figures[name + suffix]:.4f}" for name in names)) for kind, suffix in kinds.items()),
    )
    return 0


def _step(which: str, checkpoints) -> int | None:
    if which == "latest":
        return None
    if which == "best":
        return checkpoints.best
    if which.isdigit():
        return int(which)
    raise InputError(f'--checkpoint is {which!r}, expected "latest", "best" or a step of {checkpoints.steps}')
