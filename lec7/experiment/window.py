"""What a window of steps came to: means, or the step at which it failed."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lec7 import optim
from lec7.typing import PyTree

LATEST = ("learning_rate", "skipped", "plateau_scale")
"""Metrics of which a window's last value counts, and not the mean."""


def is_due(before: int, at: int, every: int, last: int) -> bool:
    """Whether a window from one step to another is followed by an evaluation.

    >>> [is_due(at - 50, at, every=120, last=300) for at in (50, 100, 150, 200, 250, 300)]
    [False, False, True, False, True, True]
    """
    return at // every > before // every or at == last


def limit_of(opt_state: PyTree) -> int | None:
    """How many steps in a row the optimizer of a state may skip; None where it skips none."""
    skip = optim.skipped(opt_state)
    return None if skip is None else int(np.max(skip.limit))


def evaluation_failure(figures: Mapping[str, float], at: int) -> str | None:
    """What is wrong with an evaluation after which a run has to stop; None where nothing is."""
    loss = figures["test/loss"]
    return None if np.isfinite(loss) else f"the loss on the test examples became {loss} at step {at}"


class Failure(NamedTuple):
    """The first step at which a run has to stop: its place in the window, what happened, and the learning rates."""

    place: tuple[int, ...]
    what: str
    rates: list[str]


def failure(values: Mapping[str, np.ndarray], limit: int | None) -> Failure | None:
    """Where a window failed first; None where it did not.

    Args:
        values: metrics [..., steps], of one run or of several.
        limit: how many steps in a row may be skipped, where the optimizer skips any; None where no step may fail.

    >>> failure({"loss": np.array([0.5, np.inf]), "learning_rate": np.array([0.1, 0.2])}, None)
    Failure(place=(1,), what='the loss became inf', rates=['learning_rate 0.2'])
    """
    stop = ~np.isfinite(values["loss"]) if limit is None else values["skipped_in_row"] > limit
    if not stop.any():
        return None
    place = tuple(min(np.argwhere(stop).tolist(), key=lambda place: place[-1]))
    seen = {name: row[place] for name, row in values.items()}
    what = f"the loss became {seen['loss']}"
    if limit is not None:
        what = f"the gradient was not finite for {seen['skipped_in_row']} steps in a row, {limit} may be,"
    rates = [f"{name} {rate:g}" for name, rate in seen.items() if name.startswith("learning_rate")]
    return Failure(place, what, rates)


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """A window's means, over the steps that were not skipped, and over runs; of some metrics the last value."""
    taken = np.isfinite(values["loss"])
    found = {}
    for name, window in values.items():
        of_steps = window[..., -1] if name.startswith(LATEST) else window[taken]
        found[name] = float(of_steps.mean(dtype=np.float64)) if of_steps.size else np.nan
    return found
