"""The metric of a sweep field by field."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lec7.report.curves import AVERAGED, GREY, TRAINING
from lec7.report.sweeps.axes import axis_of_metric
from lec7.report.sweeps.fields import Field
from lec7.report.sweeps.figures import best
from lec7.report.sweeps.panels import grid, lay_out, legend, title
from lec7.sweep.results import Results, Setting, worth


def fieldwise(results: Results, settings: Sequence[Setting], fields: Sequence[Field]) -> Figure | None:
    """Each run's metric against each field; None where there is no field or no figure."""
    y = np.array([worth([row], results.metric)[0] for row in results.rows])
    if not fields or np.isnan(y).all():
        return None
    how, (low, high) = axis_of_metric(y[~np.isnan(y)], results.direction)
    edge, beyond = (high, "^") if results.direction == "minimize" else (low, "v")
    inside = (low <= y) & (y <= high)
    stopped, diverged = (np.array([row.status == status for row in results.rows]) for status in ("stopped", "diverged"))
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "a run": (inside & ~stopped, {"marker": "o", "color": TRAINING, "alpha": 0.3}),
        "stopped": (inside & stopped, {"marker": "o", "color": GREY, "alpha": 0.6, "fillstyle": "none"}),
        "far off": (~inside & ~np.isnan(y), {"marker": beyond, "color": TRAINING, "alpha": 0.4}),
        "diverged": (diverged, {"marker": "x", "color": "black", "alpha": 0.6}),
    }
    y = np.where(inside, y, edge)
    aside = np.random.default_rng(0).uniform(-0.2, 0.2, len(y))  # so that runs of a category can be told apart
    columns, lines = grid(len(fields))
    width = max(3.3 * columns, 5.5)
    figure = Figure(figsize=(width, 3.0 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    entries: dict[str, Line2D] = {}
    for axes, field in zip(panels.flat, fields, strict=False):
        x = np.array([field.place(row.hyperparameters.get(field.name)) for row in results.rows])
        x = x if field.is_number else x + aside
        for kind, (which, look) in kinds.items():
            if which.any():
                entries[kind] = axes.plot(x[which], y[which], **look, linestyle="none", markersize=5, clip_on=False)[0]
        if line := best_line(settings, field):
            label = f"best of each {'eighth of the values' if field.drawn else 'value'}"
            places, means = np.array(line).T
            style = "none" if not field.is_number else "--" if field.drawn else "-"
            entries[label] = axes.plot(places, means.clip(low, high), "o", linestyle=style, color=AVERAGED)[0]
        axes.set_yscale(how)
        axes.set_ylim(low, high)
        lay_out(axes.xaxis, field, room=36)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel(title(results.metric))
    for axes in panels.flat[len(fields) :]:
        axes.set_axis_off()
    legend(figure, [(line, name) for name, line in entries.items()], width)
    return figure


def best_line(settings: Sequence[Setting], field: Field) -> list[tuple[float, float]]:
    """The best over all other fields for each value, or each part of the values where they were drawn.

    Args:
        settings: the best first.
        field: which values are told apart.

    Returns:
        Places on the field's axis, in ascending order, and means over the seeds.
    """
    found: dict[Any, tuple[float, float]] = {}
    for setting in best(settings):
        value = setting.hyperparameters[field.name]
        found.setdefault(field.part(value), (field.place(value), setting.mean))
    return sorted(found.values())
