"""The log of a run: `metrics.jsonl`, from which all else is read, and writers that follow it."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lec7.experiment.folder import RunFolder, plain

FLUSH_SECONDS = 1
"""TensorBoard's events are on disk after so long; a checkpoint takes about that."""


class Writer(Protocol):
    """What is told the rows of a log, in the order of steps."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row; it has a `"step"`, and numbers by name. Several rows may have one step."""
        ...

    def close(self) -> None:
        """There are no more rows."""
        ...


MakeWriter = Callable[[RunFolder, int], Writer]
"""Begins a writer, from a run's folder and the step to go on from: 0, or that of the checkpoint which is resumed."""


class Log:
    """Tells rows of figures to writers, the file first. A context manager.

    Args:
        folder: the run's folder.
        since: step to go on from; rows beyond it, which a killed run may have left, are taken out.
        more: writers beside the file and TensorBoard's events.
    """

    def __init__(self, folder: RunFolder, since: int = 0, more: Sequence[MakeWriter] = ()):
        self._writers: list[Writer] = []
        with contextlib.ExitStack() as begun:
            for make in (JsonLines, Events, *more):
                self._writers.append(make(folder, since))
                begun.callback(self._writers[-1].close)
            self._begun = begun.pop_all()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self._begun.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row; it has a `"step"`, and numbers by name."""
        for writer in self._writers:
            writer.write(row)


class NoLog:
    """The log of a process that is not the one that writes it."""

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def write(self, row: Mapping[str, Any]) -> None:
        """Forgets a row."""


class JsonLines:
    """Writes `metrics.jsonl`, each row whole at once."""

    def __init__(self, folder: RunFolder, since: int = 0):
        kept = [row for row in folder.metrics() if row["step"] <= since] if since else []
        # All at once: a kill in the midst of it would lose rows that no other run writes again.
        fresh = folder.metrics_path.with_suffix(".tmp")
        fresh.write_text("".join(map(_line, kept)))
        fresh.replace(folder.metrics_path)
        self._file = folder.metrics_path.open("a")

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a line."""
        # Flushed before the checkpoint of this step is begun: a checkpoint has its rows.
        self._file.write(_line(row))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Events:
    """Writes TensorBoard's event files."""

    def __init__(self, folder: RunFolder, since: int = 0):
        from tensorboardX import SummaryWriter  # whoever trains by `Experiment.fit` can do without

        # A kill loses what is not on disk, and a run that goes on from a later checkpoint doesn't tell it again.
        self._events = SummaryWriter(str(folder.events_path), purge_step=since + 1, flush_secs=FLUSH_SECONDS)

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a scalar for each figure."""
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Closes the file."""
        self._events.close()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(plain(row)) + "\n"
