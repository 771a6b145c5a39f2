"""One run of a sweep: where it stands, and what is known of it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lec7.errors import InputError
from lec7.experiment.evaluation import Figures, label_figures
from lec7.experiment.window import evaluation_failure, failure, means
from lec7.sweep.results import Row
from lec7.sweep.space import Point
from lec7.typing import PyTree


@dataclasses.dataclass(eq=False)
class Lane:
    """A run under way.

    Attributes:
        number: its place in the sweep.
        point: the fields that the sweep is over.
        step: steps taken.
        state: its state then, on the host; None before it begins, and while it is on a device.
        status: what became of it; None while it is under way.
        metrics: figures of the latest evaluation.
        curves: by name pairs of a step and a figure.
        message: what a person should know.
    """

    number: int
    point: Point
    step: int = 0
    state: PyTree | None = None
    status: Any = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = dataclasses.field(default_factory=dict)
    message: str = ""

    def restore(self, row: Row) -> None:
        """Ends as a row tells that it did.

        Raises:
            InputError: the row is of other hyperparameters.
        """
        if dict(row.hyperparameters) != self.point:
            raise InputError(
                f"lane {self.number} was run with {dict(row.hyperparameters)}, and is to be run with {self.point}: "
                "give the folder of a sweep of the same, or an empty one"
            )
        self.step, self.status, self.message = row.step, row.status, row.message
        self.metrics, self.curves = row.metrics, {name: list(curve) for name, curve in row.curves.items()}

    def at(self, metric: str, step: int) -> float:
        """The figure of the evaluation at a step; NaN if it diverged by then."""
        if self.status == "diverged" and self.step <= step:
            return math.nan
        return dict(self.curves.get(metric, ())).get(step, math.nan)

    @property
    def row(self) -> Row:
        """What came out of it so far."""
        return Row(self.number, self.point, self.status, self.step, self.metrics, self.curves, self.message)

    def end(self, status: str, message: str = "") -> None:
        """Nothing more is to be done; its state is given up."""
        self.status, self.message, self.state = status, message, None

    def window(self, at: int, values: Mapping[str, np.ndarray], limit: int | None) -> None:
        """Takes note of the steps up to `at`: metrics [steps]; `limit` as in `window.failure`."""
        steps = values["loss"].shape[-1]
        if (failed := failure(values, limit)) is not None:
            self.step = at - steps + failed.place[0] + 1
            rates = f" ({', '.join(failed.rates)})" if failed.rates else ""
            self.end("diverged", f"{failed.what} at step {self.step}{rates}")
            return
        self.step = at
        self._note(at, {f"train/{name}": value for name, value in means(values).items()})

    def judged(self, at: int, found: Figures, order: Sequence[str]) -> None:
        """Takes note of an evaluation."""
        figures = label_figures(found, order)
        self._note(at, figures)
        if failed := evaluation_failure(figures, at):
            self.end("diverged", failed)
            return
        self.metrics = figures

    def _note(self, at: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.curves.setdefault(name, []).append((at, value))
