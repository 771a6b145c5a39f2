"""The `lec7` command. Nothing here imports JAX before a command needs it: `lec7 --help` answers at once."""

import gc
import os
import platform
import sys
import zlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from lec7.errors import InputError, nearest

COMMANDS = {
    "new": "write an experiment file to start from",
    "run": "train an experiment, or go on with a run",
    "transfer": "fine-tune a pretrained network on images of your own",
    "predict": "tell what a fine-tuned network sees in images",
    "eval": "evaluate a run's checkpoint on its test examples",
    "sweep": "train an experiment at many points, as lanes of one program",
    "report": "tell what came out of runs and sweeps, in one HTML page",
    "runs": "list runs with their results, sorted by any of them",
    "compare": "tell what differs between runs, and their figures side by side",
    "bench": "measure how fast a device is, beside what it can do at the most",
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
CACHE_BYTES = 2**31
"""What compiled programs may take of the user's cache folder; the ones that were not used for longest go first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code.

    0: done. 2: the input can't be used, a message says why. 3: the loss diverged. 130, 143: stopped by Ctrl-C or
    SIGTERM, after saving. 1: a fault of lec7's, with its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Imports and traces make objects by the hundred thousand, and hardly a cycle.
    gc.set_threshold(100_000, 20, 20)
    _keep_programs()
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


def _keep_programs() -> None:
    """Has JAX keep compiled programs in the user's cache folder, unless its own variables say something else."""
    if {"JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"} & set(os.environ):
        return
    # Programs for a CPU are made for its very instructions.
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else platform.processor()
    instructions = next((line for line in told.splitlines() if line.startswith(("flags", "Features"))), told)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(home / "lec7" / f"jax-{zlib.crc32(instructions.encode()):08x}")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(CACHE_BYTES))


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
