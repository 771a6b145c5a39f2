"""The folder of a sweep, as the command leaves it."""

from pathlib import Path
from typing import Any, NamedTuple

from lec7.errors import InputError
from lec7.experiment import RunFolder
from lec7.sweep.results import Direction, Results, direction_of
from lec7.sweep.store import read_rows


class Found(NamedTuple):
    """A sweep on disk: what came out, what it is called, and the command that runs one of its settings."""

    results: Results
    name: str
    command: str


def config_of(path: Path) -> dict[str, Any]:
    """The configuration of a sweep.

    Args:
        path: of the sweep's folder.

    Raises:
        InputError: there is none.

    >>> config_of(Path("nowhere"))
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    if not (path / "config.json").is_file():
        raise InputError(f"{path} is no sweep: it has no config.json; lec7 runs lists the runs and sweeps there are")
    config = RunFolder(path).config
    if "sweep" not in config:
        raise InputError(f"{path} is a run, and no sweep; lec7 eval {path} evaluates it")
    return config


def read(path: Path, metric: str | None = None, direction: Direction | None = None) -> Found:
    """Reads the results of a sweep, finished or not.

    Args:
        path: its folder.
        metric: what to judge by; by default what the sweep was judged by.
        direction: whether much of it is good.

    Returns:
        The results, the folder's name, and how the sweep's command line begins.

    Raises:
        InputError: there is no sweep, no lane of it has ended, or no such metric.

    >>> read(Path("nowhere"))
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    whole = config_of(path)
    config = whole["sweep"]
    rows = read_rows(path)
    if not rows:
        raise InputError(f"no lane of {path} has ended yet; go on with: lec7 sweep --resume {path}")
    judged = RunFolder(path).result or config
    if metric in (None, judged["metric"]):
        metric, direction = judged["metric"], direction or judged["direction"]
    known = list(dict.fromkeys(name for row in rows for name in (*row.metrics, *row.curves)))
    figures = [name for name in known if name.startswith("test")] or [metric or "test/loss"]
    results = Results(tuple(rows), *direction_of(metric, direction, figures), whole["hyperparameters"])
    return Found(results, path.name, config["command"])
