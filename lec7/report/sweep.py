"""What came out of a sweep, as pictures and a page."""

import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from lec7.errors import InputError
from lec7.report.curves import AVERAGED, COLOURS, GREY, TRAINING
from lec7.sweep.results import SEED, Direction, Results, Row, Setting, worth

FEW = 12
"""Lanes of which each has a line of its own; of more, the best settings have one."""
BEST = 5
"""Settings that have a line in colour, where there are many lanes."""
PASTED = 3
"""Settings that the page has command lines of."""
PAIRS = 6
"""Pairs of fields that have a panel."""
MOST_VALUES = 40
"""Values of a field in a heat map."""
MOST_NUMBERS = 64
"""Cells of a heat map that has numbers in them."""
PARTS = 8
"""Parts of the values of a field that was drawn, of which each has its best."""

Scale = Literal["linear", "log", "symlog"]


@dataclass(frozen=True)
class Field:
    """A field with at least two values, and where they lie on an axis.

    Attributes:
        name: of the field.
        values: numbers in ascending order, all else as it came.
        drawn: whether nearly every setting has a number of its own.
    """

    name: str
    values: tuple[Any, ...]
    drawn: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers; others are categories."""
        return all(map(_is_number, self.values))

    @property
    def scale(self) -> Scale:
        """Of the axis."""
        return scale(self.values) if self.is_number else "linear"

    def place(self, value: Any) -> float:
        """Where a value lies: a number at itself, a category at its place among all."""
        return float(value) if self.is_number else float(self.values.index(value))

    def part(self, value: Any) -> Any:
        """What a value shares its best with: itself, or a part of the values where these were drawn."""
        return self.values.index(value) * PARTS // len(self.values) if self.drawn else value


def sweep(results: Results, folder: Path, title: str, command: str) -> list[Path]:
    """Writes `report.md`, with `curves.png`, `fields.png` and `pairs.png` where there is something to see in them.

    Args:
        results: of a sweep; figures that are no number count as NaN.
        folder: where to.
        title: of the page.
        command: how a command line begins that runs one setting.

    Returns:
        The paths written, the page last.

    Raises:
        InputError: no lane has ended.
    """
    results = cleaned(results)
    settings, fields = results.settings(), varied(results)
    pictures = {
        "curves": _curves(results, settings, fields),
        "fields": _fields(results, settings, fields),
        "pairs": _pairs(results, settings, pairs(fields)[:PAIRS]),
    }
    drawn = {name: picture for name, picture in pictures.items() if picture is not None}
    for name, picture in drawn.items():
        picture.savefig(folder / f"{name}.png", dpi=110)
    page = folder / "report.md"
    page.write_text("\n".join(_page(results, title, command, list(drawn))))
    return [*(folder / f"{name}.png" for name in drawn), page]


# The figures.


def cleaned(results: Results) -> Results:
    """The same with a finite float or NaN for each figure, and with curves of what is finite.

    Raises:
        InputError: no lane has ended.
    """
    if not results.rows:
        raise InputError("the sweep has no results yet")

    def clean(row: Row) -> Row:
        metrics = {name: _finite(value) for name, value in row.metrics.items()}
        curves = {
            name: [(step, float(value)) for step, value in points if not math.isnan(_finite(value))]
            for name, points in row.curves.items()
        }
        return replace(row, metrics=metrics, curves=curves)

    return replace(results, rows=tuple(map(clean, results.rows)))


def table(results: Results) -> tuple[list[str], list[list[str]]]:
    """The settings, the best first: headings, those of numbers with a "#" behind, and a text for each column.

    Beside the metric stand up to three other figures of its kind: beside the accuracy on the test examples, their loss.
    """
    settings = results.settings()
    seeds = max(len(setting.rows) for setting in settings) > 1
    kind = results.metric.rpartition("/")[0]
    known = dict.fromkeys(name for row in results.rows for name in row.metrics)
    others = [name for name in known if name.rpartition("/")[0] == kind and name != results.metric][:3]

    def cell(setting: Setting, name: str) -> str:
        mean, spread = worth(setting.rows, name)
        if math.isnan(mean):
            return "" if setting.status == "diverged" else "nan"
        return f"{mean:#.4g}".rstrip(".") + ("" if math.isnan(spread) else f" ± {spread:.2g}")

    def of_field(name: str) -> str:
        return f"{name}#" if all(_is_number(setting.hyperparameters[name]) for setting in settings) else name

    columns = [
        *map(of_field, results.fields),
        *(f"{name}#" for name in (results.metric, *others)),
        *["seeds#"] * seeds,
        "status",
    ]
    rows = [
        [
            *map(text, setting.hyperparameters.values()),
            *(cell(setting, name) for name in (results.metric, *others)),
            *[str(len(setting.rows))] * seeds,
            _ended(setting),
        ]
        for setting in settings
    ]
    return columns, rows


def summary(results: Results) -> str:
    """How many lanes there are, and what became of them.

    >>> summary(Results((Row(0, {"seed": 3}, "finished", 10, {"test/loss": 0.5}, {}),), "test/loss", "minimize"))
    '1 lane, 1 setting: 1 finished'
    """
    counts = Counter(row.status for row in results.rows)
    ended = ", ".join(f"{counts[status]} {status}" for status in ("finished", "stopped", "diverged") if counts[status])
    settings = len(results.settings())
    return f"{_count(len(results.rows), 'lane')}, {_count(settings, 'setting')}: {ended}"


def best(settings: Sequence[Setting], count: int) -> list[Setting]:
    """The best settings, at most so many; none of which a run diverged."""
    return [setting for setting in settings if not math.isnan(setting.mean)][:count]


def varied(results: Results) -> list[Field]:
    """The fields with at least two values, the seed apart."""
    columns = {
        name: tuple(dict.fromkeys(row.hyperparameters.get(name) for row in results.rows)) for name in results.fields
    }
    columns = {name: values for name, values in columns.items() if len(values) > 1}
    settings = len(results.settings())

    def field(name: str, values: tuple[Any, ...]) -> Field:
        if not all(map(_is_number, values)):
            return Field(name, values)
        return Field(name, tuple(sorted(values)), len(columns) > 1 and 2 * len(values) > settings)

    return list(itertools.starmap(field, columns.items()))


def pairs(fields: Iterable[Field]) -> list[tuple[Field, Field]]:
    """All pairs of fields, those with most values first; so are the two of a pair."""
    both = [sorted(pair, key=lambda field: -len(field.values)) for pair in itertools.combinations(fields, 2)]
    return sorted(((one, other) for one, other in both), key=lambda pair: -len(pair[0].values) * len(pair[1].values))


def is_scatter(pair: tuple[Field, Field]) -> bool:
    """Whether a pair is drawn as points, because values were drawn or are too many for a heat map."""
    return any(field.drawn or len(field.values) > MOST_VALUES for field in pair)


def best_line(settings: Sequence[Setting], field: Field) -> list[tuple[float, float]]:
    """The best over all other fields for each value, or each part of the values where they were drawn.

    Args:
        settings: the best first.
        field: which values are told apart.

    Returns:
        Places on the field's axis, in ascending order, and means over the seeds.
    """
    found: dict[Any, Setting] = {}
    for setting in best(settings, len(settings)):
        found.setdefault(field.part(setting.hyperparameters[field.name]), setting)
    return sorted((field.place(setting.hyperparameters[field.name]), setting.mean) for setting in found.values())


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
    seen = np.zeros(means.shape, bool)
    for setting in settings:
        place = tuple(field.values.index(setting.hyperparameters[field.name]) for field in (down, across))
        if not seen[place]:
            means[place], seen[place] = setting.mean, True
    return means, seen & np.isnan(means)


def band(rows: Iterable[Row], name: str) -> np.ndarray:
    """A curve of several runs: step, mean, least and greatest, [4, steps], at the steps that all of them have."""
    curves = [dict(row.curves.get(name, ())) for row in rows]
    steps = sorted(set.intersection(*map(set, curves)))
    values = np.array([[curve[step] for step in steps] for curve in curves])
    return np.stack([np.array(steps), values.mean(0), values.min(0), values.max(0)])


# The axes.


def scale(values: Sequence[float] | np.ndarray) -> Scale:
    """Of an axis on which the values lie evenly; logarithms are for those that are 30 times as large as others.

    >>> scale([1e-4, 1e-3, 1e-2, 1e-1]), scale([0, 1e-4, 1e-3, 1e-2]), scale([0.1, 0.2, 0.5])
    ('log', 'symlog', 'linear')
    >>> scale(np.linspace(0.01, 0.5, 50))
    'linear'
    """
    positive = np.array([value for value in values if value > 0])
    if not positive.size or min(values) < 0 or positive.max() < 30 * positive.min():
        return "linear"

    def off_middle(x: np.ndarray) -> float:
        return abs(np.interp(np.median(x), [x.min(), x.max()], [-1, 1]))

    if off_middle(positive) < off_middle(np.log(positive)) - 0.1:
        return "linear"
    return "log" if min(values) > 0 else "symlog"


def limits(
    values: Iterable[float], direction: Direction, scale: Scale = "linear", share: float = 0.75
) -> tuple[float, float]:
    """Ends of an axis of which the best of the values take a third or more, however bad the worst.

    Args:
        values: what is to be seen; NaN is left out.
        direction: whether much or little of it is good.
        scale: "log" for distances between logarithms.
        share: how many are the best.

    >>> low, high = limits([0.1, 0.2, 0.3, 0.4, 1e9], "minimize")
    >>> round(low, 3), round(high, 3)
    (0.085, 0.415)
    """
    forth, back = (np.log, np.exp) if scale == "log" else (np.asarray, np.asarray)
    sign = 1 if direction == "minimize" else -1
    costs = sign * forth(np.array([value for value in values if not math.isnan(value)]))
    if not costs.size:
        return 0.0, 1.0
    least, bad = costs.min(), np.quantile(costs, share, method="nearest")
    most = costs[costs <= bad + 2 * (bad - least)].max()
    margin = 0.05 * (most - least) or 0.05 * abs(least) or 0.05
    low, high = sorted((sign * (least - margin), sign * (most + margin)))
    return float(back(low)), float(back(high))


def axis_of_metric(
    values: Sequence[float] | np.ndarray, direction: Direction, share: float = 0.75
) -> tuple[Scale, tuple[float, float]]:
    """Scale and ends of the axis of a metric: logarithms for what is to be small and spans much.

    >>> axis_of_metric([1e-4, 1e-3, 1e-2, 0.1], "minimize")[0], axis_of_metric([0.01, 0.9], "maximize")[0]
    ('log', 'linear')
    """
    low, high = limits(values, direction, share=share)
    shown = [value for value in values if low <= value <= high]
    found: Scale = "log" if direction == "minimize" and scale(shown) == "log" and min(values) > 0 else "linear"
    return found, limits(values, direction, found, share)


# The pictures.


def _curves(results: Results, settings: Sequence[Setting], fields: Sequence[Field]) -> Figure | None:
    directions: dict[str, Direction] = {"train/loss": "minimize", results.metric: results.direction}
    names = [name for name in directions if any(row.curves.get(name) for row in results.rows)]
    if not names:
        return None
    few = len(results.rows) <= FEW
    chosen = list(settings) if few else best(settings, BEST)
    every = itertools.product(("-", "--"), COLOURS)
    looks: list[dict[str, Any]] = [
        {"linestyle": line, "color": colour} for (line, colour), _ in zip(every, chosen, strict=False)
    ]
    coloured = {row.lane: look["color"] for one, look in zip(chosen, looks, strict=True) for row in one.rows}
    diverged = [row for row in results.rows if row.status == "diverged"]
    others = [row for row in results.rows if row.lane not in coloured]
    entries = [
        (Line2D([], [], **look, linewidth=1.8), _name(one, fields))
        for one, look in zip(chosen, looks, strict=True)
        if fields
    ]
    entries += [(Line2D([], [], color=GREY, linewidth=0.8), "all others")] * bool(others)
    entries += [(Line2D([], [], color="black", marker="x", linestyle="none"), "diverged")] * bool(diverged)
    width = 6.0 if len(names) == 1 else 9.5
    figure = Figure(layout="constrained")
    figure.set_size_inches(width, 3.6 + _legend(figure, entries, width))
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        whole = [row for row in results.rows if row.status != "diverged"] or results.rows
        seen = [value for row in whole for _, value in row.curves.get(name, ())]
        how: Scale = "log" if directions[name] == "minimize" and min(seen, default=0) > 0 else "linear"
        ends = limits(seen, directions[name], how, share=0.9)
        thin = [row.curves[name] for row in others if row.curves.get(name)]
        axes.add_collection(LineCollection(thin, colors=GREY, linewidths=0.6, alpha=0.4, zorder=1))
        for one, look in zip(chosen, looks, strict=True):
            for steps, mean, low, high in [band([row], name) for row in one.rows] if few else [band(one.rows, name)]:
                axes.plot(steps, mean, **look, linewidth=1.5)
                axes.fill_between(steps, low, high, color=look["color"], alpha=0.15, linewidth=0)
        for row in diverged:
            for step, value in row.curves.get(name, ())[-1:]:
                colour = coloured.get(row.lane, "black")
                axes.plot(step, np.clip(value, *ends), "x", color=colour, zorder=3, clip_on=False)
        axes.set(xlabel="step", ylabel=_title(name), yscale=how)
        axes.autoscale_view(scaley=False)
        axes.set_ylim(*ends)
        axes.grid(alpha=0.3)
    return figure


def _fields(results: Results, settings: Sequence[Setting], fields: Sequence[Field]) -> Figure | None:
    y = np.array([worth([row], results.metric)[0] for row in results.rows])
    if not fields or np.isnan(y).all():
        return None
    how, (low, high) = axis_of_metric(y[~np.isnan(y)], results.direction)
    edge, beyond = (high, "^") if results.direction == "minimize" else (low, "v")
    status = np.array([row.status for row in results.rows])
    inside, outside = (low <= y) & (y <= high), (y < low) | (y > high)
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "a run": (inside & (status != "stopped"), {"marker": "o", "color": TRAINING, "alpha": 0.3}),
        "stopped": (inside & (status == "stopped"), {"marker": "o", "color": GREY, "alpha": 0.6, "fillstyle": "none"}),
        "far off": (outside, {"marker": beyond, "color": TRAINING, "alpha": 0.4}),
        "diverged": (status == "diverged", {"marker": "x", "color": "black", "alpha": 0.6}),
    }
    aside = np.random.default_rng(0).uniform(-0.2, 0.2, len(y))  # so that runs of a category can be told apart
    y = np.where(inside, y, edge)
    columns, lines = _panels(len(fields))
    width = max(3.3 * columns, 5.5)
    figure = Figure(figsize=(width, 3.0 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    entries: dict[str, Line2D] = {}
    for axes, field in itertools.zip_longest(panels.flat, fields):
        if field is None:
            axes.set_axis_off()
            continue
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
        _lay_out(axes, "x", field, not field.is_number, room=36)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel(_title(results.metric))
    _legend(figure, [(line, name) for name, line in entries.items()], width)
    return figure


def _pairs(results: Results, settings: Sequence[Setting], chosen: Sequence[tuple[Field, Field]]) -> Figure | None:
    good = [setting.mean for setting in best(settings, len(settings))]
    if not chosen or not good:
        return None
    means = np.concatenate([good if is_scatter(pair) else cells(settings, *pair)[0].ravel() for pair in chosen])
    means = means[~np.isnan(means)]
    how, (low, high) = axis_of_metric(means, results.direction, share=0.5)
    norm = (LogNorm if how == "log" else Normalize)(low, high)
    # What is good is bright.
    colours, end = ("cividis", "min") if results.direction == "maximize" else ("cividis_r", "max")
    colours = ScalarMappable(norm, colours)
    columns, lines = _panels(len(chosen))
    heights = [max(_height(pair) for pair in chosen[i * columns : (i + 1) * columns]) for i in range(lines)]
    figure = Figure(figsize=(4.4 * columns + 1.0, sum(heights) + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, height_ratios=heights)
    for axes, pair in itertools.zip_longest(panels.flat, chosen):
        if pair is None:
            axes.set_axis_off()
        else:
            (_scatter if is_scatter(pair) else _heat_map)(axes, settings, pair, colours)
    extend = end if means.min() < low or means.max() > high else "neither"
    figure.colorbar(colours, ax=panels, label=_title(results.metric), extend=extend, fraction=0.05, aspect=30)
    if len(chosen) > 1 and not all(map(is_scatter, chosen)):
        figure.suptitle("the best over all other fields", fontsize="medium")
    return figure


def _heat_map(axes: Axes, settings: Sequence[Setting], pair: tuple[Field, Field], colours: ScalarMappable) -> None:
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
    i, j = (field.values.index(settings[0].hyperparameters[field.name]) for field in (down, across))
    frame(i, j, fill=False, edgecolor=AVERAGED, linewidth=2.5, clip_on=False)
    _lay_out(axes, "x", across, True, room=44)
    _lay_out(axes, "y", down, True, room=44)


def _scatter(axes: Axes, settings: Sequence[Setting], pair: tuple[Field, Field], colours: ScalarMappable) -> None:
    across, up = pair
    # The best last, above all others.
    x, y = (
        np.array([field.place(setting.hyperparameters[field.name]) for setting in reversed(settings)])
        for field in (across, up)
    )
    means = np.array([setting.mean for setting in reversed(settings)])
    good = ~np.isnan(means)
    axes.scatter(x[~good], y[~good], marker="x", s=25, color=GREY, linewidth=1)
    axes.scatter(x[good], y[good], c=colours.to_rgba(means[good]), s=32, edgecolor="0.3", linewidth=0.4)
    axes.scatter(x[-1], y[-1], s=110, facecolor="none", edgecolor=AVERAGED, linewidth=2)
    axes.margins(0.08)
    _lay_out(axes, "x", across, not across.is_number, room=44)
    _lay_out(axes, "y", up, not up.is_number, room=44)
    axes.grid(alpha=0.3)


def _lay_out(axes: Axes, which: Literal["x", "y"], field: Field, categories: bool, room: int) -> None:
    """An axis of a field; as categories with a tick for each value, slanted where `room` is for fewer letters."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(field.name)
    if categories:
        names = [text(value) for value in field.values]
        look: dict[str, Any] = {"fontsize": "small" if len(names) <= 20 else "x-small"}
        if which == "x" and len(names) * (max(map(len, names)) + 1) > room:
            slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
            look |= slant if len(names) <= 12 else {"rotation": 90}
        axis.set_ticks(range(len(names)), labels=names, **look)
    elif field.scale == "symlog":
        least = min(value for value in field.values if value > 0)
        axes.set(**{f"{which}lim": (-least / 3, 1.5 * max(field.values))})
        (axes.set_xscale if which == "x" else axes.set_yscale)("symlog", linthresh=least)
    elif field.scale == "log":
        axes.set(**{f"{which}scale": "log"})
    elif all(isinstance(value, int) for value in field.values):
        axis.set_major_locator(MaxNLocator(nbins="auto", integer=True))


