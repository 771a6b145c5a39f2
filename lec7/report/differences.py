"""What differs between runs: in what was asked for, in what it ran on, and in what came out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lec7.experiment import RunFolder
from lec7.experiment.ending import DAMAGED, UNFINISHED, Ending, ending, finite
from lec7.experiment.evaluation import RAW

IGNORED = ("command", "created", "wandb", "classes")
"""Entries of `config.json` that differ from run to run by themselves, or say what others do."""

PARTS = {"hyperparameters": "hyperparameter", "versions": "version", "device": "device", "data": "data"}
"""Entries that have entries of their own, and what one of these is."""

NAMES = {"sha256": "experiment file", "git_commit": "commit"}
"""What other entries are called, where not as in `config.json`."""


class Difference(NamedTuple):
    """A setting that is not the same in all runs.

    Attributes:
        kind: `"hyperparameter"`, `"version"`, `"device"`, `"data"`, or `"run"` for all else.
        name: of the setting.
        values: as in `config.json`, one for each run; None where a run has no such setting.
    """

    kind: str
    name: str
    values: tuple[Any, ...]


class Figure(NamedTuple):
    """A number that came out, side by side.

    Attributes:
        name: as in the log, such as `"test/accuracy"`; `"best test/accuracy"` is the best of all evaluations.
        values: one for each run; None where a run has none, or one that is not finite.
    """

    name: str
    values: tuple[float | None, ...]


def differences(runs: Sequence[RunFolder]) -> list[Difference]:
    """What was not the same when the runs began: experiment, data, hyperparameters, versions, commit, device.

    Raises:
        InputError: one is no run, or its configuration is damaged.
    """
    settings = [_settings(run.config) for run in runs]
    keys = list(dict.fromkeys(key for each in settings for key in each))
    order = ["run", *PARTS.values()]
    rows = (Difference(*key, tuple(each.get(key) for each in settings)) for key in keys)
    differing = [row for row in rows if any(value != row.values[0] for value in row.values)]
    return sorted(differing, key=lambda row: order.index(row.kind))


def figures(runs: Sequence[RunFolder]) -> list[Figure]:
    """What came out: the figures of the last evaluation and the best ones, steps, seconds, examples a second."""
    found = [ending(run).figures for run in runs]
    names = sorted(dict.fromkeys(name for each in found for name in each), key=lambda name: not name.startswith("test"))
    return [Figure(name, tuple(finite(each.get(name)) for each in found)) for name in names]


def caveats(runs: Sequence[RunFolder]) -> list[str]:
    """Sentences on what stands against comparing each run with the first; none where nothing does.

    Raises:
        InputError: one is no run, or its configuration is damaged.
    """
    first, *others = ((run, run.config, ending(run)) for run in runs)
    told = [text for each in (first, *others) for text in _unfinished(*each)]
    for other in others:
        told += _other(first, other)
    return told


def labels(runs: Sequence[RunFolder]) -> list[str]:
    """What runs are called: the names of their folders, or whole paths where two have one name.

    >>> labels([RunFolder(Path("runs/a")), RunFolder(Path("runs/b"))])
    ['a', 'b']
    >>> labels([RunFolder(Path("old/a")), RunFolder(Path("new/a"))])
    ['old/a', 'new/a']
    """
    names = [run.path.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _settings(config: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """The entries of a configuration by kind and name."""
    found = {}
    for key, value in config.items():
        if key in PARTS and isinstance(value, Mapping):
            found |= {(PARTS[key], name): each for name, each in value.items()}
        elif key not in IGNORED:
            found["run", NAMES.get(key, key)] = value
    return found


def _unfinished(run: RunFolder, config: Mapping[str, Any], end: Ending) -> Iterator[str]:
    """What is to be said of a run that has not come to its end."""
    if end.status == "finished":
        return
    of = f" of {steps}" if (steps := config["hyperparameters"].get("steps")) else ""
    if end.status == DAMAGED:
        yield f"{run.path} is damaged, and has no figures here: {end.message}"
    elif end.status == UNFINISHED:
        yield f"{run.path} is not finished, at step {end.step}{of}: it is being trained, or was killed"
    else:
        yield f"{run.path}: {end.status} at step {end.step}{of}" + (f": {end.message}" if end.message else "")


Read = tuple[RunFolder, Mapping[str, Any], Ending]
"""A run, its configuration, and how far it came."""


def _other(first: Read, other: Read) -> Iterator[str]:
    """What stands against comparing a run with the first."""
    (run, config, end), (run_2, config_2, end_2) = first, other
    if config["experiment"] != config_2["experiment"] and config["sha256"] != config_2["sha256"]:
        files = Path(config_2["experiment"]).name, Path(config["experiment"]).name
        if files[0] == files[1]:
            files = config_2["experiment"], config["experiment"]
        yield f"{run_2.path} is of another experiment: {files[0]}, and not {files[1]}"
    elif config["sha256"] != config_2["sha256"]:
        yield f"{config['experiment']} was changed between {run.path} and {run_2.path}"
    data, data_2 = config.get("data", {}), config_2.get("data", {})
    for part, what in (("test", "tested with"), ("train", "trained on")):
        if part in data and part in data_2 and data[part] != data_2[part]:
            yield f"{run_2.path} was {what} other examples: {data_2[part]}, and not {data[part]}"
    averaged, averaged_2 = (any(name.startswith(f"test_{RAW}/") for name in each.figures) for each in (end, end_2))
    if averaged != averaged_2 and end.figures and end_2.figures:
        its, raw = (run.path, run_2.path) if averaged else (run_2.path, run.path)
        yield f"the figures test/ are those of averaged parameters in {its}, and of the parameters as they are in {raw}"
    if any(config.get(name) != config_2.get(name) for name in ("device", "host")):
        yield f"{run_2.path} ran on another machine or device: seconds and examples a second tell of that as well"
