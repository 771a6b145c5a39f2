"""A writer of the log for Weights & Biases, whose package is optional."""

import importlib
import shlex
from collections.abc import Callable, Mapping
from importlib import util
from typing import Any

from lec7.errors import InputError
from lec7.experiment.folder import RunFolder


def check_installed() -> None:
    """Refuses to begin what could not be told.

    Raises:
        InputError: the package is not installed.
    """
    if util.find_spec("wandb") is None:
        raise InputError("--wandb tells Weights & Biases, whose package is not installed: pip install 'lec7[wandb]'")


class WeightsAndBiases:
    """Tells a run of Weights & Biases each row, at the row's step.

    A run that is resumed goes on as the same run there, which is asked how far it came: rows that it lacks are told
    from `metrics.jsonl`, and rows that it has, which the run lost when it was killed and computes again, are not told
    twice. Offline nobody can be asked, and all rows are told: the latest folder of wandb's has the whole run. What goes
    wrong there stops no training.

    Args:
        folder: the run's folder, in which wandb keeps its own files. Its configuration is told as well.
        since: step to go on from; the log has rows up to it.
        project: the project there. Whose it is, and the mode, are for wandb's variables: WANDB_ENTITY, WANDB_MODE.
        id: of the run there; the same each time.
        say: hears where it can be seen, and what goes wrong.

    Raises:
        InputError: nobody is logged in, or it can't be reached.
    """

    def __init__(self, folder: RunFolder, since: int, *, project: str, id: str, say: Callable[[str], None]):
        wandb: Any = importlib.import_module("wandb")
        config = {name: value for name, value in folder.config.items() if name != "wandb"}
        try:
            self._run = wandb.init(
                project=project,
                id=id,
                resume="allow",
                name=folder.path.name,
                dir=str(folder.path),
                # Hyperparameters by their own names, as tables there sort by them.
                config=config.pop("hyperparameters") | {"lec7": config},
                # What is printed is for the terminal: a progress bar.
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            why = str(error).partition("\n")[0].rstrip(".")
            raise InputError(
                f"Weights & Biases can't be told: {why}; when it can, or with "
                f"WANDB_MODE=offline, go on with: lec7 run --resume {shlex.quote(str(folder.path))}"
            ) from error
        self._begun = self._run.starting_step
        self._say = say
        if where := _where(self._run):
            say(f"Weights & Biases: {where}")
        for row in folder.metrics() if since else []:
            self.write(row)

    def write(self, row: Mapping[str, Any]) -> None:
        """Tells a row."""
        if self._run is None or row["step"] < self._begun:
            return
        try:
            self._run.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])
        except Exception as error:  # of whatever kind: the service that wandb talks to is a process of its own
            self._give_up(error)

    def close(self) -> None:
        """Waits until all is told."""
        try:
            if self._run is not None:
                self._run.finish()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._run = None
        self._say(f"Weights & Biases is told no more ({type(error).__name__}: {error}); metrics.jsonl has all rows")


def _where(run: Any) -> str | None:
    """Where a run can be seen; nowhere if wandb is disabled."""
    if run.disabled:
        return None
    return f"offline; upload it with: wandb sync {shlex.quote(run.sync_dir)}" if run.offline else run.url
