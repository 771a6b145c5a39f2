"""How long work takes on a device: warm, in turns, and waited for."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Call = Callable[[int], Any]
"""Does its work so many times, one after the other, and gives what there is to wait for."""


def repeated(run: Callable[[], Any]) -> Call:
    """The same thing so many times; what comes of the last.

    >>> from itertools import count
    >>> repeated(count(1).__next__)(3)
    3
    """

    def call(times: int) -> Any:
        result = None
        for _ in range(times):
            result = run()
        return result

    return call


def carried(update: Callable[[Any], Any], state: Any) -> Call:
    """An update of what came of the one before, which it may take for itself.

    >>> carried(lambda n: 2 * n, 1)(10)
    1024
    """
    held = [state]

    def run() -> Any:
        held[0] = update(held[0])
        return held[0]

    return repeated(run)


class Spread(NamedTuple):
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """That of values in any order.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.5, high=2.5)
        """
        if len(values) == 1:
            return cls(*values * 3)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def in_turns(calls: Mapping[str, Call], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Times calls in turns, so that what else the machine does meets them all.

    Each is called once to compile, and once to learn how often it fits into a turn. Every other round goes backwards.

    Args:
        calls: what is timed, by name.
        rounds: turns of each.
        seconds: length of a turn, about; a turn has at least one call.

    Returns:
        The seconds that one time took in each round, by name.

    >>> import jax.numpy as jnp
    >>> taken = in_turns({"wait": lambda times: [time.sleep(0.001) for _ in range(times)]}, rounds=3, seconds=0.01)
    >>> len(taken["wait"]), min(taken["wait"]) >= 0.001
    (3, True)
    """
    for call in calls.values():
        jax.block_until_ready(call(1))
    times = {name: max(1, round(seconds / once(call, 1))) for name, call in calls.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in list(calls.items())[:: -1 if turn % 2 else 1]:
            taken[name].append(once(call, times[name]))
    return taken


def once(call: Call, times: int) -> float:
    """The seconds that one of so many times took."""
    begin = time.perf_counter()
    jax.block_until_ready(call(times))
    return (time.perf_counter() - begin) / times
