"""One of several processes of a run: who they are, and what is said when one of them is gone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Annotated, NoReturn

import tyro

from lec7.errors import InputError

HEARTBEAT_SECONDS = 20
"""A process that is silent for so long is taken to be gone."""

GONE = 4
"""The exit code of a process that ends because another one has."""


@dataclass(frozen=True)
class Distributed:
    """Which process this is, where it is one of several."""

    distributed: bool = False
    """One of several processes, as SLURM, MPI or Kubernetes tell, or the three options below."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Where the first process can be reached by all, if nothing else tells."""
    processes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """How many processes there are."""
    process: Annotated[int | None, tyro.conf.arg(metavar="I")] = None
    """Which of them this is, from 0 on."""


def connect(options: Distributed) -> None:
    """Makes this process one of several, where it is; to be called before JAX has made its devices.

    Raises:
        InputError: there are options for several processes without --distributed, or nothing tells which one this is.
    """
    explicit = (options.coordinator, options.processes, options.process)
    if not options.distributed:
        if any(value is not None for value in explicit):
            raise InputError("--coordinator, --processes and --process are for --distributed: give that as well")
        return
    if any(value is None for value in explicit) and any(value is not None for value in explicit):
        raise InputError(
            f"--coordinator is {options.coordinator}, --processes {options.processes} and --process {options.process}, "
            "expected all three, or none where SLURM, MPI or Kubernetes tell"
        )
    import jax

    try:
        jax.distributed.initialize(
            *explicit, heartbeat_timeout_seconds=HEARTBEAT_SECONDS, shutdown_timeout_seconds=2 * HEARTBEAT_SECONDS
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"--distributed could not join the other processes: {str(error).splitlines()[0]}; where SLURM, MPI or "
            "Kubernetes don't tell, give --coordinator HOST:PORT --processes N --process I"
        ) from error


@contextlib.contextmanager
def together(again: str) -> Generator[None]:
    """What several processes do together: if one of them fails or is gone, the others end too, and say why.

    Args:
        again: how to go on, a command.
    """
    import jax

    if jax.process_count() == 1:
        yield
        return
    who = f"lec7: process {jax.process_index()} of {jax.process_count()}"
    gone = f"{who} ends, for another one is gone; start all of them again: {again}"
    with _last_words(gone) as said:
        try:
            yield
        except InputError as error:
            _leave(f"{who}: {error}", 2)
        except jax.errors.JaxRuntimeError as error:
            said()
            _leave(f"{gone} ({str(error).splitlines()[0]})", GONE)


@contextlib.contextmanager
def _last_words(text: str) -> Generator[Callable[[], None]]:
    """Has a text said on standard error if this process ends in the midst of this, unless it was said already.

    When one of several processes is gone, JAX ends the others from C++, and Python is not asked.
    """
    script = '[ "$(cat)" = said ] || printf "%s\\n" "$1" >&2'
    teller = subprocess.Popen(["sh", "-c", script, "sh", text], stdin=subprocess.PIPE, start_new_session=True)

    def said() -> None:
        teller.communicate(b"said")

    yield said
    if teller.returncode is None:
        said()


def _leave(text: str, code: int) -> NoReturn:
    """Ends this process at once: at an orderly end JAX would wait for the others, and these for this one."""
    print(text, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
