"""lec7 beside others, in one sitting: `scripts/bench_peers [PART ...]`."""

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import tyro

from peers import page
from peers.race import Effort, save, show

Name = Literal["training", "accuracy", "start", "adam", "networks", "augmentation", "solvers", "sweeps"]


class Part(NamedTuple):
    """What measures a part: a function of a module; and the packages whose versions matter besides JAX's family."""

    module: str
    function: str
    packages: tuple[str, ...]


PARTS: Mapping[Name, Part] = {
    "training": Part("training", "training", ("torch", "keras")),
    "accuracy": Part("processes", "to_accuracy", ("torch", "keras")),
    "start": Part("processes", "first_steps", ("keras",)),
    "adam": Part("adam", "adam", ()),
    "networks": Part("pretrained", "pretrained", ("torch",)),
    "augmentation": Part("others", "augmentation", ("dm-pix", "augmax", "albumentations")),
    "solvers": Part("others", "solvers", ("scipy", "jaxopt", "optimistix")),
    "sweeps": Part("others", "sweeps", ()),
}


@dataclass(frozen=True)
class Options:
    """What to measure, and how long."""

    parts: Annotated[tyro.conf.Positional[tuple[Name, ...]], tyro.conf.arg(metavar="PART")] = tuple(PARTS)
    """Which parts, each in a process of its own; all by default."""
    rounds: int = 9
    """Turns of each."""
    seconds: float = 0.5
    """Length of a turn, about."""
    only_page: bool = False
    """Measures nothing, and writes the page of what was found before."""


def main(options: Options) -> None:
    """Measures, keeps what it finds, and writes docs/benchmarks.md."""
    if not options.only_page:
        for name in options.parts:
            if len(options.parts) == 1:
                measure(name, Effort(options.rounds, options.seconds))
            else:
                effort = ("--rounds", str(options.rounds), "--seconds", str(options.seconds))
                subprocess.run([sys.executable, "-m", "peers", name, *effort], check=True, env=os.environ)
    print(f"{page.write()} has what was found")


def measure(name: Name, effort: Effort) -> None:
    """Measures a part."""
    part, rows = PARTS[name], []
    print(name, flush=True)
    for row in getattr(importlib.import_module(f"peers.{part.module}"), part.function)(effort):
        show(row)
        rows.append(row)
    save(name, rows, part.packages)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
