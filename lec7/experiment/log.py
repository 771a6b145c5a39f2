"""The log of a run: `metrics.jsonl`, and the same figures for TensorBoard."""

import json
from typing import Any

from lec7.experiment.folder import RunFolder, plain


class Log:
    """Writes rows of figures, each whole at once. A context manager.

    Args:
        folder: the run's folder.
        since: step to go on from; rows beyond it, which a killed run may have left, are taken out.
    """

    def __init__(self, folder: RunFolder, since: int = 0):
        from tensorboardX import SummaryWriter  # whoever trains by `Experiment.fit` can do without

        kept = [row for row in folder.metrics() if row["step"] <= since] if since else []
        # All at once: a kill in the midst of it would lose rows that no other run writes again.
        fresh = folder.metrics_path.with_suffix(".tmp")
        fresh.write_text("".join(map(_line, kept)))
        fresh.replace(folder.metrics_path)
        self._file = folder.metrics_path.open("a")
        self._events = SummaryWriter(str(folder.events_path), purge_step=since + 1)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
        self._events.close()

    def write(self, row: dict[str, Any]) -> None:
        """Adds a row; it has a `"step"`, and numbers by name."""
        # Flushed before the checkpoint of this step is begun: a checkpoint has its rows.
        self._file.write(_line(row))
        self._file.flush()
        for name, value in row.items():
            if name != "step":
                self._events.add_scalar(name, value, row["step"])


class NoLog:
    """The log of a process that is not the one that writes it."""

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *error) -> None:
        pass

    def write(self, row: dict[str, Any]) -> None:
        """Forgets a row."""


def _line(row: dict[str, Any]) -> str:
    return json.dumps(plain(row)) + "\n"
