"""Kinds of a thing, each at its best: chosen on examples to choose by, and told on others, with seeds of their own."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from lec7 import sweep
from lec7.experiment import Experiment


class Best(NamedTuple):
    """What came of each kind.

    Attributes:
        tried: all settings, judged by the validation examples.
        field: the hyperparameter that tells kinds apart.
        settings: by kind, its best setting with fresh seeds, judged by the test examples.
    """

    tried: sweep.Results
    field: str
    settings: dict[str, sweep.Setting]

    @property
    def runs(self) -> int:
        """How many there were."""
        return len(self.tried.rows) + sum(len(setting.rows) for setting in self.settings.values())

    def by_rate(self, kind: str) -> tuple[list[float], list[float]]:
        """Learning rates, and the least validation loss with each."""
        least: dict[float, float] = {}
        for one in of(self.tried, self.field, kind):
            least.setdefault(one.hyperparameters["learning_rate"], one.mean)
        return [*sorted(least)], [least[rate] for rate in sorted(least)]


def find(
    build: Callable[[Any], Experiment],
    hp: Any,
    field: str,
    points: Sequence[Mapping[str, Any]],
    seeds: Iterable[int],
    fresh: Iterable[int],
) -> Best:
    """Trains all, and the best of each kind once more.

    Args:
        build: of an experiment whose hyperparameters have a `judge`, `"validation"` or `"test"`.
        hp: what points leave as it is.
        field: the hyperparameter that tells kinds apart.
        points: settings to choose from.
        seeds: what each is tried with.
        fresh: seeds of the figures, which have no part in the choice.
    """
    judge, observer = sweep.Judge("test/loss"), Said()
    every = [{**point, "seed": seed} for point in points for seed in seeds]
    tried = sweep.run(build, every, replace(hp, judge="validation"), judge=judge, observer=observer)
    kinds = dict.fromkeys(str(point[field]) for point in points)
    best = {kind: of(tried, field, kind)[0].hyperparameters for kind in kinds}
    final = [{**best[kind], "seed": seed} for kind in kinds for seed in fresh]
    told = sweep.run(build, final, replace(hp, judge="test"), judge=judge, observer=observer)
    return Best(tried, field, {kind: of(told, field, kind)[0] for kind in kinds})


class Said(sweep.Silent):
    """Prints what a sweep says of its programs."""

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, flush=True)


def of(results: sweep.Results, field: str, kind: str) -> list[sweep.Setting]:
    """The settings of a kind, the best first."""
    return [one for one in results.settings() if one.hyperparameters[field] == kind]


def values(setting: sweep.Setting, name: str) -> list[float]:
    """A figure of each seed."""
    return [row.metrics[name] for row in setting.rows]


def spread(numbers: Sequence[float], places: int) -> str:
    """Mean and standard deviation over seeds.

    >>> spread([1.0, 2.0, 3.0], 1)
    '2.0 ± 1.0'
    """
    return f"{statistics.mean(numbers):.{places}f} ± {statistics.stdev(numbers):.{places}f}"


def curve(setting: sweep.Setting, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps of a curve, its mean over seeds, and its standard deviation."""
    curves = np.array([row.curves[name] for row in setting.rows])
    return curves[0, :, 0], curves[..., 1].mean(0), curves[..., 1].std(0, ddof=1)


def plot(axes: Axes, setting: sweep.Setting, name: str, **style: Any) -> None:
    """A curve's mean in a band of one standard deviation."""
    steps, mean, deviation = curve(setting, name)
    axes.plot(steps, mean, **style)
    axes.fill_between(steps, mean - deviation, mean + deviation, color=style["color"], alpha=0.15, linewidth=0)
    axes.set(xlabel="step")
    axes.grid(alpha=0.3)
