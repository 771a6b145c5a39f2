"""Charts of the page, as Vega-Lite specifications.

Texts, axes and grids have the colour `currentColor`, that of the page around them: so they follow it into the dark.
"""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from lec7.report.curves import COLOURS
from lec7.report.page.predictions import Bin
from lec7.report.page.series import TRAINING, Panel, thinned
from lec7.report.sweeps.figures import is_number

Chart = dict[str, Any]
"""A specification, ready for JSON."""

HEIGHT, LEGEND_ROW, NAMES = 230, 16, 70
"""Pixels of a chart, of each line of names above it, and of names of classes below it."""

INK = "currentColor"
PALETTE = (*COLOURS[:4], *COLOURS[5:3:-1], "#999999")
"""Okabe and Ito's colours, of which black is seen on light pages alone; the lightest come last."""

FEW = 40
"""Points of a line that are marked one by one."""

FEW_VALUES = 8
"""Values of a swept field that are named at the axis one by one."""

DASHES = ((1, 0), (5, 3), (2, 2), (8, 3, 2, 3), (1, 4), (12, 4))
BLUE = COLOURS[0]
STRONGEST = 0.7
"""Opacity of a square of the confusion matrix, at most: the number in it is legible on light pages and on dark ones."""

CONFIG = {
    "font": "system-ui, sans-serif",
    "padding": 4,
    "autosize": {"type": "fit", "contains": "padding"},
    "view": {"stroke": None},
    "title": {"color": INK, "anchor": "start", "fontSize": 13, "fontWeight": "bold"},
    # Legends beside each other would leave a telephone's chart at the right.
    "legend": {
        "labelColor": INK,
        "labelFontSize": 11,
        "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 2}},
    },
    "axis": {
        "labelColor": INK,
        "labelFontSize": 11,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": INK,
        "gridOpacity": 0.12,
        "domainColor": INK,
        "domainOpacity": 0.5,
        "tickColor": INK,
        "tickOpacity": 0.5,
    },
}
"""The style of all charts. It is no part of what Altair checks, whose schema has no layout of legends."""


def curves(panel: Panel, title: str | None = None) -> Chart:
    """Lines against the step: of one run, kinds differ in colour and dash; of several, runs in colour, kinds in dash.

    Args:
        panel: what to draw.
        title: by default the figure's name.
    """
    runs = list(dict.fromkeys(line.run for line in panel.lines))
    kinds = sorted(dict.fromkeys(line.kind for line in panel.lines), key=_order)
    scale = 100 if panel.percent else 1
    rows: list[dict[str, Any]] = [
        {"run": line.run, "kind": line.kind, "step": step, "value": value * scale, "dot": float(len(points) <= FEW)}
        for line in panel.lines
        for points in [thinned(line.points)]
        for step, value in points
    ]
    values, several = [row["value"] for row in rows], len(runs) > 1
    coloured, domain = ("run", runs) if several else ("kind", kinds)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(domain))]
    dashes = [list(DASHES[i % len(DASHES)]) for i in range(len(kinds))]
    chosen = alt.selection_point(fields=[coloured], bind="legend")
    legend, dash_legend = _legend(domain), _legend(kinds)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1, tickCount=6, labelOverlap=True, format=",d")),
        y=alt.Y(
            "value:Q",
            title=panel.axis,
            scale=alt.Scale(type="log", nice=False) if panel.log else alt.Scale(zero=False),
            axis=alt.Axis(values=ticks(min(values), max(values))) if panel.log else alt.Axis(format=_format(values)),
        ),
        color=alt.Color(f"{coloured}:N", sort=domain, scale=alt.Scale(domain=domain, range=colours), legend=legend),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("kind:N", title="of"),
            alt.Tooltip("step:Q", format=",d"),
            alt.Tooltip("value:Q", title=panel.axis, format=".4~g"),
        ],
    )
    line = base.mark_line(strokeWidth=1.8, interpolate="linear").encode(
        detail=["run:N", "kind:N"],
        strokeDash=alt.StrokeDash(
            "kind:N", sort=kinds, scale=alt.Scale(domain=kinds, range=dashes), legend=dash_legend
        ),
        opacity=alt.condition(chosen, alt.value(1.0), alt.value(0.15)),
    )
    dots = base.mark_circle(size=36).encode(opacity=alt.Opacity("dot:Q", scale=None, legend=None))
    told = f"{panel.axis} against the step, {len(panel.lines)} lines"
    height = HEIGHT + LEGEND_ROW * sum(-(-len(names) // _columns(names)) for names in (domain, kinds) if len(names) > 1)
    return _finished(alt.layer(line.add_params(chosen), dots), title or panel.name.replace("_", " "), told, height)


def reliability(bins: Sequence[Bin], count: int) -> Chart:
    """How often what is said with a confidence is right, against that confidence; on the diagonal is what is honest."""
    rows = [
        {"confidence": 100 * bin.confidence, "accuracy": 100 * bin.accuracy, "examples": bin.examples} for bin in bins
    ]
    ends = alt.Data(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 100, "accuracy": 100}])
    axes: dict[str, Any] = {
        "x": alt.X("confidence:Q", title="mean confidence [%]", scale=alt.Scale(domain=[0, 100])),
        "y": alt.Y("accuracy:Q", title="right [%]", scale=alt.Scale(domain=[0, 100])),
    }
    diagonal = alt.Chart(ends).mark_line(color=INK, opacity=0.5, strokeDash=[4, 4], strokeWidth=1).encode(**axes)
    base = alt.Chart(alt.Data(values=rows)).encode(**axes)
    gaps = base.mark_rule(color=BLUE, strokeWidth=2, opacity=0.6).encode(y2="confidence:Q")
    points = base.mark_circle(color=BLUE, opacity=1).encode(
        size=alt.Size("examples:Q", scale=alt.Scale(type="sqrt", range=[30, 400], domain=[0, count]), legend=None),
        tooltip=[
            alt.Tooltip("confidence:Q", title="mean confidence [%]", format=".2f"),
            alt.Tooltip("accuracy:Q", title="right [%]", format=".2f"),
            alt.Tooltip("examples:Q", format=",d"),
        ],
    )
    return _finished(alt.layer(diagonal, gaps, points), "reliability", "share that is right against confidence")


