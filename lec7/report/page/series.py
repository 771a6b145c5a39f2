"""From the rows of logs to what is drawn: panels, each with the lines of one figure."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from lec7.experiment.ending import finite
from lec7.experiment.evaluation import MEMBERS, RAW
from lec7.report.page.run import Run

POINTS = 400
"""Points of a line, at most: of more, every so many-th is drawn."""

TRAINING = "training"


class Line(NamedTuple):
    """A figure of one run: the run's name, what the figure is of, and pairs of a step and a value."""

    run: str
    kind: str
    points: list[tuple[int, float]]


class Panel(NamedTuple):
    """What is drawn into one chart.

    Attributes:
        section: where on the page it stands.
        name: of the figure, such as "loss".
        axis: its axis' title, with the unit where it has one.
        lines: at least one.
        log: whether the axis is logarithmic.
        percent: whether values are parts of 1.
    """

    section: str
    name: str
    axis: str
    lines: list[Line]
    log: bool
    percent: bool


CURVES, RATES, NORMS, THROUGHPUT, OTHERS = SECTIONS = (
    "Curves",
    "Learning rates",
    "Gradients and updates",
    "Throughput",
    "Other figures",
)

GROUPED = {
    "learning_rate": (RATES, "learning rate"),
    "gradient_norm": (NORMS, "L2 norm of the gradient"),
    "update_norm": (NORMS, "L2 norm of the update"),
    "parameter_norm": (NORMS, "L2 norm of the parameters"),
    "update_ratio": (NORMS, "|update| / |parameters|"),
}
"""Figures that groups of parameters have, by the beginning of their names: where they stand and their axis."""

SPEED = {
    "examples_per_second": (THROUGHPUT, "throughput [examples / s]"),
    "waiting_for_data": (THROUGHPUT, "time spent waiting for data [%]"),
}
PERCENT = ("accuracy", "waiting_for_data")


def panels(runs: Sequence[Run]) -> list[Panel]:
    """The panels of some runs, in the order of the page's sections; loss and accuracy come first of theirs.

    Args:
        runs: whose names differ.
    """
    found: dict[tuple[str, str, str], list[Line]] = {}
    for run in runs:
        names = dict.fromkeys(key for row in run.rows for key in row)
        for key in names:
            place = _place(key, names)
            points = [(row["step"], float(row[key])) for row in run.rows if finite(row.get(key)) is not None]
            if place is not None and points:
                section, name, axis, kind = place
                found.setdefault((section, name, axis), []).append(Line(run.name, kind, points))
    made = [_panel(*key, lines) for key, lines in found.items()]
    first = ("loss", "accuracy", *GROUPED)
    return sorted(made, key=lambda panel: (SECTIONS.index(panel.section), _rank(panel.name, first)))


def not_finite(run: Run) -> int:
    """How many figures of a run's log are NaN or infinite, and so are not drawn."""
    return sum(finite(value) is None for row in run.rows for value in row.values())


def thinned(points: Sequence[Any]) -> list[Any]:
    """At most so many points as are drawn, the last one among them.

    >>> [len(thinned(range(n))) for n in (10, 400, 401, 100_000)]
    [10, 400, 201, 400]
    >>> thinned(range(1000))[-1]
    999
    """
    every = -(-len(points) // POINTS)
    return [point for i, point in enumerate(points) if (len(points) - 1 - i) % every == 0]


def _place(key: str, names: Collection[str]) -> tuple[str, str, str, str] | None:
    """Section, name, axis and kind of a figure, one of a run's; None where it is no figure to be drawn."""
    if key in SPEED:
        section, axis = SPEED[key]
        return section, key, axis, TRAINING
    prefix, _, name = key.partition("/")
    if prefix == "train" and name:
        stem, _, group = name.partition("/")
        if stem in GROUPED:
            section, axis = GROUPED[stem]
            return section, stem, axis, group or "all parameters"
        known = name in ("loss", "accuracy") or f"test/{name}" in names
        return CURVES if known else OTHERS, name, _axis(name), TRAINING
    if (prefix == "test" or prefix.startswith("test_")) and name:
        return CURVES, name, _axis(name), _kind(prefix, name, names)
    return None


def _kind(prefix: str, name: str, names: Collection[str]) -> str:
    """Which parameters figures on the test examples are of, as `curves.png` calls them."""
    others = {key.partition("/")[0] for key in names if key.endswith(f"/{name}")} - {"test", "train"}
    if prefix != "test":
        kind = prefix.removeprefix("test_")
        return {RAW: "test, raw", MEMBERS: "test, mean of members"}.get(kind, f"test, {kind}")
    if f"test_{MEMBERS}" in others:
        return "test, together"
    return "test, averaged" if others else "test"


def _axis(name: str) -> str:
    return "accuracy [%]" if name in PERCENT else name.replace("_", " ")


def _panel(section: str, name: str, axis: str, lines: list[Line]) -> Panel:
    positive = all(value > 0 for line in lines for _, value in line.points)
    groups = len({line.kind for line in lines})
    log = positive and (name == "loss" or section == NORMS or (section == RATES and groups > 1))
    return Panel(section, name, axis, lines, log, name in PERCENT)


def _rank(name: str, first: Sequence[str]) -> tuple[int, str]:
    return (first.index(name), "") if name in first else (len(first), name)
