"""`lec7 runs`: list runs with their results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lec7.cli.options import read
from lec7.cli.tables import number, show
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.experiment import RunFolder


@dataclass(frozen=True)
class Options:
    """Which folder."""

    workdir: Path = Path("runs")
    """Folder of the runs."""


def main(arguments: list[str]) -> int:
    """Prints a table, oldest run first."""
    options = read(Options, arguments, "runs", "List runs with their results.")
    from lec7.experiment.folder import runs

    show(
        f"runs in {options.workdir}",
        ("run", "experiment", "status", "step#", "accuracy#", "loss#", "seconds#"),
        map(_row, runs(options.workdir)),
    )
    return 0


def _row(run: RunFolder) -> tuple[str, ...]:
    try:
        config, result, rows = run.config, run.result, run.metrics()
    except InputError:
        return (run.path.name, "", "damaged", "", "", "", "")
    if result is None:
        result = {"status": "not finished", "step": rows[-1]["step"] if rows else 0, "metrics": {}}
    metrics = result["metrics"] or next((row for row in reversed(rows) if "test/loss" in row), {})
    return (
        run.path.name,
        Path(config["experiment"]).stem + _how_many(config, result),
        result["status"],
        str(result["step"]),
        number(metrics.get("test/accuracy")),
        number(metrics.get("test/loss")),
        f"{result['seconds']:.1f}" if "seconds" in result else "",
    )


def _how_many(config: dict[str, Any], result: dict[str, Any]) -> str:
    """How many members an ensemble has, or lanes a sweep, of which the figures are the best one's."""
    if "sweep" in config:
        return f" x {result['lanes']} lanes" if "lanes" in result else ", a sweep"
    return f" x {config['members']}" if config.get("members", 1) > 1 else ""
