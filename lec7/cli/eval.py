"""`lec7 eval`: evaluate a run's checkpoint on its test examples."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lec7.cli.options import read
from lec7.cli.tables import number, show


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
    from lec7 import ensemble, experiment
    from lec7.cli.build import rebuild, restored
    from lec7.experiment.evaluation import not_begun

    folder = experiment.RunFolder(options.run)
    built = rebuild(folder)
    found = restored(folder, built, options.checkpoint)
    for step, reason in found.damaged.items():
        print(f"the checkpoint of step {step} is damaged ({reason}): evaluating the one before")
    lines = ensemble.report(built, found.state)
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    if all(math.isclose(line.figures["loss"], line.figures.get("nll", math.nan), rel_tol=1e-5) for line in lines):
        names.remove("loss")  # cross-entropy is the very same
    many = len(lines) > len({line.parameters for line in lines})
    show(
        f"{folder.path}, step {found.step}, {len(built.test)} test examples",
        (*["model"] * many, "parameters", *(f"{name}#" for name in names)),
        ((*[line.who] * many, line.parameters, *(number(line.figures.get(n)) for n in names)) for line in lines),
    )
    if missing := not_begun(found.state):
        print(f"averages that have not begun at step {found.step}: {', '.join(missing)}")
    return 0
