"""The folder that a run leaves: configuration, log, event files, checkpoints, result."""

import contextlib
import dataclasses
import itertools
import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lec7.errors import InputError, short
from lec7.experiment.file import ExperimentFile
from lec7.train.processes import on_first

PACKAGES = ("lec7", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run on disk, by name: `config.json`, `metrics.jsonl`, `result.json`, `checkpoints/`, `events/`.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def config(self) -> dict[str, Any]:
        """What was run, and where.

        Raises:
            InputError: there is no run here, or its configuration is damaged.
        """
        kinds = {"experiment": str, "sha256": str, "hyperparameters": dict, "git_commit": str | None}
        return self._read("config.json", kinds)

    @property
    def result(self) -> dict[str, Any] | None:
        """How it ended; None while it runs, or when it was killed."""
        if not (self.path / "result.json").exists():
            return None
        return self._read("result.json", {"status": str, "step": int, "metrics": dict, "seconds": int | float})

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line, in the order of steps."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """Orbax's folder, one folder a step."""
        return self.path / "checkpoints"

    @property
    def events_path(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "events"

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of the log, each with a `"step"`; a last line that was cut off by a kill is left out.

        Raises:
            InputError: another line is damaged.
        """
        rows = json_lines(self.metrics_path) if self.metrics_path.exists() else []
        for number, row in enumerate(rows, 1):
            if not isinstance(row.get("step"), int):
                raise InputError(f"{self.metrics_path} is damaged in line {number}: it has no step, an int")
        return rows

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Keeps the folder from being another run's as well, until this one ends, however it does.

        Raises:
            InputError: another run has it.
        """
        import filelock  # whoever trains by `Experiment.fit` can do without

        lock = filelock.FileLock(self.path / ".lock", blocking=False)

        def acquire() -> None:
            try:
                lock.acquire()
            except filelock.Timeout:
                raise InputError(
                    f"{self.path} is what another process is training just now; wait for it to end, or give another "
                    "--name"
                ) from None

        on_first(acquire)
        try:
            yield
        finally:
            lock.release()

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file whole or not at all."""
        target = self.path / name
        with tempfile.NamedTemporaryFile("w", dir=self.path, suffix=".tmp", delete=False) as file:
            json.dump({key: plain(value) for key, value in content.items()}, file, indent=2)
            file.write("\n")
        Path(file.name).replace(target)

    def _read(self, name: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON file that has entries of these kinds, at least."""
        path = self.path / name
        if not path.is_file():
            raise InputError(f"{self.path} is no run: it has no {name}; `lec7 runs` lists the runs there are")
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path} is damaged: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f"{path} is damaged: it has {short(content)}, expected entries by name")
        if missing := [key for key in kinds if key not in content]:
            raise InputError(f"{path} is damaged: it has no {missing[0]!r}")
        for key, kind in kinds.items():
            if not isinstance(content[key], kind):
                raise InputError(f"{path} is damaged: its {key!r} is {short(content[key])}")
        return content

    @classmethod
    def create(cls, workdir: Path, name: str | None, stem: str, overwrite: bool, needed: int) -> "RunFolder":
        """Makes the folder of a new run.

        Args:
            workdir: folder of the runs; made where it is missing.
            name: the run's name; by default the first free one of `stem-1`, `stem-2`, ...
            stem: what a default name starts with.
            overwrite: whether a run of this name may be replaced.
            needed: bytes that the run will take, about.

        Raises:
            InputError: the name is taken, the folder can't be written, or the disk is too full.
        """
        if name is not None and (Path(name).name != name or name in ("", ".", "..")):
            raise InputError(f"the run's name is {name!r}, expected one folder's name; --workdir says where it lies")
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            names = [name] if name else (f"{stem}-{i}" for i in itertools.count(1))
            path = next(made for n in names if (made := cls._claim(workdir / n, overwrite, retry=name is None)))
        except OSError as error:
            raise InputError(f"no run can be written to {workdir}: {error.strerror}; give another --workdir") from None
        free = shutil.disk_usage(path).free
        if free < needed:
            path.rmdir()
            raise InputError(
                f"{workdir} has {free / 1e6:.0f} MB free and this run needs about {needed / 1e6:.0f} MB; "
                "make room or give another --workdir"
            )
        return cls(path)

    @classmethod
    def _claim(cls, path: Path, overwrite: bool, retry: bool) -> Path | None:
        """Makes `path`; where it stands already, None if another may be tried."""
        try:
            path.mkdir()
            return path
        except FileExistsError:
            if retry:
                return None
            if not overwrite:
                raise taken(path) from None
            # One that was killed while it wrote its first file has that as a .tmp.
            foreign = any(item.suffix != ".tmp" for item in path.iterdir())
            if foreign and not (path / "config.json").exists():
                raise InputError(
                    f"{path} is no run of lec7's, and so is not overwritten; give another --name"
                ) from None
            shutil.rmtree(path)
            path.mkdir()
            return path


def taken(path: Path) -> InputError:
    """What is raised where a new run is to have the folder of another."""
    return InputError(f"{path} exists; give another --name, go on with --resume {path}, or replace it with --overwrite")


def describe(file: ExperimentFile, hp: Any) -> dict[str, Any]:
    """What goes into `config.json`: all that is needed to run again, and to know what was run on."""
    import jax

    device = jax.devices()[0]
    return {
        "experiment": str(file.path),
        "sha256": file.sha256,
        "hyperparameters": dataclasses.asdict(hp),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "git_commit": git_commit(file.path.parent),
        "device": {"kind": device.device_kind, "platform": device.platform, "count": jax.device_count()},
        "host": platform.node(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
    }


def git_commit(folder: Path) -> str | None:
    """The commit checked out in `folder`, with "+changes" where files differ from it; None outside of git."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object a line; a last line that was cut off by a kill is left out.

    Raises:
        InputError: another line is damaged.
    """
    content = path.read_text(errors="replace")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(content[: content.rfind("\n") + 1].splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"{path} is damaged in line {number}: {error}") from None
        if not isinstance(rows[-1], dict):
            raise InputError(f"{path} is damaged in line {number}: it is {short(rows[-1])}, expected entries by name")
    return rows


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are not finite become texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def runs(workdir: Path) -> Iterator[RunFolder]:
    """The runs in a folder, oldest first."""
    if not workdir.is_dir():
        raise InputError(f"no folder {workdir}; `lec7 run` makes one, --workdir names another")
    folders = [RunFolder(config.parent) for config in workdir.glob("*/config.json")]
    yield from sorted(folders, key=lambda run: (run.path / "config.json").stat().st_mtime)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
