"""What the experiments share: sentences of the lecture, figures that bear them out or do not, and how both are told."""

import ast
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import tyro

from lec7.cli.progress import watch
from lec7.errors import InputError
from lec7.experiment import Experiment, RunFolder, check, run


class Finding(NamedTuple):
    """Whether a sentence of the lecture is borne out, and by which figures.

    Attributes:
        claim: the sentence.
        holds: whether it is so; None where seeds differ by more than what is claimed.
        figures: what was measured.
    """

    claim: str
    holds: bool | None
    figures: str

    @property
    def answer(self) -> str:
        """Whether it holds, in words."""
        return "undecided" if self.holds is None else "holds" if self.holds else "does not hold"


@dataclass(frozen=True)
class Effort:
    """How much of it is done, and where it is noted."""

    quick: bool = False
    """All of it in small, to see that it runs; its figures say nothing about the lecture."""
    results: Path | None = None
    """A JSON file for what was found, of which scripts/run_experiments.py makes the index."""


Options = TypeVar("Options", bound=Effort)


def command(main: Callable[[Options], Iterable[Finding]], options: type[Options], file: str = "") -> None:
    """Runs an experiment as a command: reads its options, does it, and tells whether its figures bear out the claims.

    Args:
        main: does it, and gives what it found.
        options: what may be chosen.
        file: the experiment's, by default the one that has `main`.
    """
    path = Path(file or str(sys.modules[main.__module__].__file__))
    about = ast.get_docstring(ast.parse(path.read_text())) or ""
    begin = time.monotonic()
    try:
        given = tyro.cli(options, description=about)
        found = list(main(given))
    except InputError as error:
        print(f"{path.name}: {error}", file=sys.stderr)
        sys.exit(2)
    seconds = time.monotonic() - begin
    print(f"\nIn {seconds:.0f} s:")
    for finding in found:
        print(f"- {finding.answer}: {finding.claim}: {finding.figures}")
    if given.quick:
        print("This was a quick run, which tells that all of it runs, and nothing about the lecture.")
    if given.results is not None:
        picture = getattr(given, "output", None)
        note = {
            "findings": [{"claim": one.claim, "answer": one.answer, "figures": one.figures} for one in found],
            "picture": picture and picture.name,
            "quick": given.quick,
            "seconds": round(seconds),
            "on": _where(),
        }
        given.results.write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n")


def training(
    build: Callable[[Any], Experiment], hyperparameters: Callable[..., Any], claim: str, accuracy: float
) -> None:
    """The command of an experiment that `lec7 run` trains: trains it, and tells whether it is as accurate as claimed.

    Args:
        build: the experiment's.
        hyperparameters: its dataclass, which has `steps`.
        claim: what it should reach, in words.
        accuracy: what the averaged parameters should reach in testing.
    """

    def main(options: Effort) -> Iterator[Finding]:
        made = build(hyperparameters(steps=50) if options.quick else hyperparameters())
        check(made)
        with tempfile.TemporaryDirectory() as folder, watch() as observer:
            outcome = run(made, RunFolder(Path(folder)), observer)
        reached = outcome.metrics["test/accuracy"]
        yield Finding(claim, reached >= accuracy, f"{reached:.2%} after {outcome.step} steps")

    command(main, Effort, str(sys.modules[build.__module__].__file__))


def _where() -> str:
    """What it ran on: the devices as JAX calls them, the cores, and JAX's version."""
    kinds = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    return f"{kinds}, {os.cpu_count()} cores, JAX {jax.__version__}"
