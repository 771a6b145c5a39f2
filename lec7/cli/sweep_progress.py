"""Watching a sweep: a progress bar over all lanes in a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from lec7.cli.progress import SECONDS_BETWEEN_LINES
from lec7.cli.tables import number

if TYPE_CHECKING:
    from lec7.sweep.results import Direction, Row


class Tally:
    """How many lanes have ended, how far all are, and the best so far."""

    def __init__(self, metric: str | None, direction: Direction | None):
        self.metric = metric
        self.direction: Direction | None = direction
        self.lanes = self.steps = self.ended = self.done = self.diverged = 0
        self.best: Row | None = None

    def begin(self, lanes: int, steps: int) -> None:
        """More lanes, with so many steps to go, all together."""
        self.lanes, self.steps = self.lanes + lanes, self.steps + steps

    def row(self, row: Row) -> None:
        """Counts a lane that has ended."""
        self.ended += 1
        self.diverged += row.status == "diverged"
        if row.status == "diverged" or math.isnan(self.cost(row)):
            return
        if self.best is None or self.cost(row) < self.cost(self.best):
            self.best = row

    def cost(self, row: Row) -> float:
        """A row's metric, little of which is good."""
        from lec7.sweep.results import cost

        metric, direction = self._judged(row)
        return cost(row.metrics[metric], direction)

    def _judged(self, row: Row) -> tuple[str, Direction]:
        from lec7.sweep.results import direction_of

        return direction_of(self.metric, self.direction, list(row.metrics))

    def __str__(self) -> str:
        parts = [f"{self.ended}/{self.lanes} lanes"]
        if self.diverged:
            parts.append(f"{self.diverged} diverged")
        if self.best is not None:
            from lec7.sweep.results import option

            setting = " ".join(filter(None, (option(*pair) for pair in self.best.hyperparameters.items())))
            parts.append(f"best {number(self.best.metrics[self._judged(self.best)[0]])} with {setting}")
        return ", ".join(parts)


@contextlib.contextmanager
def watch(metric: str | None, direction: Direction | None, quiet: bool) -> Generator[Any]:
    """The observer that suits standard output; None where others of several processes tell."""
    console, tally = Console(), Tally(metric, direction)
    if quiet:
        yield None
    elif not console.is_terminal:
        yield Lines(tally)
    else:
        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.fields[figures]}"), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            yield Bar(tally, progress)


class Bar:
    """A progress bar over the steps of all lanes, with the lanes that have ended and the best so far."""

    def __init__(self, tally: Tally, progress: Progress):
        self.tally, self.progress = tally, progress
        self.task = progress.add_task("sweep", total=1, figures="tracing")

    def begin(self, lanes: int, steps: int) -> None:
        """Sets the bar's range."""
        self.tally.begin(lanes, steps)
        self.progress.update(self.task, total=self.tally.steps, figures="compiling")

    def advance(self, steps: int) -> None:
        """Moves the bar."""
        self.tally.done += steps
        self.progress.update(self.task, completed=self.tally.done, figures=str(self.tally))

    def row(self, row: Row) -> None:
        """Counts a lane."""
        self.tally.row(row)
        self.progress.update(self.task, figures=str(self.tally))

    def say(self, text: str) -> None:
        """Prints above the bar."""
        self.progress.console.print(text, highlight=False)


class Lines:
    """A line every ten seconds."""

    def __init__(self, tally: Tally):
        self.tally, self.last = tally, time.monotonic()

    def begin(self, lanes: int, steps: int) -> None:
        """Tells the range."""
        self.tally.begin(lanes, steps)
        print(f"training {lanes} lanes, {steps} steps in all", flush=True)

    def advance(self, steps: int) -> None:
        """Prints what is due."""
        self.tally.done += steps
        if time.monotonic() - self.last > SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            print(f"{self.tally.done / max(1, self.tally.steps):.0%}: {self.tally}", flush=True)

    def row(self, row: Row) -> None:
        """Counts a lane."""
        self.tally.row(row)

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, flush=True)
