"""What came out of a sweep: a row for each lane, and the settings in the order of their worth."""

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lec7.errors import InputError, nearest

Direction = Literal["minimize", "maximize"]
SEED = "seed"
"""The field that tells runs of one setting apart."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One lane, once it has ended.

    Attributes:
        lane: its number in the sweep.
        hyperparameters: the fields that the sweep is over, by name.
        status: "finished"; "diverged", with the reason in `message`; or "stopped" ahead of its end by halving.
        step: steps taken.
        metrics: figures of the latest evaluation before a divergence, as in the `result.json` of a run.
        curves: by name pairs of a step and a figure, as in the log of a run.
        message: what a person should know.
    """

    lane: int
    hyperparameters: Mapping[str, Any]
    status: Literal["finished", "diverged", "stopped"]
    step: int
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    message: str = ""

    @classmethod
    def restore(cls, content: Mapping[str, Any]) -> "Row":
        """A row from JSON, which knows no tuples, and has texts for what is not finite."""
        values = content["hyperparameters"].items()
        curves = content["curves"].items()
        mended: dict[str, Any] = {
            "hyperparameters": {name: tuple(value) if isinstance(value, list) else value for name, value in values},
            "metrics": {name: float(value) for name, value in content["metrics"].items()},
            "curves": {name: [(at, float(value)) for at, value in pairs] for name, pairs in curves},
        }
        return cls(**{**content, **mended})


@dataclasses.dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed alone.

    Attributes:
        hyperparameters: the fields that the sweep is over, without the seed.
        rows: its runs.
        mean: the metric's mean over the runs; NaN where one of them diverged.
        spread: standard deviation over the runs, with n - 1 below; NaN where there is one.
        options: the setting as options of a command line.
    """

    hyperparameters: Mapping[str, Any]
    rows: tuple[Row, ...]
    mean: float
    spread: float
    options: str

    @property
    def status(self) -> str:
        """The worst that became of its runs."""
        return max((row.status for row in self.rows), key=("finished", "stopped", "diverged").index)


@dataclasses.dataclass(frozen=True)
class Results:
    """All lanes that have ended, in the order of their numbers.

    Attributes:
        rows: one a lane.
        metric: what settings are sorted by, such as "test/accuracy".
        direction: whether much or little of it is good.
        defaults: hyperparameters of the dataclass by name, by which flags of a command line are known to be needed.
    """

    rows: tuple[Row, ...]
    metric: str
    direction: Direction
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def fields(self) -> list[str]:
        """The fields that the sweep is over, the seed apart."""
        return list(dict.fromkeys(name for row in self.rows for name in row.hyperparameters if name != SEED))

    def settings(self) -> list[Setting]:
        """The settings, the best first: those that went to the end, then those that were stopped, the latest first.

        Where a run diverged its setting comes last; what is equal keeps its order.
        """
        found: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row.hyperparameters.get(name) for name in self.fields), []).append(row)
        settings = [self._setting(dict(zip(self.fields, values, strict=True)), rows) for values, rows in found.items()]

        def rank(setting: Setting):
            if math.isnan(setting.mean):
                return (1, 0, 0.0)
            return (
                0,
                -min(row.step for row in setting.rows) if setting.status == "stopped" else -math.inf,
                cost(setting.mean, self.direction),
            )

        return sorted(settings, key=rank)

    @property
    def best(self) -> Setting:
        """The best setting; where all diverged, one that did.

        Raises:
            InputError: no lane has ended.
        """
        if not self.rows:
            raise InputError("the sweep has no results yet")
        return self.settings()[0]

    def _setting(self, hyperparameters: Mapping[str, Any], rows: Sequence[Row]) -> Setting:
        options = (option(name, value, self.defaults.get(name)) for name, value in hyperparameters.items())
        return Setting(hyperparameters, tuple(rows), *worth(rows, self.metric), " ".join(filter(None, options)))

    def columns(self) -> dict[str, list[Any]]:
        """A column for each field and figure, one entry a lane, as `pandas.DataFrame` and others take them.

        >>> row = Row(0, {"seed": 3}, "finished", 10, {"test/loss": 0.5}, {})
        >>> Results((row,), "test/loss", "minimize").columns()
        {'lane': [0], 'seed': [3], 'status': ['finished'], 'step': [10], 'test/loss': [0.5]}
        """
        fields = list(dict.fromkeys(name for row in self.rows for name in row.hyperparameters))
        figures = list(dict.fromkeys(name for row in self.rows for name in row.metrics))
        return {
            "lane": [row.lane for row in self.rows],
            **{name: [row.hyperparameters.get(name) for row in self.rows] for name in fields},
            "status": [row.status for row in self.rows],
            "step": [row.step for row in self.rows],
            **{name: [row.metrics.get(name, math.nan) for row in self.rows] for name in figures},
        }


def worth(rows: Sequence[Row], metric: str) -> tuple[float, float]:
    """Mean and standard deviation of a metric over runs: NaN where one diverged; the latter also where there is one."""
    values = [row.metrics.get(metric, math.nan) for row in rows]
    if not all(map(math.isfinite, values)) or any(row.status == "diverged" for row in rows):
        return math.nan, math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclasses.dataclass(frozen=True)
class Judge:
    """What settings are judged by.

    Attributes:
        metric: such as "test/loss"; by default accuracy, or else the loss.
        direction: "maximize" or "minimize"; by default as the metric's name says.
    """

    metric: str | None = None
    direction: Direction | None = None

    def __post_init__(self):
        if self.direction not in (None, "minimize", "maximize"):
            raise InputError(f'direction is {self.direction!r}, expected "minimize" or "maximize"')


def cost(value: float, direction: Direction) -> float:
    """A figure as a number of which little is good."""
    return value if direction == "minimize" else -value


def direction_of(metric: str | None, direction: Direction | None, known: Sequence[str]) -> tuple[str, Direction]:
    """What settings are judged by, of the figures that there are: accuracy where there is one, or else the loss.

    Raises:
        InputError: there is no such figure, or it must be told whether much of it is good.

    >>> direction_of(None, None, ["test/accuracy", "test/loss"])
    ('test/accuracy', 'maximize')
    """
    if metric is None:
        metric = "test/accuracy" if "test/accuracy" in known else "test/loss"
    if metric not in known:
        raise InputError(f"no figure {metric!r}{nearest(metric, known)}; there are {', '.join(sorted(known))}")
    last = metric.rpartition("/")[2]
    usual: dict[str, Direction] = {"accuracy": "maximize", "loss": "minimize", "nll": "minimize", "error": "minimize"}
    if direction is None and last not in usual:
        raise InputError(f'whether much of {metric} is good is not known; say direction="maximize" or "minimize"')
    return metric, direction or usual[last]


def option(name: str, value: Any, default: Any = None) -> str:
    """A field as an option of a command line; a flag that is as it is by default is none.

    Args:
        name: of the field.
        value: a number, text, bool, or several of them.
        default: what the field is without the option.

    Returns:
        Words of a shell; empty where none is needed.

    >>> option("learning_rate", 1e-3), option("widths", (64, 32)), option("nesterov", True, False)
    ('--learning-rate 0.001', '--widths 64 32', '--nesterov')
    >>> option("nesterov", True, True), option("nesterov", False, True)
    ('', '--no-nesterov')
    """
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return "" if value is bool(default) else f"--{flag}" if value else f"--no-{flag}"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([f"--{flag}", *(shlex.quote(str(part)) for part in values)])
