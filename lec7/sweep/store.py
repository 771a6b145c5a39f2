"""What a sweep leaves on disk: a row for each lane that has ended, and the states of those that have not."""

import dataclasses
import itertools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization

from lec7.errors import InputError
from lec7.experiment.folder import RunFolder, json_lines, plain
from lec7.sweep.lane import Lane
from lec7.sweep.results import Row
from lec7.typing import PyTree

RESULTS, STATES, COMMON = "results.jsonl", "states", "hyperparameters.json"


class Store:
    """The folder of a sweep. Several processes may write to one, each to files of its own.

    Args:
        folder: where it is, made if missing; None keeps nothing.
        process: the number of this process, of several.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, process: int = 0):
        self.folder = folder = None if folder is None else Path(folder)
        mine = RESULTS if process == 0 else f"results-{process}.jsonl"
        self._mine = None if folder is None else folder / mine
        self._states: dict[Path, set[int]] = {}
        self._process = process
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def claim(self, hyperparameters: Mapping[str, Any]) -> None:
        """Notes what all lanes have in common.

        Raises:
            InputError: the folder is of a sweep with other hyperparameters.
        """
        if self.folder is None or self._process:
            return
        path, mine = self.folder / COMMON, json.loads(json.dumps(plain(hyperparameters)))
        if not path.exists():
            RunFolder(self.folder).write(COMMON, mine)
        elif (before := json.loads(path.read_text())) != mine:
            differing = [name for name in mine if before.get(name) != mine[name]] or list(before.keys() - mine.keys())
            raise InputError(
                f"{self.folder} has a sweep with other hyperparameters ({', '.join(differing)}): "
                "give the folder of a sweep of the same, or an empty one"
            )

    def add(self, rows: Sequence[Row]) -> None:
        """Adds rows, and gives up saved states that nobody needs any more."""
        if self._mine is None or not rows:
            return
        _cut_off_a_torn_line(self._mine)
        with self._mine.open("a") as file:
            file.writelines(json.dumps(plain(dataclasses.asdict(row))) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        self._ended({row.lane for row in rows})

    def save(self, lanes: Sequence[Lane]) -> None:
        """Saves lanes that are under way, whole or not at all."""
        if self.folder is None or not lanes:
            return
        states = self.folder / STATES
        states.mkdir(exist_ok=True)
        target = next(path for i in itertools.count() if not (path := states / f"{self._process}-{i}.msgpack").exists())
        about = [(lane.number, lane.step, dict(lane.metrics), lane.curves) for lane in lanes]
        content = {
            "about": json.dumps(plain(about)),
            "leaves": {str(i): leaf for i, leaf in enumerate(_stacked([lane.state for lane in lanes]))},
        }
        with tempfile.NamedTemporaryFile("wb", dir=states, suffix=".tmp", delete=False) as file:
            file.write(serialization.msgpack_serialize(content))
        Path(file.name).replace(target)
        self._ended({lane.number for lane in lanes})  # what was saved of them before
        self._states[target] = {lane.number for lane in lanes}

    def load(self, lanes: Sequence[Lane], like: PyTree) -> None:
        """Puts lanes where they were saved; `like` is a lane's state before its first step, on the host."""
        wanted = {lane.number: lane for lane in lanes}
        for path in sorted(self._saved(), key=lambda path: path.stat().st_mtime):
            try:
                content: Any = serialization.msgpack_restore(path.read_bytes())
                about = json.loads(content["about"])
                leaves = [content["leaves"][str(i)] for i in range(len(content["leaves"]))]
            except (ValueError, KeyError, TypeError):
                continue  # what can't be read is trained again
            structure = jax.tree.structure(like)
            if [leaf.shape[1:] for leaf in leaves] != [np.shape(leaf) for leaf in jax.tree.leaves(like)]:
                continue  # another group's
            for i, (number, step, metrics, curves) in enumerate(about):
                if (lane := wanted.get(number)) is not None and step >= lane.step:
                    lane.step, lane.metrics = step, metrics
                    lane.curves = {name: [(at, value) for at, value in pairs] for name, pairs in curves.items()}
                    lane.state = jax.tree.unflatten(structure, [leaf[i] for leaf in leaves])
            self._states.setdefault(path, set()).update(number for number, *_ in about)

    def rows(self) -> list[Row]:
        """The rows of all processes, in the order of lanes."""
        return [] if self.folder is None else read_rows(self.folder)

    @property
    def holds_states(self) -> bool:
        """Whether lanes were saved that had not ended."""
        return bool(self._saved())

    def _saved(self) -> list[Path]:
        folder = None if self.folder is None else self.folder / STATES
        return [] if folder is None or not folder.is_dir() else list(folder.glob("*.msgpack"))

    def _ended(self, numbers: set[int]) -> None:
        for path, held in list(self._states.items()):
            held -= numbers
            if not held:
                path.unlink(missing_ok=True)
                del self._states[path]


def read_rows(folder: Path) -> list[Row]:
    """The rows that lie in a folder, in the order of lanes; a last line that was cut off by a kill is left out.

    Raises:
        InputError: another line is damaged.
    """
    found: dict[int, Row] = {}
    for path in sorted(folder.glob("results*.jsonl")):
        try:
            rows = [Row.restore(content) for content in json_lines(path)]
        except (TypeError, KeyError) as error:
            raise InputError(f"{path} is damaged: {error}") from None
        found |= {row.lane: row for row in rows}
    return [found[lane] for lane in sorted(found)]


def _cut_off_a_torn_line(path: Path) -> None:
    """A kill in the midst of a line leaves a piece of one, to which nothing may be added."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])


def _stacked(states: Sequence[PyTree]) -> list[np.ndarray]:
    return [np.stack(leaves) for leaves in zip(*map(jax.tree.leaves, states), strict=True)]
