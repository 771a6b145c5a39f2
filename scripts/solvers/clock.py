"""Seconds: of a call that is waited for, and of calls that take turns."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from lec7.bench.clock import once, repeated

TURN = 0.01  # seconds that a turn takes at least


def timed(call: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """The seconds until its result is there, and the result."""
    begin = time.perf_counter()
    result = jax.block_until_ready(call(*given))
    return time.perf_counter() - begin, result


def calls_of(run: Callable[[], Any]) -> int:
    """How many calls make a turn long enough to be timed."""
    return max(1, round(TURN / once(repeated(run), 1)))


def turns(runs: Mapping[Any, Any], rounds: int) -> Iterator[tuple[Any, Any]]:
    """All of them in each round; the first round and every other one go backwards."""
    for turn in range(rounds):
        yield from list(runs.items())[:: 1 if turn % 2 else -1]
