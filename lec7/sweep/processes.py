"""Lanes that several processes of `jax.distributed` share, and what came out of them."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import jax

from lec7.sweep.results import Row
from lec7.train.processes import gathered

Item = TypeVar("Item")


def share(items: Sequence[Item], process: int | None = None, count: int | None = None) -> list[Item]:
    """This process's part of what there is to do.

    >>> share(range(5), process=1, count=2)
    [1, 3]
    """
    process = jax.process_index() if process is None else process
    return list(items[process :: count or jax.process_count()])


def everywhere(rows: Sequence[Row]) -> list[Row]:
    """The rows of all processes, in the order of lanes; each process has to ask."""
    if jax.process_count() > 1:
        parts = gathered([dataclasses.asdict(row) for row in rows])
        rows = [Row.restore(row) for part in parts for row in part]
    return sorted(rows, key=lambda row: row.lane)
