"""Reading an experiment file: a frozen dataclass of hyperparameters and `build(hp) -> Experiment`."""

import dataclasses
import hashlib
import importlib.util
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lec7.errors import InputError, nearest, why
from lec7.experiment.definition import Experiment, check
from lec7.typing import is_traced

SCALARS = (bool, int, float, str, type(None))


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """An experiment file, read.

    Attributes:
        path: where it is.
        hyperparameters: its dataclass.
        build: its function.
        sha256: of its content.
    """

    path: Path
    hyperparameters: type
    build: Callable[[Any], Experiment]
    sha256: str

    def restore(self, values: Mapping[str, Any]) -> Any:
        """Hyperparameters from the values of a `config.json`."""
        fields = {field.name: field for field in dataclasses.fields(self.hyperparameters)}
        for name in values:
            if name not in fields:
                raise InputError(f"{self.path} has no hyperparameter {name!r}{nearest(name, list(fields))}")
        # JSON knows no tuples.
        return self.hyperparameters(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        )

    def make(self, hp: Any) -> Experiment:
        """The experiment of these hyperparameters, of which any may be traced.

        Floats reach `build` as float32 numbers, so that what it computes from them rounds as it does when a
        sweep traces them.

        Raises:
            InputError: `build` fails, or gives no `Experiment`.
        """
        try:
            experiment = self.build(as_float32(hp))
        except InputError:
            raise
        except Exception as error:  # of code that anyone may have written
            if any(is_traced(getattr(hp, field.name)) for field in dataclasses.fields(hp)):
                raise  # whoever traces it asks why it can't be
            raise InputError(f"build in {self.path} fails: {type(error).__name__}: {why(error)}") from error
        if not isinstance(experiment, Experiment):
            raise InputError(
                f"build in {self.path} gave a {type(experiment).__name__}, expected a lec7.experiment.Experiment"
            )
        return experiment


def as_float32(hp: Any) -> Any:
    """Hyperparameters as `build` gets them: floats are float32 numbers."""
    floats = {
        field.name: np.float32(value)
        for field in dataclasses.fields(hp)
        if isinstance(value := getattr(hp, field.name), float)
    }
    return dataclasses.replace(hp, **floats)


def load(path: Path) -> ExperimentFile:
    """Reads an experiment file; it may import modules that lie beside it.

    Args:
        path: of the file.

    Raises:
        InputError: there is no such file, it fails when imported, or has no `build` of one annotated dataclass.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "mine.py")
    >>> _ = path.write_text('''
    ... from dataclasses import dataclass
    ... @dataclass(frozen=True)
    ... class Mine:
    ...     seed: int = 0
    ... def build(hp: Mine):
    ...     ...
    ... ''')
    >>> load(path).hyperparameters(seed=3)
    Mine(seed=3)
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is missing"
        raise InputError(f"no file {path}: it {what}; expected an experiment, such as experiments/digits.py")
    module = _import(path.resolve())
    build: Any = getattr(module, "build", None)
    if not callable(build):
        raise InputError(
            f"{path} has no function build; expected build(hp: Hyperparameters) -> lec7.experiment.Experiment"
        )
    hyperparameters = hyperparameters_of(build, f"build in {path}")
    for field in dataclasses.fields(hyperparameters):
        if field.default is dataclasses.MISSING or not _plain(field.default):
            raise InputError(
                f"hyperparameter {field.name} in {path} has no default of a plain type; "
                "expected a number, a text, a bool, None or a tuple of these"
            )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return ExperimentFile(path.resolve(), hyperparameters, typing.cast(Any, build), sha256)


def hyperparameters_of(build: Callable[..., Any], called: str = "build") -> type:
    """The dataclass that a function `build` is annotated with.

    Raises:
        InputError: it is annotated otherwise; the message begins with what it is called.
    """
    hints = [hint for name, hint in typing.get_type_hints(build).items() if name != "return"]
    if len(hints) != 1 or not dataclasses.is_dataclass(hints[0]):
        raise InputError(
            f"{called} takes {hints or 'nothing annotated'}, expected one dataclass: build(hp: Hyperparameters)"
        )
    return typing.cast(type, hints[0])


def instantiate(file: ExperimentFile, hp: Any) -> Experiment:
    """The experiment of these hyperparameters, checked.

    Args:
        file: of `load`.
        hp: an instance of its dataclass.

    Raises:
        InputError: `build` gives no `Experiment`, or one that can't be run.
    """
    experiment = file.make(hp)
    check(experiment)
    return experiment


def _plain(value: Any) -> bool:
    return isinstance(value, SCALARS) or (isinstance(value, tuple) and all(_plain(item) for item in value))


def _import(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Its dataclass is looked up by module name, and its neighbours are imported from its folder.
    sys.modules[path.stem] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""  # a file of bytes has no lines
        raise InputError(f"{path}{where}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        if isinstance(error, SystemExit):
            told = 'it ends the program where it is imported; put that below if __name__ == "__main__":'
            raise InputError(f"{path}{where}: {told}") from None
        raise InputError(f"{path}{where}: {type(error).__name__}: {error}") from error
    return module
