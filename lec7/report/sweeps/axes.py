"""Scales and ends of axes, chosen by what is to be seen on them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from lec7.sweep.results import Direction

Scale = Literal["linear", "log", "symlog"]
Numbers = Sequence[float] | np.ndarray


def scale(values: Numbers) -> Scale:
    """Of an axis on which the values lie evenly; logarithms are for those that are 30 times as large as others.

    Beyond 10,000 times it is logarithms, however they lie.

    >>> scale([1e-4, 1e-3, 1e-2, 1e-1]), scale([0, 1e-4, 1e-3, 1e-2]), scale([0.1, 0.2, 0.5])
    ('log', 'symlog', 'linear')
    >>> scale(np.linspace(0.01, 0.5, 50))
    'linear'
    >>> scale([0.003, 0.01, 0.03, 1e30, 2e30, 3e30, 4e30])
    'log'
    """
    positive = np.array([value for value in values if value > 0])
    if not positive.size or min(values) < 0 or positive.max() < 30 * positive.min():
        return "linear"

    def off_middle(x: np.ndarray) -> float:
        return abs(np.interp(np.median(x), [x.min(), x.max()], [-1, 1]))

    if positive.max() < 1e4 * positive.min() and off_middle(positive) < off_middle(np.log(positive)) - 0.1:
        return "linear"
    return "log" if min(values) > 0 else "symlog"


def limits(values: Numbers, direction: Direction, scale: Scale = "linear", share: float = 0.75) -> tuple[float, float]:
    """Ends of an axis of which the best of the values take a third or more, however bad the worst.

    Args:
        values: what is to be seen, all finite.
        direction: whether much or little of it is good.
        scale: "log" for distances between logarithms.
        share: how many are the best.

    >>> low, high = limits([0.1, 0.2, 0.3, 0.4, 1e9], "minimize")
    >>> round(low, 3), round(high, 3)
    (0.085, 0.415)
    """
    if not len(values):
        return 0.0, 1.0
    forth, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    sign = 1 if direction == "minimize" else -1
    costs = sign * forth(values)
    least, bad = costs.min(), np.quantile(costs, share, method="nearest")
    most = costs[costs <= bad + 2 * (bad - least)].max()
    margin = 0.05 * (most - least) or 0.05 * abs(least) or 0.05
    low, high = sorted((sign * (least - margin), sign * (most + margin)))
    return float(back(low)), float(back(high))


def axis_of_metric(values: Numbers, direction: Direction, share: float = 0.75) -> tuple[Scale, tuple[float, float]]:
    """Scale and ends of the axis of a metric: logarithms for what is to be small and spans much.

    >>> axis_of_metric([1e-4, 1e-3, 1e-2, 0.1], "minimize")[0], axis_of_metric([0.01, 0.9], "maximize")[0]
    ('log', 'linear')
    """
    low, high = limits(values, direction, share=share)
    shown = [value for value in values if low <= value <= high]
    found: Scale = "log" if direction == "minimize" and scale(shown) == "log" and min(values) > 0 else "linear"
    return found, limits(values, direction, found, share)