def _legend(figure: Figure, entries: Sequence[tuple[Line2D, str]], width: float) -> float:
    """Below all panels, in as many columns as there is room for; returns its height in inches."""
    if not entries:
        return 0.0
    handles, labels = zip(*entries, strict=True)
    wrapped = [textwrap.wrap(label, int(12 * width)) for label in labels]
    columns = max(1, int(width / (0.6 + 0.075 * max(len(line) for lines in wrapped for line in lines))))
    look: dict[str, Any] = {"loc": "outside lower center", "fontsize": "small", "frameon": False}
    figure.legend(handles, ["\n".join(lines) for lines in wrapped], ncols=columns, **look)
    return 0.2 * -(-sum(map(len, wrapped)) // columns)


def _panels(count: int) -> tuple[int, int]:
    """Columns and lines of so many panels."""
    columns = 2 if count == 4 else min(count, 3)
    return columns, -(-count // columns)


def _height(pair: tuple[Field, Field]) -> float:
    return 3.5 if is_scatter(pair) else max(3.0, 1.0 + 0.2 * len(pair[0].values))


# The page.


def _page(results: Results, title: str, command: str, pictures: Sequence[str]) -> list[str]:
    top = [f"{command} {setting.options}".strip() for setting in best(results.settings(), PASTED)]
    return [
        f"# {title}",
        "",
        f"{summary(results)}.",
        "",
        *_swept(results),
        "",
        f"## Best by {results.metric}",
        "",
        *(["```", *top, "```"] if top else ["There is none: in each setting a run diverged, or has no such figure."]),
        "",
        *itertools.chain(*(_about(name, len(pairs(varied(results)))) for name in pictures)),
        "## Settings",
        "",
        "Figures are means over the seeds ± their standard deviation.",
        "",
        *_markdown(*table(results)),
        "",
    ]


def _swept(results: Results) -> list[str]:
    """What the sweep is over: a line for each field, the seed included."""
    columns = {name: list(dict.fromkeys(column)) for name, column in results.columns().items()}
    lines = []
    for name in [*results.fields, *[SEED] * (SEED in columns)]:
        values = columns[name]
        if all(map(_is_number, values)) and len(values) > 6:
            lines.append(f"- `{name}`: {len(values)} values from {text(min(values))} to {text(max(values))}")
        else:
            lines.append(f"- `{name}`: {', '.join(text(value) for value in values)}")
    return lines


def _about(picture: str, many: int) -> list[str]:
    """The part of the page that shows a picture; `many` is how many pairs of fields there are."""
    left_out = f" Of {many} pairs the {PAIRS} with most values are drawn." if many > PAIRS else ""
    heading, words = {
        "curves": (
            "Curves",
            f"Of more than {FEW} lanes the {BEST} best settings are in colour: the mean over the seeds, in a band from "
            "the least to the greatest.",
        ),
        "fields": (
            "Field by field",
            "The best of a value is the best mean over the seeds, whatever the other fields. Runs that diverged or are "
            "far off lie at the edge.",
        ),
        "pairs": (
            "Pair by pair",
            "The best mean over the seeds, whatever the other fields; the best of all is framed. What diverged is "
            f"hatched or crossed, what was not tried is grey.{left_out}",
        ),
    }[picture]
    return [f"## {heading}", "", f"![{heading}]({picture}.png)", "", words, ""]


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    r"""A table of which numbers stand to the right.

    >>> _markdown(["name", "rate#"], [["a|b", "0.1"]])
    ['| name | rate |', '|---|---:|', '| a\\|b | 0.1 |']
    """
    lines = [[column.removesuffix("#") for column in columns], *rows]
    written = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
    rule = "".join("|---:" if column.endswith("#") else "|---" for column in columns)
    return [written[0], f"{rule}|", *written[1:]]


# Words.


def text(value: Any) -> str:
    """A value of a field, in few characters.

    >>> text(1e-3), text(0.123456), text(4096), text((64, 32)), text(None), text("adam")
    ('0.001', '0.1235', '4096', '(64, 32)', 'None', 'adam')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _name(setting: Setting, fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.name} {text(setting.hyperparameters[field.name])}" for field in fields)


def _ended(setting: Setting) -> str:
    """What became of a setting's runs; of how many, where it is not of all."""
    if setting.status == "finished":
        return "finished"
    runs = [row for row in setting.rows if row.status == setting.status]
    share = f", {len(runs)} of {len(setting.rows)}" if len(setting.rows) > 1 else ""
    return f"{setting.status} at step {min(row.step for row in runs)}{share}"


def _title(metric: str) -> str:
    return metric.replace("/", " ").replace("_", " ")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> float:
    return float(value) if isinstance(value, Real) and math.isfinite(value) else math.nan
