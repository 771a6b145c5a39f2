"""What the page knows of a run: its facts, and its rows as far as they can be read."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lec7.errors import InputError
from lec7.experiment import RunFolder
from lec7.experiment.ending import UNFINISHED, numbers
from lec7.experiment.run import NEW_AVERAGES
from lec7.report.sweeps.figures import best
from lec7.sweep.results import Results, Row

SETTINGS = ("members", "chunk", "mesh", "precision", "examples")
"""What `lec7 run` writes into a configuration beside the hyperparameters."""


@dataclass(frozen=True)
class Run:
    """A run, finished or not.

    Attributes:
        name: its folder's name, or that of a lane of a sweep.
        hyperparameters: by name.
        rows: of its log, each with a `"step"`.
        status: "finished", "interrupted", "diverged", "stopped" or "not finished".
        step: the last one that is known of.
        figures: of the latest evaluation.
        seconds: how long it took; None where that isn't known.
        settings: how many models, on what, in which precision.
        origin: which file and which versions, where and when.
        devices: how many there were.
        notes: sentences that a reader should know.
    """

    name: str
    hyperparameters: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    status: str
    step: int
    figures: Mapping[str, float]
    seconds: float | None
    settings: Mapping[str, Any]
    origin: Mapping[str, Any]
    devices: int = 1
    notes: tuple[str, ...] = ()

    @property
    def throughput(self) -> float | None:
        """The median of its examples a second; None where there are none."""
        rates = numbers(self.rows, "examples_per_second")
        return median(rates) if rates else None


def of_run(path: Path, name: str | None = None) -> Run:
    """Reads a run as far as that goes: what is damaged beside its configuration is told by a note.

    Args:
        path: its folder.
        name: what to call it; by default as its folder is called.

    Raises:
        InputError: there is no run, or its configuration is damaged.
    """
    folder = RunFolder(path)
    config, notes = folder.config, []
    if not isinstance(config["hyperparameters"], dict):
        raise InputError(f"{path / 'config.json'} is damaged: its hyperparameters are no object")
    try:
        result: dict[str, Any] | None = folder.result
    except InputError as error:
        result = None
        notes.append(f"How it ended is not known: {error}.")
    rows, problem = _rows(folder)
    step = rows[-1]["step"] if rows else 0
    if problem:
        notes.append(f"Curves end at step {step:,}: {problem}.")
    if result is None:
        figures = next((row for row in reversed(rows) if "test/loss" in row), {})
        result = {"status": UNFINISHED, "step": step, "metrics": figures, "seconds": None}
        notes.append("It has no result yet: it is being trained, or it was killed.")
    if result.get("message"):
        notes.append(f"It ended with: {result['message']}.")
    notes += [f"Averages began anew at step {row['step']:,}." for row in rows if NEW_AVERAGES in row]
    return Run(
        name=name or path.resolve().name,
        hyperparameters=config["hyperparameters"],
        rows=rows,
        status=result["status"],
        step=result["step"],
        figures={name: value for name, value in result["metrics"].items() if name.startswith("test")},
        seconds=result["seconds"],
        settings={name: config[name] for name in SETTINGS if name in config},
        origin=_origin(config),
        devices=(config.get("device") or {}).get("count", 1),
        notes=tuple(notes),
    )


def of_sweep(results: Results, prefix: str, config: Mapping[str, Any], count: int) -> list[Run]:
    """The first lanes of a sweep's best settings, as runs.

    Args:
        results: of the sweep.
        prefix: what their names begin with.
        config: of the sweep.
        count: how many settings.
    """
    chosen = [setting.rows[0] for setting in best(results.settings(), count)]
    return [_of_lane(row, prefix, config) for row in chosen]


def _of_lane(row: Row, prefix: str, config: Mapping[str, Any]) -> Run:
    rows: dict[int, dict[str, Any]] = {}
    for figure, curve in row.curves.items():
        for step, value in curve:
            rows.setdefault(step, {"step": step})[figure] = value
    return Run(
        name=f"{prefix}lane {row.lane}",
        hyperparameters={**config["hyperparameters"], **row.hyperparameters},
        rows=[rows[step] for step in sorted(rows)],
        status=row.status,
        step=row.step,
        figures=row.metrics,
        seconds=None,
        settings={},
        origin=_origin(config),
        notes=(f"It ended with: {row.message}.",) if row.message else (),
    )


def _rows(folder: RunFolder) -> tuple[list[dict[str, Any]], str]:
    """The rows ahead of the first that is damaged, and what is wrong with that."""
    if not folder.metrics_path.exists():
        return [], "there is no metrics.jsonl"
    lines = folder.metrics_path.read_text(errors="replace").split("\n")[:-1]  # a last line may be cut off by a kill
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            return rows, f"line {number} of metrics.jsonl is damaged"
        rows.append(row)
    return rows, ""


def _origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """Which file and which versions were run, where and when: by what it is called, as far as it is known."""
    device, command = config.get("device") or {}, config.get("command") or []
    found = {
        "experiment": config.get("experiment"),
        "SHA-256 of it": config.get("sha256"),
        "git commit": config.get("git_commit"),
        "begun": config.get("created"),
        "host": config.get("host"),
        "devices": f"{device['count']} x {device['kind']} ({device['platform']})" if len(device) >= 3 else None,
        "command": shlex.join([Path(command[0]).name, *command[1:]]) if command else None,
    }
    return found | dict(config.get("versions") or {})
