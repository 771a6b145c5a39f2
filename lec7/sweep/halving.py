"""Successive halving: all settings get a little training, the better ones more (Jamieson and Talwalkar, 2016)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lec7.errors import InputError
from lec7.sweep.results import Direction, cost


@dataclass(frozen=True)
class Halving:
    """Which share of the settings goes on, and how often that is asked.

    Attributes:
        eta: of so many settings one goes on.
        rungs: how often settings are dropped; by default as often as leaves one.
    """

    eta: float = 3.0
    rungs: int | None = None

    def __post_init__(self):
        if not self.eta > 1:
            raise InputError(f"eta is {self.eta}, expected more than 1: of eta settings one goes on")
        if self.rungs is not None and self.rungs < 1:
            raise InputError(f"rungs is {self.rungs}, expected at least 1")

    def shares(self, settings: int) -> list[float]:
        """The shares of all steps at which settings are dropped, each eta times the one before.

        >>> Halving(eta=2).shares(8)
        [0.125, 0.25, 0.5]
        """
        rungs = self.rungs or max(0, math.floor(math.log(settings) / math.log(self.eta) + 1e-9))
        return [self.eta ** (i - rungs) for i in range(rungs)]


def survivors(values: Sequence[float], eta: float, direction: Direction) -> list[int]:
    """The places of the settings that go on: the best of them, one of eta, rounded up, in their order.

    Settings that diverged (NaN) do not go on; among equals the earlier do.

    Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016.

    Args:
        values: of the settings' metric.
        eta: of so many one goes on.
        direction: whether much or little of it is good.

    >>> survivors([0.9, 0.5, float("nan"), 0.8, 0.7], 2, "maximize")
    [0, 3, 4]
    """
    ranked = sorted((cost(value, direction), place) for place, value in enumerate(values) if not math.isnan(value))
    return sorted(place for _, place in ranked[: math.ceil(len(values) / eta)])
