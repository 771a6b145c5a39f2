"""`lec7 eval`: evaluate a run's checkpoint on its test examples."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lec7.cli.options import read
from lec7.cli.tables import number, show
from lec7.errors import InputError


@dataclass(frozen=True)
class Options:
    """Which run, and which of its checkpoints."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    checkpoint: str = "latest"
    """"latest", "best" or a step."""


def main(arguments: list[str]) -> int:
    """Prints a table: of averaged parameters and raw ones, of an ensemble together and of each member."""
    options = read(Options, arguments, "eval", "Evaluate a run's checkpoint on its test examples.")
    import jax

    from lec7 import ensemble, experiment
    from lec7.cli.build import rebuild
    from lec7.experiment.evaluation import not_begun
    from lec7.train.checkpoints import Checkpoints

    folder = experiment.RunFolder(options.run)
    built = rebuild(folder)
    none = InputError(f"{folder.path} has no checkpoint yet; go on with: lec7 run --resume {folder.path}")
    if not folder.checkpoints_path.is_dir():
        raise none
    with Checkpoints(folder.checkpoints_path) as checkpoints:
        if not checkpoints.steps:
            raise none
        restored = checkpoints.restore(jax.eval_shape(built.init), _step(options.checkpoint, checkpoints))
    for step, reason in restored.damaged.items():
        print(f"the checkpoint of step {step} is damaged ({reason}): evaluating the one before")
    lines = ensemble.report(built, restored.state)
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    if all(math.isclose(line.figures["loss"], line.figures.get("nll", math.nan), rel_tol=1e-5) for line in lines):
        names.remove("loss")  # cross-entropy is the very same
    many = len(lines) > len({line.parameters for line in lines})
    show(
        f"{folder.path}, step {restored.step}, {len(built.test)} test examples",
        (*["model"] * many, "parameters", *(f"{name}#" for name in names)),
        ((*[line.who] * many, line.parameters, *(number(line.figures.get(n)) for n in names)) for line in lines),
    )
    if missing := not_begun(restored.state):
        print(f"averages that have not begun at step {restored.step}: {', '.join(missing)}")
    return 0


def _step(which: str, checkpoints) -> int | None:
    if which == "latest":
        return None
    if which == "best":
        return checkpoints.best
    if which.isdigit():
        return int(which)
    raise InputError(f'--checkpoint is {which!r}, expected "latest", "best" or a step of {checkpoints.steps}')
