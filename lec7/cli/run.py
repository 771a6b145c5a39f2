"""`lec7 run`: train an experiment, or go on with a run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from lec7.cli.build import Many, build, rebuild, refuse_sweep
from lec7.cli.options import read, read_with_hyperparameters
from lec7.errors import InputError

DIVERGED = 3


@dataclass(frozen=True)
class Options:
    """Where the run goes, and how many models it trains."""

    workdir: Path = Path("runs")
    """Folder of the runs."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The run's name; by default the experiment's name and a number."""
    overwrite: bool = False
    """Replace a run of this name."""
    members: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Train N models that differ in their seed (from the given one on) in one program, and evaluate them as one."""
    chunk: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Members side by side on a device, while others wait; by default all, on a CPU, whose cores are devices, one."""


@dataclass(frozen=True)
class Usage(Options):
    """Where the run goes, how many models it trains, and what is run."""

    experiment: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="EXPERIMENT")] = None
    """A Python file with build(hp); lec7 run EXPERIMENT --help tells its hyperparameters, which are options too."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder of a run to go on with exactly where it stopped, in place of an experiment."""
    new_averages: bool = False
    """With --resume: averages and snapshots begin anew at the checkpoint, and count their steps from there."""


def main(arguments: list[str]) -> int:
    """Trains; the exit code tells how it ended."""
    files = [word for word in arguments if word.endswith(".py")]
    asked = {word.partition("=")[0].replace("_", "-") for word in arguments}
    if files and (resuming := asked & {"--resume", "--new-averages"}):
        raise InputError(
            f"{', '.join(sorted(resuming))} is to go on with a run, and {files[0]} begins one: give one or the other, "
            "as in lec7 run --resume RUN --new-averages"
        )
    if files:
        return _start(Path(files[0]), [word for word in arguments if word != files[0]])
    usage = read(Usage, arguments, "run", "Train an experiment, or go on with a run.")
    if usage.new_averages and usage.resume is None:
        raise InputError("--new-averages is for --resume RUN, expected the folder of a run to go on with")
    if usage.resume is None:
        given = f" and not {usage.experiment}" if usage.experiment else ""
        raise InputError(f"expected an experiment, a Python file, as in lec7 run experiments/digits.py{given}")
    if dataclasses.replace(usage, resume=None, new_averages=False) != Usage():
        raise InputError(
            f"--resume {usage.resume} goes on with that run as it is and where it is: give nothing else, "
            "but for --new-averages"
        )
    return _resume(usage.resume, averages=not usage.new_averages)


def _start(path: Path, arguments: list[str]) -> int:
    from lec7 import experiment

    file = experiment.load(path)
    options, hp = read_with_hyperparameters(file, Options, Usage, arguments, "run")
    return begin(file, options, hp, path.stem)[0]


def begin(file, options: Options, hp, stem: str, more: Mapping[str, Any] | None = None):
    """Trains in the folder of a new run, called `stem` and a number, with `more` in its configuration.

    Returns:
        The exit code, the folder, and what was trained.
    """
    from lec7 import experiment
    from lec7.experiment.folder import describe
    from lec7.train.checkpoints import size

    many = Many(options.members, options.chunk)
    built = build(file, hp, many)
    # The latest two checkpoints, the best one and one being written; and room for the logs.
    import jax

    needed = 4 * size(jax.eval_shape(built.init)) + 20_000_000
    folder = experiment.RunFolder.create(options.workdir, options.name, stem, options.overwrite, needed)
    folder.write("config.json", describe(file, hp) | many._asdict() | dict(more or {}))
    return _run(built, folder), folder, built


def _resume(path: Path, averages: bool) -> int:
    from lec7 import experiment

    folder = experiment.RunFolder(path)
    refuse_sweep(folder.config, path)
    result = folder.result
    if result and result["status"] == "finished":
        none = "" if averages else "; no new averages were begun"
        print(f"{path} is finished, at step {result['step']}{none}; lec7 eval {path} evaluates it")
        return 0
    return _run(rebuild(folder), folder, resume=True, averages=averages)


def _run(built, folder, **resuming: bool) -> int:
    from lec7 import experiment, report
    from lec7.cli.progress import watch

    again = f"go on with: lec7 run --resume {shlex.quote(str(folder.path))}"
    try:
        with watch() as observer:
            outcome = experiment.run(built, folder, observer, **resuming)
        report.curves(folder)
    except OSError as error:
        raise InputError(f"{folder.path} can't be written: {error.strerror or error}; when it can, {again}") from error
    print(summary(outcome, folder))
    if outcome.status == "interrupted":
        print(f"stopped at step {outcome.step}, saved; {again}")
        return 128 + (outcome.signal or 0)
    return DIVERGED if outcome.status == "diverged" else 0


def summary(outcome, folder) -> str:
    """How a run ended, in a line or two."""
    from lec7.cli.progress import tested

    figures = tested(outcome.metrics)
    ended = f"{outcome.status} at step {outcome.step}" + (f": {outcome.message}" if outcome.message else "")
    tested = f"\ntest: {figures}" if figures else ""
    return f"{ended}, after {outcome.seconds:.1f} s, in {folder.path}{tested}"
