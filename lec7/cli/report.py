"""`lec7 report`: a page about runs and sweeps; of a sweep, a table and pictures as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lec7.cli.options import check_checkpoint, read
from lec7.cli.tables import show
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.sweep.folder import Found
    from lec7.sweep.results import Results

TOP = 20
"""Settings that are shown."""

PAGE = "report.html"


@dataclass(frozen=True)
class Options:
    """Which runs and sweeps, and where the page goes."""

    folders: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN_OR_SWEEP ...")]
    """Folders of runs and sweeps; several are compared."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The page; by default report.html, of one run in its folder, of several in this one."""
    checkpoint: str = "latest"
    """What a run's predictions are by: "latest", "best" or a step."""
    predictions: bool = True
    """What the runs' models say of the test examples; --no-predictions leaves it out, which is faster."""
    metric: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What settings of a sweep are judged by, such as test/loss; by default what the sweep was, or else the
    accuracy."""
    direction: Literal["minimize", "maximize"] | None = None
    """Whether little or much of it is good; by default as its name says."""
    top: Annotated[int, tyro.conf.arg(metavar="N")] = TOP
    """Settings of a sweep that are shown in the terminal."""


def main(arguments: list[str]) -> int:
    """Writes a page about runs and sweeps; of a sweep prints the best settings, and writes pictures in its folder."""
    options = read(Options, arguments, "report", "Tell what came out of runs and sweeps, in one HTML page.")
    if options.top < 1:
        raise InputError(f"--top is {options.top}, expected at least 1")
    check_checkpoint(options.checkpoint)
    if not options.folders:
        raise InputError(
            "no run is given, expected folders of runs or sweeps: lec7 report RUN ...; lec7 runs lists them"
        )
    from lec7 import report, sweep
    from lec7.cli.page import names, refuse_foreign, write

    names(options.folders)
    output = options.output or (options.folders[0] / PAGE if len(options.folders) == 1 else Path(PAGE))
    sweeps: dict[Path, Found] = {
        path: sweep.read(path, options.metric, options.direction) for path in options.folders if _is_sweep(path)
    }
    if not sweeps and (options.metric or options.direction):
        raise InputError("--metric and --direction are for sweeps, and none is given")
    refuse_foreign(output)
    for path, found in sweeps.items():
        tell(found.results, found.command, options.top)
        for written in report.sweep(found.results, path, found.name, found.command):
            print(f"wrote {written}")
    write(options.folders, sweeps, output, options.checkpoint, options.predictions)
    return 0


def tell(results: Results, command: str, top: int = TOP) -> None:
    """Prints the best settings, and the command line that runs the best.

    Args:
        results: of a sweep.
        command: how a command line begins that runs one setting.
        top: how many settings are shown.

    Raises:
        InputError: no lane has ended.
    """
    from lec7.report.sweeps.figures import best, summary, table

    columns, rows = table(results)
    show(f"{summary(results)}; the best by {results.metric} first", columns, rows[:top])
    if len(rows) > top:
        print(f"{len(rows) - top} more are not shown\n")
    for setting in best(results.settings(), 1):
        print(f"the best is run by:\n{command} {setting.options}".rstrip())


def _is_sweep(path: Path) -> bool:
    """Whether a folder is that of a sweep; refuses one that is neither a run's nor a sweep's."""
    from lec7.experiment import RunFolder

    if not (path / "config.json").is_file():
        raise InputError(f"{path} is no run and no sweep: it has no config.json; lec7 runs lists those there are")
    return "sweep" in RunFolder(path).config
