"""The curves of a sweep's lanes."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lec7.report.curves import COLOURS, GREY
from lec7.report.sweeps.axes import Scale, limits
from lec7.report.sweeps.fields import Field
from lec7.report.sweeps.figures import best, text
from lec7.report.sweeps.panels import legend, title
from lec7.sweep.results import Direction, Results, Row, Setting

FEW = 12
"""Lanes of which each has a line of its own; of more, the best settings have one."""
BEST = 5
"""Settings that have a line in colour, where there are many lanes."""

Curve = Sequence[tuple[int, float]]
Line = tuple[Setting, dict[str, Any]]
"""A setting in colour, and how it looks."""


def curves(results: Results, settings: Sequence[Setting], fields: Sequence[Field]) -> Figure | None:
    """The training loss and the metric against the step; None where no lane has a curve."""
    directions: dict[str, Direction] = {"train/loss": "minimize", results.metric: results.direction}
    found = {name: {row.lane: _finite(row, name) for row in results.rows} for name in directions}
    found = {name: by_lane for name, by_lane in found.items() if any(by_lane.values())}
    if not found:
        return None
    chosen = settings if len(results.rows) <= FEW else best(settings, BEST)
    chosen = [one for one in chosen if any(by_lane.get(row.lane) for row in one.rows for by_lane in found.values())]
    looks = itertools.product(("-", "--"), COLOURS)
    lines: list[Line] = [
        (setting, {"linestyle": style, "color": colour})
        for setting, (style, colour) in zip(chosen, looks, strict=False)
    ]
    entries = [(Line2D([], [], **look, linewidth=1.8), _name(setting, fields)) for setting, look in lines if fields]
    if sum(len(setting.rows) for setting in chosen) < len(results.rows):
        entries.append((Line2D([], [], color=GREY, linewidth=0.8), "all others"))
    if any(row.status == "diverged" for row in results.rows):
        entries.append((Line2D([], [], color="black", marker="x", linestyle="none"), "diverged"))
    width = 6.0 if len(found) == 1 else 9.5
    figure = Figure(layout="constrained")
    figure.set_size_inches(width, 3.6 + legend(figure, entries, width))
    for axes, (name, by_lane) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        _panel(axes, results.rows, by_lane, directions[name], lines)
        axes.set(xlabel="step", ylabel=title(name))
        axes.grid(alpha=0.3)
    return figure


def _panel(
    axes: Axes, rows: Sequence[Row], by_lane: Mapping[int, Curve], direction: Direction, lines: Iterable[Line]
) -> None:
    diverged = [row for row in rows if row.status == "diverged"]
    whole = [row for row in rows if row.status != "diverged"] or diverged
    seen = [value for row in whole for _, value in by_lane[row.lane]]
    how: Scale = "log" if direction == "minimize" and min(seen, default=0) > 0 else "linear"
    ends = limits(seen, direction, how, share=0.9)
    coloured = {row.lane: look["color"] for setting, look in lines for row in setting.rows}
    thin = [curve for lane, curve in by_lane.items() if curve and lane not in coloured]
    axes.add_collection(LineCollection(thin, colors=GREY, linewidths=0.6, alpha=0.4, zorder=1))
    for setting, look in lines:
        own = [by_lane[row.lane] for row in setting.rows]
        for together in [[curve] for curve in own] if len(rows) <= FEW else [own]:
            steps, mean, low, high = band(together)
            axes.plot(steps, mean, **look, linewidth=1.5)
            axes.fill_between(steps, low, high, color=look["color"], alpha=0.15, linewidth=0)
    for row in diverged:
        for step, value in by_lane[row.lane][-1:]:
            colour = coloured.get(row.lane, "black")
            axes.plot(step, np.clip(value, *ends), "x", color=colour, zorder=3, clip_on=False)
    axes.set_yscale(how)
    axes.autoscale_view(scaley=False)
    axes.set_ylim(*ends)


def band(curves: Iterable[Curve]) -> np.ndarray:
    """Several curves together: step, mean, least and greatest, [4, steps], at the steps that all of them have."""
    points = [dict(curve) for curve in curves]
    steps = sorted(set.intersection(*map(set, points)))
    values = np.array([[values[step] for step in steps] for values in points])
    return np.stack([np.array(steps), values.mean(0), values.min(0), values.max(0)])


def _finite(row: Row, name: str) -> Curve:
    return [(step, value) for step, value in row.curves.get(name, ()) if math.isfinite(value)]


def _name(setting: Setting, fields: Iterable[Field]) -> str:
    return ", ".join(f"{field.name} {text(setting.hyperparameters[field.name])}" for field in fields)
