"""`lec7 runs`: list runs with their results."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lec7.cli.options import read


@dataclass(frozen=True)
class Options:
    """Which folder."""

    workdir: Path = Path("runs")
    """Folder of the runs."""


def main(arguments: list[str]) -> int:
    """Prints a table, oldest run first."""
    options = read(Options, arguments, "runs", "List runs with their results.")
    from lec7.experiment.folder import runs

    table = Table(title=f"runs in {options.workdir}")
    for name in ("run", "experiment", "status"):
        table.add_column(name, overflow="fold")
    for name in ("step", "accuracy", "loss", "seconds"):
        table.add_column(name, justify="right")
    for run in runs(options.workdir):
        rows = run.metrics()
        result = run.result or {
            "status": "not finished",
            "step": rows[-1]["step"] if rows else 0,
            "metrics": {},
        }
        metrics = result["metrics"] or next((row for row in reversed(rows) if "test/loss" in row), {})
        table.add_row(
            run.path.name,
            Path(run.config["experiment"]).stem,
            result["status"],
            str(result["step"]),
            _number(metrics.get("test/accuracy")),
            _number(metrics.get("test/loss")),
            f"{result['seconds']:.1f}" if "seconds" in result else "",
        )
    Console().print(table)
    return 0


def _number(value: float | str | None) -> str:
    """Four places; what is not finite is a text in JSON."""
    return f"{value:.4f}" if isinstance(value, float) else str(value or "")
