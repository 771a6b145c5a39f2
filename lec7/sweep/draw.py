"""Settings that are drawn, and not all there are: at random, or by Optuna where the ones before did well."""

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from lec7.errors import InputError
from lec7.sweep.results import SEED, Direction, Row, cost, worth
from lec7.sweep.space import Point, Span, check_drawn, draw, kinds, with_seeds

Sampler = Literal["random", "tpe"]
MOST_ASKED = 1000
"""Trials that Optuna is asked for to make a batch."""

Asked = dict[tuple[Any, ...], tuple[Point, list[Any]]]
"""Settings by their values, each with the trials of Optuna's that have them."""

Tell = Callable[[Sequence[Row], str, Direction], None]
"""Takes rows of the points that were asked, the metric and its direction."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """How many settings are drawn, and how.

    Attributes:
        count: number of settings; each has all seeds of the space.
        sampler: "random", or "tpe", the tree-structured Parzen estimator (Bergstra et al., 2011) of Optuna.
        seed: of the draws.
        batch: settings that Optuna is asked for before it is told how they did.
    """

    count: int
    sampler: Sampler = "random"
    seed: int = 0
    batch: int = 8

    def __post_init__(self):
        for name in ("count", "batch"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise InputError(f"{name} is {value}, expected how many settings to draw, at least 1")
        if self.sampler not in ("random", "tpe"):
            raise InputError(f'sampler is {self.sampler!r}, expected "random" or "tpe"')


def asked(how: Draw, space: Mapping[str, Span | tuple[Any, ...]], hp: Any) -> Iterator[tuple[list[Point], Tell]]:
    """Points to train, some at a time, and what to tell of them before the next are asked.

    Raises:
        InputError: Optuna is wanted and missing.
    """
    if how.sampler == "random":
        yield draw(space, how.count, how.seed, hp), lambda rows, metric, direction: None
        return
    optuna: Any = _optuna()
    check_drawn(space, how.count, kinds(hp))
    # One that knows of the trials of its batch, so that these do not crowd.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=how.seed, constant_liar=True))
    told: dict[tuple[Any, ...], float] = {}
    while len(told) < how.count:
        if not (new := _ask(study, how, space, hp, told)):
            return
        points = with_seeds([setting for setting, _ in new.values()], space)

        def tell(rows: Sequence[Row], metric: str, direction: Direction, new: Asked = new) -> None:
            each = len(rows) // len(new)
            for i, (key, (_, trials)) in enumerate(new.items()):
                mean, _ = worth(rows[i * each : (i + 1) * each], metric)
                told[key] = math.inf if math.isnan(mean) else cost(mean, direction)
                for trial in trials:
                    study.tell(trial, told[key])

        yield points, tell


def _ask(
    study: Any, how: Draw, space: Mapping[str, Span | tuple[Any, ...]], hp: Any, told: Mapping[tuple[Any, ...], float]
) -> Asked:
    """A batch of settings that were not trained yet, each with its trials; fewer where none is found."""
    kind = kinds(hp)
    new: Asked = {}
    for _ in range(MOST_ASKED):
        if len(new) == min(how.batch, how.count - len(told)):
            break
        trial = study.ask()
        setting = {name: _suggest(trial, name, space[name], kind[name]) for name in space if name != SEED}
        key = tuple(setting.values())
        if key in told:  # it is known how that does
            study.tell(trial, told[key])
        else:
            new.setdefault(key, (setting, []))[1].append(trial)
    return new


def _suggest(trial: Any, name: str, values: Span | tuple[Any, ...], kind: type) -> Any:
    if isinstance(values, tuple):
        return values[trial.suggest_categorical(name, list(range(len(values))))]
    if kind is int:
        return trial.suggest_int(name, round(values.low), round(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise InputError("the sampler tpe is Optuna's, which is not installed: pip install 'lec7[optuna]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
