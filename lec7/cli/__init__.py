"""The `lec7` command. Nothing here imports JAX before a command needs it: `lec7 --help` answers at once."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from lec7.errors import InputError, nearest

COMMANDS = {
    "run": "train an experiment, or go on with a run",
    "transfer": "fine-tune a pretrained network on images of your own",
    "predict": "tell what a fine-tuned network sees in images",
    "eval": "evaluate a run's checkpoint on its test examples",
    "sweep": "train an experiment at many points, as lanes of one program",
    "report": "tell what came out of a sweep, in a table and in pictures",
    "runs": "list runs with their results",
    "doctor": "tell versions, devices, optional parts and what is missing for them",
}
USAGE = """usage: lec7 COMMAND [OPTION ...]

Lecture 7 of CS231n as composable JAX: optimization, regularization, transfer learning.

commands:
{commands}

lec7 COMMAND --help tells a command's options;
lec7 run EXPERIMENT.py --help tells an experiment's hyperparameters.
"""
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code.

    0: done. 2: the input can't be used, a message says why. 3: the loss diverged. 130, 143: stopped by Ctrl-C or
    SIGTERM, after saving. 1: a fault of lec7's, with its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _command(words)(words[1:])
    except InputError as error:
        print(f"lec7: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # `lec7 runs | head`
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        print(f"lec7: {error.strerror}: {error.filename or 'a file of the run'}", file=sys.stderr)
        return BAD_INPUT


def _command(words: list[str]) -> Callable[[list[str]], int]:
    if not words or words[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {name:<8} {what}" for name, what in COMMANDS.items())
        print(USAGE.format(commands=commands), end="")
        return lambda _: 0 if words else BAD_INPUT
    if words[0] in ("-V", "--version"):
        from lec7 import __version__

        print(f"lec7 {__version__}")
        return lambda _: 0
    if words[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise InputError(f"no command {words[0]!r}{nearest(words[0], list(COMMANDS))}; the commands are {known}")
    return import_module(f"lec7.cli.{words[0]}").main