def confusion(counts: np.ndarray, classes: Sequence[str], texts: bool) -> Chart:
    """How often a class was said to be another: a square each, the darker the larger its part of the true class.

    Args:
        counts: int [classes, classes], true ones by row.
        classes: their names.
        texts: whether counts are written into the squares.
    """
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [name if classes.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(classes)]
    rows = [
        {"true": names[i], "said": names[j], "examples": int(counts[i, j]), "share": float(share[i, j])}
        for i, j in np.ndindex(*counts.shape)
        if counts[i, j]
    ]
    short = max(map(len, names)) < 3
    named: dict[str, Any] = {"grid": False, "labelOverlap": not texts, "labelLimit": 90}
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "said:N",
            title="said",
            scale=alt.Scale(domain=names),
            axis=alt.Axis(labelAngle=0 if short else -60, **named),
        ),
        y=alt.Y("true:N", title="true class", scale=alt.Scale(domain=names), axis=alt.Axis(**named)),
        tooltip=[
            alt.Tooltip("true:N", title="true class"),
            alt.Tooltip("said:N"),
            alt.Tooltip("examples:Q", format=",d"),
            alt.Tooltip("share:Q", title="of the true class", format=".1%"),
        ],
    )
    # Opacity of one colour, and no scheme of colours: it is legible on light and on dark.
    strength = alt.Scale(type="sqrt", domain=[0, 1], range=[0.08, STRONGEST])
    squares = base.mark_rect(color=BLUE).encode(opacity=alt.Opacity("share:Q", scale=strength, legend=None))
    labels = base.mark_text(color=INK, fontSize=11).encode(text=alt.Text("examples:Q", format=",d"))
    told = f"confusion matrix of {len(classes)} classes"
    side = max(HEIGHT, min(24 * len(classes), 720)) + (0 if short else NAMES)
    return _finished(alt.layer(squares, labels) if texts else alt.layer(squares), "confusion matrix", told, side)


def field(name: str, rows: Sequence[tuple[Any, float]], metric: str) -> Chart:
    """A sweep's metric against one of its fields, a point for each lane.

    Args:
        name: of the field.
        rows: pairs of the field's value and the metric.
        metric: its name.
    """
    values = [value for value, _ in rows]
    numbers = all(map(is_number, values))
    wide = numbers and min(values) > 0 and max(values) / min(values) > 20
    points = [{"field": value if numbers else str(value), "value": figure} for value, figure in rows]
    scale = alt.Scale(type="log", nice=False, padding=12) if wide else alt.Scale(zero=False, padding=12)
    distinct = sorted(set(values)) if numbers and len(set(values)) <= FEW_VALUES else None
    places = distinct or (ticks(min(values), max(values)) if wide else None)
    shown = alt.Axis(format=".3~g", labelOverlap=True, values=places or alt.Undefined)
    if not numbers:
        scale, shown = alt.Scale(), alt.Axis(labelAngle=0)
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_circle(size=50, color=BLUE, opacity=0.9)
        .encode(
            x=alt.X(f"field:{'Q' if numbers else 'N'}", title=name.replace("_", " "), scale=scale, axis=shown),
            y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False)),
            tooltip=[alt.Tooltip("field", type="nominal", title=name), alt.Tooltip("value:Q", title=metric)],
        )
    )
    return _finished(alt.layer(chart), f"{metric} by {name}", f"{metric} against {name}, {len(rows)} lanes")


def ticks(low: float, high: float) -> list[float]:
    """Where a logarithmic axis has its lines: at powers of ten, or, where few of them are seen, at 1, 2, 5, 10, ...

    >>> ticks(0.003, 2.5), ticks(0.4, 3)
    ([0.01, 0.1, 1.0], [0.5, 1.0, 2.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5)):
        found = [float(f"{step}e{decade}") for decade in decades for step in steps]
        found = [value for value in found if low <= value <= high]
        if len(found) > 2:
            return found[:: -(-len(found) // 8)]
    return sorted({low, high})


def _finished(chart: Any, title: str, told: str, height: int = HEIGHT) -> Chart:
    """The chart in the page's style: as wide as its place, in the page's colours."""
    whole = chart.properties(width="container", height=height, title=title, description=told, background="transparent")
    return whole.to_dict() | {"config": CONFIG}


def _format(values: Sequence[float]) -> str:
    """Of labels on a linear axis: large numbers by their prefix, 20,000 as 20k."""
    return "~s" if max(values) >= 1e4 else "~r"


def _legend(names: Sequence[str]) -> alt.Legend | None:
    """Above the chart; none where there is nothing to tell apart."""
    if len(names) < 2:
        return None
    line: dict[str, Any] = {"symbolType": "stroke", "symbolStrokeWidth": 2.5, "labelLimit": 280}
    return alt.Legend(orient="top", title=None, columns=_columns(names), **line)


def _columns(names: Sequence[str]) -> int:
    """Of a legend, so that a telephone has room for it."""
    longest = max(map(len, names))
    return 3 if longest < 12 else 2 if longest < 22 else 1


def _order(kind: str) -> tuple[int, str]:
    """Training ahead of testing, and all parameters ahead of groups."""
    return (0 if kind in (TRAINING, "all parameters") else 1 if "raw" not in kind else 2, kind)
