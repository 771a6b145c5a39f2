"""How many lanes run side by side: measured, where there is enough to do that it pays."""

from collections.abc import Callable
from typing import NamedTuple

SMALL = 2e7
"""Floating-point operations of a step below which a core gains more by lanes side by side than its cache loses."""
WIDE = 1e10
"""Floating-point operations of all lanes' steps that an accelerator has to be given to be busy."""
GAIN = 0.3
"""Share of the time that another number of lanes may save, as it is thought before it is tried."""


class Trial(NamedTuple):
    """What was measured.

    Attributes:
        lanes: side by side on a device.
        seconds: of a step of one lane.
        cost: seconds that the trial took, compiling most of all.
    """

    lanes: int
    seconds: float
    cost: float


def candidates(most: int) -> list[int]:
    """The numbers that are tried: powers of two, and the greatest.

    >>> candidates(12)
    [1, 2, 4, 8, 12]
    """
    return [*(2**i for i in range(most.bit_length()) if 2**i < most), most]


def first_guess(flops: float, most: int, platform: str) -> int:
    """The number to try first, of the candidates.

    Args:
        flops: of a lane's step.
        most: lanes that a device could have.
        platform: "cpu", "gpu" or "tpu".
    """
    wanted = (8 if flops < SMALL else 1) if platform == "cpu" else max(1, WIDE / max(flops, 1.0))
    return max(number for number in candidates(most) if number <= wanted)


def choose(trial: Callable[[int], Trial | None], first: int, most: int, steps: float) -> list[Trial]:
    """Tries numbers of lanes, from a first guess to where it gets no faster, as long as that may pay.

    Args:
        trial: tries a number; None where there is no memory for it.
        first: the number to begin with.
        most: the greatest.
        steps: how many there are to do, of all lanes that a device has.

    Returns:
        The trials, the best first.
    """
    numbers = candidates(most)
    tried: dict[int, Trial | None] = {first: trial(first)}
    if tried[first] is None and first > 1:
        return choose(trial, numbers[numbers.index(first) - 1], most, steps)
    while True:
        done = sorted(filter(None, tried.values()), key=lambda one: one.seconds)
        if not done:
            return done
        place = numbers.index(done[0].lanes)
        beside = [numbers[i] for i in (place + 1, place - 1) if 0 <= i < len(numbers) and numbers[i] not in tried]
        if not beside or GAIN * done[0].seconds * steps < max(one.cost for one in done):
            return done
        tried[beside[0]] = trial(beside[0])
