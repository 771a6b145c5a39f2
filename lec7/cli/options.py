"""What the commands have in common: reading options by tyro."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tyro

from lec7.errors import InputError, nearest

WHICH = ("latest", "best")
"""Checkpoints that have a name; others are called by their steps."""


def read(options: type, arguments: Sequence[str], command: str, description: str) -> Any:
    """An instance of the dataclass `options` from the words of a command line.

    An unknown option or a wrong type ends the program with a message and exit code 2.
    """
    return tyro.cli(
        options,
        args=list(arguments),
        prog=f"lec7 {command}",
        description=description,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def check_checkpoint(which: str, steps: Sequence[int] = ()) -> None:
    """Refuses what names no checkpoint.

    Args:
        which: the option's text.
        steps: of the checkpoints there are, where they are known.

    Raises:
        InputError: it is no number, and not "latest" or "best".
    """
    if which not in WHICH and not which.isdigit():
        of = f" of {list(steps)}" if steps else ""
        near = nearest(which, WHICH)
        raise InputError(f'--checkpoint is {which!r}, expected "latest", "best" or a step{of}{near}')


def refuse_others(options: type, arguments: Sequence[str], instead: str) -> None:
    """Refuses options that a command has not when it goes on with something.

    Args:
        options: the dataclass of those that it has.
        arguments: the command line.
        instead: what to do.

    Raises:
        InputError: with the first of them.
    """
    known = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(options)]
    for word in arguments:
        name = word.partition("=")[0].replace("_", "-")
        if word.startswith("--") and name not in (*known, "--help"):
            raise InputError(f"--resume goes on as it was, and has no {name}{nearest(name, known)}; {instead}")


def read_with_hyperparameters(
    file: Any, options: type, usage: type, arguments: Sequence[str], command: str, more: str = ""
) -> tuple[Any, Any]:
    """The options of a command and the hyperparameters of an experiment's file, out of one command line.

    Args:
        file: the experiment's.
        options: the command's, where there is an experiment.
        usage: all options that the command has, whose names hyperparameters can't have.
        arguments: the command line.
        command: the command's name.
        more: what its --help says below what the file says of itself.

    Raises:
        InputError: a hyperparameter is called as an option is.
    """
    taken = {field.name for field in dataclasses.fields(usage)}
    for field in dataclasses.fields(file.hyperparameters):
        if field.name in taken:
            raise InputError(
                f"hyperparameter {field.name!r} in {file.path} is an option of lec7 {command}; call it otherwise"
            )
    # The names of its fields are the headings of --help.
    both = dataclasses.make_dataclass("Both", [(command, options), ("hyperparameter", file.hyperparameters)])
    description = (file.build.__globals__.get("__doc__") or "").strip() + more
    given = read(both, arguments, f"{command} {file.path.name}", description)
    return getattr(given, command), given.hyperparameter
