"""`lec7 sweep`: many runs of one experiment as one compiled program."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.prompt import Confirm

from lec7.cli.distributed import Distributed, connect
from lec7.cli.options import read, read_with_hyperparameters, refuse_others
from lec7.cli.run import DIVERGED
from lec7.errors import InputError, nearest

if TYPE_CHECKING:
    from lec7.experiment import ExperimentFile, RunFolder
    from lec7.sweep import Results


@dataclass(frozen=True)
class Swept:
    """Where the sweep goes, what is drawn of it, and how it runs."""

    workdir: Path = Path("runs")
    """Folder of the runs."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The sweep's name; by default the experiment's name, -sweep and a number."""
    overwrite: bool = False
    """Replace a run or a sweep of this name."""
    random: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Draw N settings, each with all seeds, in place of the whole grid; log:LOW:HIGH and lin:LOW:HIGH need no count."""
    sampler: Literal["random", "tpe"] = "random"
    """How they are drawn: independently, or where Optuna's TPE expects the best."""
    sampler_seed: int = 0
    """Of the draws."""
    batch: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """With tpe: settings that are drawn before it is told how they did."""
    halving: Annotated[float | None, tyro.conf.arg(metavar="ETA")] = None
    """Successive halving: at every rung one of ETA settings goes on."""
    metric: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What settings are judged by; by default test/accuracy, or else test/loss."""
    direction: Literal["minimize", "maximize"] | None = None
    """Whether little or much of it is good; by default as its name says."""
    lanes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Lanes side by side on a device; by default as many as measuring tells. On a CPU cores are devices."""
    programs: Annotated[int, tyro.conf.arg(metavar="N")] = 32
    """Programs that may be compiled: every value of a field that is no float or seed makes its own."""


@dataclass(frozen=True)
class Options(Distributed, Swept):
    """The same, and which process this is; each of several trains its share of the lanes."""


@dataclass(frozen=True)
class Usage(Options):
    """Where the sweep goes, what is drawn of it, how it runs, and what is swept."""

    experiment: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="EXPERIMENT")] = None
    """A Python file with build(hp). Its hyperparameters are options; several values of one are what is swept:
    --learning-rate log:1e-4:1e-1:16 --dropout 0.3,0.5 --seed 0:4 --optimizer adam,momentum"""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="SWEEP")] = None
    """Folder of a sweep to go on with, in place of an experiment."""


AFRESH = ("lanes", "programs", *(field.name for field in dataclasses.fields(Distributed)))
"""Options that may be others when a sweep is resumed."""


def main(arguments: list[str]) -> int:
    """Sweeps; the exit code tells how it ended."""
    files = [word for word in arguments if word.endswith(".py")]
    resuming = any(word.partition("=")[0] == "--resume" for word in arguments)
    if files and resuming:
        raise InputError(f"--resume goes on with a sweep, and {files[0]} begins one: give one or the other")
    if files:
        return _start(Path(files[0]), [word for word in arguments if word != files[0]])
    if resuming:
        refuse_others(Usage, arguments, "for other points begin a sweep: lec7 sweep EXPERIMENT.py")
    usage = read(Usage, arguments, "sweep", "Train an experiment at many points, as lanes of one program.")
    if usage.resume is None:
        raise InputError("expected an experiment, a Python file, as in lec7 sweep experiments/digits.py --seed 0:4")
    if dataclasses.replace(usage, resume=None, **{name: getattr(Usage, name) for name in AFRESH}) != Usage():
        raise InputError(
            f"--resume {usage.resume} goes on with that sweep as it is: "
            "give nothing else, but for --lanes, --programs and --distributed"
        )
    return _resume(usage)


def _start(path: Path, words: list[str]) -> int:
    from lec7 import experiment, sweep, train
    from lec7.experiment.folder import RunFolder, describe, taken
    from lec7.sweep.text import HELP
    from lec7.train.processes import on_first

    file = experiment.load(path)
    kind = _kinds(file)
    texts, rest = _split(file, kind, words)
    more = f"\n\nSeveral values of a hyperparameter: {HELP}."
    options, hp = read_with_hyperparameters(file, Options, Usage, rest, "sweep", more)
    space = _space(file, kind, texts)
    if options.name is not None and not options.overwrite and (there := options.workdir / options.name).exists():
        raise taken(there)
    train.device_per_core()
    connect(options)
    usual = file.hyperparameters()
    pairs = {name: (getattr(hp, name), getattr(usual, name)) for name in kind if name not in texts}
    changed = [sweep.option(name, value, default) for name, (value, default) in pairs.items() if value != default]
    command = " ".join(["lec7 run", shlex.quote(str(path)), *changed])

    def folder(options: Options) -> Path:
        def make() -> str:
            made = RunFolder.create(options.workdir, options.name, f"{path.stem}-sweep", options.overwrite, 50_000_000)
            made.write("config.json", describe(file, hp) | {"sweep": _settings(options, texts, command)})
            return str(made.path)

        return Path(on_first(make))

    return _run(file, hp, space, options, folder, command)


