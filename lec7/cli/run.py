"""`lec7 run`: train an experiment, or go on with a run."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lec7.cli.options import read
from lec7.errors import InputError

DIVERGED = 3


@dataclass(frozen=True)
class Options:
    """Where the run goes."""

    file: tyro.conf.Positional[Path]
    """The experiment: a Python file with build(hp)."""
    workdir: Path = Path("runs")
    """Folder of the runs."""
    name: str | None = None
    """The run's name; by default the experiment's name and a number."""
    overwrite: bool = False
    """Replace a run of this name."""


@dataclass(frozen=True)
class Resume:
    """What to go on with."""

    resume: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Folder of the run to go on with, from its newest checkpoint."""


def main(arguments: list[str]) -> int:
    """Trains; the exit code tells how it ended."""
    if any(word.split("=")[0] == "--resume" for word in arguments):
        return _resume(read(Resume, arguments, "run", "Go on with a run exactly where it stopped.").resume)
    path = next((Path(word) for word in arguments if word.endswith(".py")), None)
    if path is None:
        read(
            Options,
            arguments,
            "run",
            "Train an experiment: lec7 run EXPERIMENT.py, or go on with a run: --resume RUN.",
        )
        raise InputError(
            f"no experiment in {shlex.join(arguments)!r}; expected a Python file: lec7 run experiments/digits.py"
        )
    return _start(path, arguments)


def _start(path: Path, arguments: list[str]) -> int:
    from lec7 import experiment
    from lec7.experiment.folder import describe
    from lec7.train.checkpoints import size

    file = experiment.load(path)
    options, hp = _read(file, arguments)
    built = experiment.instantiate(file, hp)
    # The latest two checkpoints, the best one and one being written; and room for the logs.
    import jax

    needed = 4 * size(jax.eval_shape(built.init)) + 20_000_000
    folder = experiment.RunFolder.create(options.workdir, options.name, path.stem, options.overwrite, needed)
    folder.write("config.json", describe(file, hp))
    return _run(built, folder, resume=False)


def _resume(path: Path) -> int:
    from lec7 import experiment

    folder = experiment.RunFolder(path)
    result = folder.result
    if result and result["status"] == "finished":
        print(f"{path} is finished, at step {result['step']}; lec7 eval {path} evaluates it")
        return 0
    return _run(rebuild(folder), folder, resume=True)


def rebuild(folder):
    """The experiment of a run, from its `config.json`; refuses a file that has changed since."""
    from lec7 import experiment

    config = folder.config
    file = experiment.load(Path(config["experiment"]))
    if file.sha256 != config["sha256"]:
        raise InputError(
            f"{file.path} has changed since {folder.path} was made (commit {config['git_commit']}); "
            "put it back as it was, or start a new run"
        )
    return experiment.instantiate(file, file.restore(config["hyperparameters"]))


def _run(built, folder, *, resume: bool) -> int:
    from lec7 import experiment, report
    from lec7.cli.progress import watch

    with watch(built.batch_size) as observer:
        outcome = experiment.run(built, folder, observer, resume=resume)
    report.curves(folder)
    print(summary(outcome, folder))
    if outcome.status == "interrupted":
        print(f"stopped at step {outcome.step}, saved; go on with: lec7 run --resume {shlex.quote(str(folder.path))}")
        return 128 + (outcome.signal or 0)
    return DIVERGED if outcome.status == "diverged" else 0


def summary(outcome, folder) -> str:
    """How a run ended, in a line or two."""
    figures = ", ".join(f"{name.removeprefix('test/')} {value:.4f}" for name, value in outcome.metrics.items())
    ended = f"{outcome.status} at step {outcome.step}" + (f": {outcome.message}" if outcome.message else "")
    tested = f"\ntest: {figures}" if figures else ""
    return f"{ended}, after {outcome.seconds:.1f} s, in {folder.path}{tested}"


def _read(file, arguments: list[str]):
    """The options of the command and the hyperparameters of the file, out of one command line."""
    taken = {field.name for field in dataclasses.fields(Options)} | {"resume"}
    for field in dataclasses.fields(file.hyperparameters):
        if field.name in taken:
            raise InputError(
                f"hyperparameter {field.name!r} in {file.path} is an option of lec7 run; call it otherwise"
            )
    both = dataclasses.make_dataclass("Both", [("options", Options), ("hyperparameters", file.hyperparameters)])
    description = (file.build.__globals__.get("__doc__") or "").strip()
    read_ = read(both, arguments, "run", description)
    return read_.options, read_.hyperparameters
