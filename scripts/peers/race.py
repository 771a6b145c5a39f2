"""Who is faster, and by how much: work that takes turns, and rows of a table."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax

from lec7.bench.clock import Call, Spread, in_turns

RESULTS = Path(__file__).parent / "results"
LEC7 = "lec7"


class Effort(NamedTuple):
    """How long to measure.

    Attributes:
        rounds: turns of each.
        seconds: length of a turn, about.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """How lec7 does beside another.

    Attributes:
        work: what both do.
        peer: the other.
        unit: what is counted a second.
        ours: lec7's median rate.
        theirs: the other's.
        ratio: lec7's speed as a multiple of the other's; the median over rounds.
        low: its lower quartile.
        high: its upper quartile.
        target: what it is meant to be at the least, if anything.
    """

    work: str
    peer: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    target: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the target was not reached, to two digits."""
        return self.target is not None and round(self.ratio, 2) < self.target


def race(
    work: str, unit: str, amount: float, calls: Mapping[str, Call], effort: Effort, targets: Mapping[str, float]
) -> list[Row]:
    """Lets all take turns, and sets lec7 beside each other one.

    Args:
        work: what they do.
        unit: what is counted.
        amount: so many of these are done by each call's unit of work.
        calls: the work by name, one of which is "lec7".
        effort: how long.
        targets: what lec7's speed is meant to be as a multiple of another's, by its name.
    """
    taken = in_turns(calls, rounds=effort.rounds, seconds=effort.seconds)
    return [
        row(work, peer, unit, amount, taken[LEC7], taken[peer], targets.get(peer)) for peer in calls if peer != LEC7
    ]


def row(
    work: str, peer: str, unit: str, amount: float, ours: list[float], theirs: list[float], target: float | None = None
) -> Row:
    """The row of the seconds that both took in each round."""
    ratio = Spread.of([other / mine for mine, other in zip(ours, theirs, strict=True)])
    rates = (amount / Spread.of(taken).median for taken in (ours, theirs))
    return Row(work, peer, unit, *rates, *ratio, target=target)


def save(part: str, rows: Iterable[Row], packages: Iterable[str]) -> None:
    """Keeps the rows of a part for the page, with where they were found."""
    RESULTS.mkdir(exist_ok=True)
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores ({processor()}), {jax.devices()[0].device_kind}, "
        f"Python {platform.python_version()}",
        "versions": {name: metadata.version(name) for name in ("jax", "flax", "optax", *packages)},
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    (RESULTS / f"{part}.json").write_text(json.dumps(found, indent=2) + "\n")


def processor() -> str:
    """What Linux calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def show(row: Row) -> None:
    """Prints it."""
    target = "" if row.target is None else f", {'misses' if row.missed else 'meets'} {row.target:g}"
    print(
        f"  {row.work}: {row.ours:,.4g} {row.unit}/s, {row.peer} {row.theirs:,.4g}: "
        f"{row.ratio:.2f} times ({row.low:.2f} to {row.high:.2f}){target}",
        flush=True,
    )
