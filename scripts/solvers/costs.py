"""What a solution costs, in work and in time, read off the figures of a race."""

import statistics
from collections.abc import Iterable


def work(figures: dict) -> int:
    """Products of the Hessian with a vector, of which each costs about two gradients, count as one evaluation each."""
    return figures["evaluations"] + figures["products"]


def time_of(figures: dict) -> float:
    """Of the median turn."""
    return statistics.median(figures["seconds"])


def time_ratio(figures: dict, other: dict) -> float:
    """Of the turns that both took."""
    return statistics.median(a / b for a, b in zip(figures["seconds"], other["seconds"], strict=False))


def median(numbers: Iterable[float]) -> float:
    """Of no numbers it is none."""
    numbers = list(numbers)
    return statistics.median(numbers) if numbers else float("nan")
