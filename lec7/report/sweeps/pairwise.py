"""The metric of a sweep pair by pair of fields."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lec7.report.curves import AVERAGED, GREY
from lec7.report.sweeps.axes import axis_of_metric
from lec7.report.sweeps.fields import Field
from lec7.report.sweeps.figures import best
from lec7.report.sweeps.panels import grid, lay_out, tick_values, title
from lec7.sweep.results import Results, Setting

PAIRS = 6
"""Pairs of fields that have a panel."""
MOST_VALUES = 40
"""Values of a field in a heat map."""
MOST_NUMBERS = 64
"""Cells of a heat map that has numbers in them."""
ROOM = 44
"""Letters that there is room for below a panel."""

Pair = tuple[Field, Field]


def pairwise(results: Results, settings: Sequence[Setting], fields: Sequence[Field]) -> Figure | None:
    """The metric over each pair of fields, in colour; None where there is no pair or no figure."""
    chosen, good = pairs(fields)[:PAIRS], [setting.mean for setting in best(settings)]
    if not chosen or not good:
        return None
    means = np.concatenate([good if is_scatter(pair) else cells(settings, *pair)[0].ravel() for pair in chosen])
    means = means[~np.isnan(means)]
    how, (low, high) = axis_of_metric(means, results.direction, share=0.5)
    # What is good is bright.
    bright, end = ("cividis", "min") if results.direction == "maximize" else ("cividis_r", "max")
    colours = ScalarMappable((LogNorm if how == "log" else Normalize)(low, high), bright)
    columns, lines = grid(len(chosen))
    heights = [max(map(_height, chosen[i * columns : (i + 1) * columns])) for i in range(lines)]
    figure = Figure(figsize=(4.4 * columns + 1.0, sum(heights) + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, height_ratios=heights)
    for axes, pair in zip(panels.flat, chosen, strict=False):
        (_scatter if is_scatter(pair) else _heat_map)(axes, settings, pair, colours)
    for axes in panels.flat[len(chosen) :]:
        axes.set_axis_off()
    extend = end if means.min() < low or means.max() > high else "neither"
    figure.colorbar(colours, ax=panels, label=title(results.metric), extend=extend, fraction=0.05, aspect=30)
    if len(chosen) > 1 and not all(map(is_scatter, chosen)):
        figure.suptitle("the best over all other fields", fontsize="medium")
    return figure


def pairs(fields: Iterable[Field]) -> list[Pair]:
    """All pairs of fields, those with most values first; so are the two of a pair."""
    most_first = sorted(fields, key=lambda field: -len(field.values))
    both = itertools.combinations(most_first, 2)
    return sorted(both, key=lambda pair: -len(pair[0].values) * len(pair[1].values))


def is_scatter(pair: Pair) -> bool:
    """Whether a pair is drawn as points, because values were drawn or are too many for a heat map."""
    return any(field.drawn or len(field.values) > MOST_VALUES for field in pair)


def cells(settings: Sequence[Setting], down: Field, across: Field) -> tuple[np.ndarray, np.ndarray]:
    """The best over all other fields for each pair of values.

    Args:
        settings: the best first.
        down: the field of the rows.
        across: the field of the columns.

    Returns:
        Means over the seeds, [rows, columns], NaN where there is none; and where that is so because runs diverged.
    """
    means = np.full((len(down.values), len(across.values)), math.nan)
    tried = np.zeros(means.shape, bool)
    for setting in reversed(settings):  # the best last, in place of all others
        cell = _cell(setting, down, across)
        means[cell], tried[cell] = setting.mean, True
    return means, tried & np.isnan(means)


def _cell(setting: Setting, *pair: Field) -> tuple[int, ...]:
    return tuple(field.values.index(setting.hyperparameters[field.name]) for field in pair)


def _height(pair: Pair) -> float:
    return 3.5 if is_scatter(pair) else max(3.0, 1.0 + 0.2 * len(pair[0].values))


def _heat_map(axes: Axes, settings: Sequence[Setting], pair: Pair, colours: ScalarMappable) -> None:
    down, across = pair
    means, diverged = cells(settings, down, across)
    colour = colours.to_rgba(np.ma.masked_invalid(means))
    axes.imshow(colour, origin="lower", aspect="auto")
    axes.set_facecolor("0.93")

    def frame(i: int, j: int, **look: Any) -> None:
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **look))

    for i, j in np.argwhere(diverged):
        frame(i, j, facecolor="0.85", edgecolor="0.6", hatch="////", linewidth=0)
    for i, j in np.argwhere(~np.isnan(means)) if means.size <= MOST_NUMBERS else ():
        on = "black" if colour[i, j, :3] @ (0.3, 0.6, 0.1) > 0.5 else "white"
        axes.text(j, i, f"{means[i, j]:#.3g}".rstrip("."), ha="center", va="center", fontsize=7, color=on)
    frame(*_cell(settings[0], down, across), fill=False, edgecolor=AVERAGED, linewidth=2.5, clip_on=False)
    tick_values(axes.xaxis, across, ROOM)
    tick_values(axes.yaxis, down, ROOM)


def _scatter(axes: Axes, settings: Sequence[Setting], pair: Pair, colours: ScalarMappable) -> None:
    across, up = pair
    settings = settings[::-1]  # the best last, above all others
    x, y = (np.array([field.place(setting.hyperparameters[field.name]) for setting in settings]) for field in pair)
    means = np.array([setting.mean for setting in settings])
    good = ~np.isnan(means)
    axes.scatter(x[~good], y[~good], marker="x", s=25, color=GREY, linewidth=1)
    axes.scatter(x[good], y[good], c=colours.to_rgba(means[good]), s=32, edgecolor="0.3", linewidth=0.4)
    axes.scatter(x[-1], y[-1], s=110, facecolor="none", edgecolor=AVERAGED, linewidth=2)
    axes.margins(0.08)
    lay_out(axes.xaxis, across, ROOM)
    lay_out(axes.yaxis, up, ROOM)
    axes.grid(alpha=0.3)
