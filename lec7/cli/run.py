"""`lec7 run`: train an experiment, or go on with a run."""

from __future__ import annotations

import dataclasses
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lec7.cli.build import Many, build, rebuild, refuse_sweep
from lec7.cli.distributed import Distributed, connect, together
from lec7.cli.hardware import Hardware, hardware_of, make_devices
from lec7.cli.options import read, read_with_hyperparameters, refuse_others
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.ensemble import Ensemble
    from lec7.experiment import Experiment, ExperimentFile, MakeWriter, Outcome, RunFolder

DIVERGED = 3
AFRESH = ("mesh", "examples", *(field.name for field in dataclasses.fields(Distributed)))
"""Options that may be others when a run is resumed: they change no number but by rounding."""


@dataclass(frozen=True)
class Trained:
    """Where the run goes, who is told, and how many models it trains."""

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
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Tell this project of Weights & Biases the log as well (extra wandb); its variables, as WANDB_MODE, hold."""


@dataclass(frozen=True)
class Options(Distributed, Hardware, Trained):
    """Where the run goes, how many models it trains, on what, and as which of several processes."""


@dataclass(frozen=True)
class Usage(Options):
    """Where the run goes, how many models it trains, on what, as which of several processes, and what is run."""

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
    if "--resume" in asked:
        refuse_others(Usage, arguments, "for other hyperparameters begin a run: lec7 run EXPERIMENT.py")
    usage = read(Usage, arguments, "run", "Train an experiment, or go on with a run.")
    if usage.new_averages and usage.resume is None:
        raise InputError("--new-averages is for --resume RUN, expected the folder of a run to go on with")
    if usage.resume is None:
        given = f" and not {usage.experiment}" if usage.experiment else ""
        raise InputError(f"expected an experiment, a Python file, as in lec7 run experiments/digits.py{given}")
    asked_anew = {name: getattr(usage, name) for name in AFRESH if getattr(usage, name) != getattr(Usage, name)}
    if dataclasses.replace(usage, resume=None, new_averages=False) != Usage(**asked_anew):
        raise InputError(
            f"--resume {usage.resume} goes on with that run as it is and where it is: give nothing else, but for "
            "--new-averages, and where it runs: --mesh, --examples, and --distributed with what belongs to it"
        )
    return _resume(usage, asked_anew)


def _start(path: Path, arguments: list[str]) -> int:
    from lec7 import experiment
    from lec7.experiment.weights_and_biases import check_installed

    file = experiment.load(path)
    options, hp = read_with_hyperparameters(file, Options, Usage, arguments, "run")
    if options.wandb is not None:
        check_installed()
    prepare(options)
    return begin(file, options, hp, path.stem)[0]


def begin(
    file: ExperimentFile, options: Options, hp: Any, stem: str, more: Mapping[str, Any] | None = None
) -> tuple[int, RunFolder, Experiment | Ensemble]:
    """Trains in the folder of a new run, called `stem` and a number, with `more` in its configuration.

    Returns:
        The exit code, the folder, and what was trained.
    """
    from lec7 import data, experiment, tree
    from lec7.experiment.folder import describe
    from lec7.train.processes import on_first

    many, hardware = Many(options.members, options.chunk), hardware_of(vars(options))
    built = build(file, hp, many, hardware, say=tell)
    # The latest two checkpoints, the best one and one being written; and room for the logs.
    import jax

    needed = 4 * tree.nbytes(jax.eval_shape(built.init)) + 20_000_000

    def make() -> str:
        made = experiment.RunFolder.create(options.workdir, options.name, stem, options.overwrite, needed)
        settings = many._asdict() | dataclasses.asdict(hardware)
        settings["data"] = {"train": data.describe(built.train), "test": data.describe(built.test)}
        if options.wandb is not None:  # kept, so that it is the same run there when it goes on
            settings["wandb"] = {"project": options.wandb, "id": secrets.token_hex(4)}
        made.write("config.json", describe(file, hp) | settings | dict(more or {}))
        return str(made.path)

    folder = experiment.RunFolder(Path(on_first(make)))
    return _run(built, folder), folder, built


def _resume(usage: Usage, asked_anew: Mapping[str, Any]) -> int:
    from lec7 import experiment, report
    from lec7.experiment.weights_and_biases import check_installed

    assert usage.resume is not None
    path, averages = usage.resume, not usage.new_averages
    folder = experiment.RunFolder(path)
    refuse_sweep(folder.config, path)
    result = folder.result
    if result and result["status"] == "finished":
        if not (path / "curves.png").exists():  # it was killed ahead of its picture
            report.curves(folder)
        none = "" if averages else "; no new averages were begun"
        print(f"{path} is finished, at step {result['step']}{none}; lec7 eval {path} evaluates it")
        return 0
    if "wandb" in folder.config:
        check_installed()
    hardware = hardware_of({**folder.config, **asked_anew})
    prepare(dataclasses.replace(usage, mesh=hardware.mesh))
    return _run(rebuild(folder, hardware, say=tell), folder, resume=True, averages=averages)


def prepare(options: Options) -> None:
    """What has to be done before JAX has made its devices."""
    make_devices(options.mesh, options.processes or 1)
    connect(options)


def tell(text: str) -> None:
    """Says it once, whatever the number of processes."""
    from lec7.train.processes import is_first

    if is_first():
        print(text, flush=True)


def _run(built: Experiment | Ensemble, folder: RunFolder, **resuming: bool) -> int:
    import jax

    from lec7 import experiment
    from lec7.cli.progress import watch
    from lec7.train.processes import is_first

    several = " --distributed" if jax.process_count() > 1 else ""
    command = f"lec7 run --resume {shlex.quote(str(folder.path))}{several}"
    again = f"go on with: {command}"
    try:
        with together(command), watch(quiet=not is_first()) as observer:
            outcome = experiment.run(built, folder, observer, **resuming, writers=_writers(folder, observer.say))
        if is_first():
            from lec7 import report  # Matplotlib takes a while, for which training need not wait

            report.curves(folder)
    except OSError as error:
        raise InputError(f"{folder.path} can't be written: {error.strerror or error}; when it can, {again}") from error
    if is_first():
        print(summary(outcome, folder))
        if outcome.status == "interrupted":
            print(f"stopped at step {outcome.step}, saved; {again}")
    if outcome.status == "interrupted":
        return 128 + (outcome.signal or 0)
    return DIVERGED if outcome.status == "diverged" else 0


def _writers(folder: RunFolder, say: Callable[[str], None]) -> list[MakeWriter]:
    """Who else is told the log, as the run's configuration says."""
    from lec7.experiment.weights_and_biases import WeightsAndBiases

    settings = folder.config.get("wandb")
    return [partial(WeightsAndBiases, say=say, **settings)] if settings else []


def summary(outcome: Outcome, folder: RunFolder) -> str:
    """How a run ended, in a line or two."""
    from lec7.cli.progress import tested

    figures = tested(outcome.metrics)
    told = f"\ntest: {figures}" if figures else ""
    ended = f"{outcome.status} at step {outcome.step}" + (f": {outcome.message}" if outcome.message else "")
    return f"{ended}, after {outcome.seconds:.1f} s, in {folder.path}{told}"
