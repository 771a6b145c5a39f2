"""`lec7 new`: write an experiment file to start from."""

import keyword
import shlex
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lec7.cli.options import read
from lec7.errors import InputError
from lec7.table import table

Kind = Literal["mlp", "cnn", "transfer"]
TOLD: dict[Kind, str] = {
    "mlp": "an MLP on handwritten digits",
    "cnn": "a CNN on small images, which it sees shifted",
    "transfer": "a pretrained network for a new task",
}


@dataclass(frozen=True)
class Options:
    """What to write, and where."""

    name: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="NAME")]
    """The experiment's name, a word such as mine, or experiments/mine in a folder; .py is added."""
    kind: Kind = "mlp"
    """An MLP, a CNN with augmentation, or a pretrained network."""


def main(arguments: list[str]) -> int:
    """Writes the file, and tells what to do with it."""
    options = read(Options, arguments, "new", "Write an experiment file to start from, which runs as it is.")
    name = options.name.name.removesuffix(".py")
    path = options.name.parent / f"{name}.py"
    _check(name, path)
    template = (Path(__file__).parent / "templates" / f"{options.kind}.py").read_text()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(template)
    except OSError as error:
        raise InputError(
            f"{path} can't be written: {error.strerror}: {error.filename}; give a name in another folder"
        ) from None
    file = shlex.quote(str(path))
    commands = {
        f"lec7 run {file}": "trains it, in less than a minute",
        f"lec7 run {file} --help": "tells its hyperparameters",
        f"lec7 sweep {file} --learning-rate log:1e-4:1e-1:9": "tries rates, in one program",
        "lec7 runs --sort accuracy": "lists what came out",
    }
    print(f"wrote {path}: {TOLD[options.kind]}\n")
    print(table([(command, f"# {what}") for command, what in commands.items()]))
    return 0


def _check(name: str, path: Path) -> None:
    """Refuses what can't be imported, what is there, and what would be imported in place of something else."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"the experiment's name is {name!r}, expected a word such as mine: letters, digits and _")
    if path.exists():
        raise InputError(f"{path} exists, and is not overwritten; give another name")
    found = PathFinder.find_spec(name)
    if name in sys.stdlib_module_names or (found is not None and found.origin is not None):
        raise InputError(f"{name} is a Python module, which {name}.py would stand in for; give another name")
