"""Watching a run: a progress bar in a terminal, lines elsewhere."""

import contextlib
import time
from collections.abc import Generator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lec7.cli.tables import number
from lec7.experiment import Observer
from lec7.experiment.evaluation import by_kind
from lec7.train.fit import WAITING

SECONDS_BETWEEN_LINES = 10.0
LEAST_WAITING = 0.01
"""The share of time without data that is worth a word."""


@contextlib.contextmanager
def watch(quiet: bool = False) -> Generator[Observer]:
    """The observer that suits standard output; one that says nothing where others of several processes tell."""
    if quiet:
        yield Nobody()
        return
    console = Console()
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(progress)


class Bar:
    """A progress bar with step, examples a second, loss, accuracy, time left; a line for each evaluation."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.task = progress.add_task("train", total=1, figures="compiling")

    def begin(self, step: int, steps: int) -> None:
        """Sets the bar's range."""
        self.progress.reset(self.task, total=steps, completed=step)

    def row(self, row: dict[str, Any]) -> None:
        """Moves the bar, or tells of an evaluation."""
        if is_evaluation(row):
            self.progress.console.print(sentence(row), highlight=False)
        else:
            self.progress.update(self.task, completed=row["step"], figures=figures(row))

    def say(self, text: str) -> None:
        """Prints above the bar."""
        self.progress.console.print(text, highlight=False)


class Lines:
    """A line for each evaluation, and one every ten seconds of training."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def begin(self, step: int, steps: int) -> None:
        """Tells the range."""
        print(f"training from step {step} to {steps}", flush=True)

    def row(self, row: dict[str, Any]) -> None:
        """Prints what is due."""
        now = time.monotonic()
        if is_evaluation(row):
            print(sentence(row), flush=True)
        elif now - self.last > SECONDS_BETWEEN_LINES:
            self.last = now
            print(f"step {row['step']}: {figures(row)}", flush=True)

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, flush=True)


class Nobody:
    """Looks away."""

    def begin(self, step: int, steps: int) -> None:
        """Nothing."""

    def row(self, row: dict[str, Any]) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


def is_evaluation(row: dict[str, Any]) -> bool:
    """Whether a row of the log is an evaluation's."""
    return "test/loss" in row


def figures(row: dict[str, Any]) -> str:
    """What training looks like just now."""
    parts = [f"{row['examples_per_second']:,.0f} examples/s", f"loss {row['train/loss']:.4f}"]
    if "train/accuracy" in row:
        parts.append(f"accuracy {row['train/accuracy']:.4f}")
    if row.get(WAITING, 0) >= LEAST_WAITING:
        parts.append(f"waiting for data {row[WAITING]:.0%}")
    return "  ".join(parts)


def sentence(row: dict[str, Any]) -> str:
    """An evaluation: averaged parameters, and beside them the raw ones."""
    return f"step {row['step']}: test {tested(row)}"


def tested(row: dict[str, Any]) -> str:
    """The figures on the test examples: those that count, and those of other kinds in brackets.

    >>> tested({"test/loss": 0.25, "test_raw/loss": 0.5, "test_members/loss": 0.375})
    'loss 0.2500 (raw 0.5000, members 0.3750)'
    """
    kinds = by_kind(row)
    first = kinds.pop("", {})
    parts = []
    for name in sorted(first):
        others = ", ".join(f"{kind} {number(own[name])}" for kind, own in kinds.items() if name in own)
        parts.append(f"{name} {number(first[name])}" + (f" ({others})" if others else ""))
    return ", ".join(parts)