def _resume(usage: Usage) -> int:
    from lec7 import experiment, sweep, train
    from lec7.cli.build import unchanged

    assert usage.resume is not None
    path = usage.resume
    config = sweep.config_of(path)
    file = unchanged(config, path)
    known = {field.name for field in dataclasses.fields(Options)}
    saved = {name: value for name, value in config["sweep"].items() if name in known}
    given = {name: value for name in AFRESH if (value := getattr(usage, name)) != getattr(Usage, name)}
    options = dataclasses.replace(Options(**saved), **given)
    if experiment.RunFolder(path).result is not None:
        print(f"{path} is finished; lec7 report {path} tells what came out")
        return 0
    train.device_per_core()
    connect(options)
    space, hp = _space(file, _kinds(file), config["sweep"]["space"]), file.restore(config["hyperparameters"])
    return _run(file, hp, space, options, lambda _: path, config["sweep"]["command"])


def _run(
    file: ExperimentFile,
    hp: Any,
    space: Mapping[str, Any],
    options: Options,
    folder: Callable[[Options], Path],
    command: str,
) -> int:
    from lec7 import sweep
    from lec7.cli.sweep_progress import watch
    from lec7.experiment import RunFolder
    from lec7.train.processes import is_first

    made: list[Path] = []

    def once() -> Path:
        made.append(folder(options))
        return made[0]

    draw = None
    if options.random is not None:
        draw = sweep.Draw(options.random, options.sampler, options.sampler_seed, options.batch)
    elif options.sampler != "random":
        raise InputError(f"--sampler {options.sampler} draws settings, expected how many: --random N")
    start = time.monotonic()
    try:
        with watch(options.metric, options.direction, quiet=not is_first()) as observer:
            results = sweep.run(
                file.make,
                space,
                hp,
                draw=draw,
                halving=None if options.halving is None else sweep.Halving(options.halving),
                judge=sweep.Judge(options.metric, options.direction),
                machine=sweep.Machine(options.lanes, most_programs=options.programs),
                folder=once,
                observer=observer,
            )
    except sweep.TooManyPrograms as error:
        if sys.stdin.isatty() and Confirm.ask(f"{error}. Compile {error.programs} programs?", default=False):
            return _run(file, hp, space, dataclasses.replace(options, programs=error.programs), folder, command)
        raise InputError(f"{error}: --programs {error.programs}") from None
    except sweep.Stopped as stopped:
        print(f"stopped; what has ended is saved. Go on with: lec7 sweep --resume {shlex.quote(str(made[0]))}")
        return 128 + stopped.signal
    if not is_first():
        return 0
    return _tell(results, RunFolder(made[0]), command, time.monotonic() - start)


def _tell(results: Results, folder: RunFolder, command: str, seconds: float) -> int:
    """Prints what came out, writes the report and the result."""
    from lec7 import report
    from lec7.cli.report import tell

    tell(results, command)
    for path in report.sweep(results, folder.path, folder.path.name, command):
        print(f"wrote {path}")
    best = results.best
    diverged = all(row.status == "diverged" for row in results.rows)
    row = best.rows[0]
    ended = {"status": "diverged" if diverged else "finished", "step": row.step, "metrics": dict(row.metrics)}
    ended |= {"metric": results.metric, "direction": results.direction}
    folder.write("result.json", ended | {"seconds": seconds, "lanes": len(results.rows)})
    print(f"{len(results.rows)} lanes, after {seconds:.1f} s, in {folder.path}")
    return DIVERGED if diverged else 0


def _kinds(file: ExperimentFile) -> dict[str, type]:
    from lec7.sweep.space import kinds

    return kinds(file.hyperparameters())


def _split(file: ExperimentFile, kind: dict[str, type], words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The texts of fields with several values, and all other words."""
    from lec7.sweep.text import is_over

    texts, rest, left = {}, [], list(words)
    fields = [field.name for field in dataclasses.fields(file.hyperparameters)]
    options = [field.name for field in dataclasses.fields(Options)]
    while left:
        word = left.pop(0)
        flag, equals, text = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not equals and left and word.startswith("--"):
            text = left[0]
        if word.startswith("--") and name in fields and is_over(text, kind[name]):
            if name in texts:
                raise InputError(f"--{name.replace('_', '-')} is given twice")
            texts[name] = text
            left = left if equals else left[1:]
            continue
        if word.startswith("--") and name not in [*fields, *options, "help"] and text and is_over(text, float):
            raise InputError(f"no hyperparameter {flag} in {file.path}{nearest(name, fields)}")
        rest.append(word)
    if not texts and not {"-h", "--help"} & set(words):
        raise InputError(
            "nothing is swept: give several values of a hyperparameter, "
            "as in --learning-rate log:1e-4:1e-1:16 --seed 0:4"
        )
    return texts, rest


def _space(file: ExperimentFile, kind: dict[str, type], texts: Mapping[str, str]) -> dict[str, Any]:
    from lec7.sweep.text import parse

    def typed(name: str) -> Callable[[str], Any]:
        return lambda part: getattr(
            read(file.hyperparameters, [f"--{name.replace('_', '-')}", *part.split()], f"sweep {file.path.name}", ""),
            name,
        )

    return {name: parse(name.replace("_", "-"), text, kind[name], typed(name)) for name, text in texts.items()}


def _settings(options: Options, texts: dict[str, str], command: str) -> dict[str, Any]:
    """What is needed to go on."""
    kept = dataclasses.asdict(options) | {"workdir": str(options.workdir), "overwrite": False}
    return kept | {"space": texts, "command": command}
