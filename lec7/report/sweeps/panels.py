"""What all pictures of a sweep have in common: panels, axes of fields, titles and a legend."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lec7.report.sweeps.fields import Field
from lec7.report.sweeps.figures import text


def grid(count: int) -> tuple[int, int]:
    """Columns and lines of so many panels."""
    columns = 2 if count == 4 else min(count, 3)
    return columns, -(-count // columns)


def title(metric: str) -> str:
    """A metric in words."""
    return metric.replace("/", " ").replace("_", " ")


def lay_out(axis: XAxis | YAxis, field: Field, room: int) -> None:
    """An axis of a field on which its values lie at their places; `room` is that of `tick_values`."""
    if not field.is_number:
        tick_values(axis, field, room)
        return
    axis.set_label_text(field.name)
    set_scale = getattr(axis.axes, f"set_{axis.axis_name}scale")
    if field.scale == "symlog":
        least = min(value for value in field.values if value > 0)
        axis.axes.set(**{f"{axis.axis_name}lim": (-least / 3, 1.5 * max(field.values))})
        set_scale("symlog", linthresh=least)
    elif field.scale == "log":
        set_scale("log")
    elif all(isinstance(value, int) for value in field.values):
        axis.set_major_locator(MaxNLocator(nbins="auto", integer=True))


def tick_values(axis: XAxis | YAxis, field: Field, room: int) -> None:
    """An axis with a tick for each value of a field, slanted where there is `room` for fewer letters."""
    names = [text(value) for value in field.values]
    look: dict[str, Any] = {"fontsize": "small" if len(names) <= 20 else "x-small"}
    if axis.axis_name == "x" and len(names) * (max(map(len, names)) + 1) > room:
        slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        look |= slant if len(names) <= 12 else {"rotation": 90}
    axis.set_label_text(field.name)
    axis.set_ticks(range(len(names)), labels=names, **look)


def legend(figure: Figure, entries: Sequence[tuple[Line2D, str]], width: float) -> float:
    """Below all panels, in as many columns as there is room for; returns its height in inches."""
    if not entries:
        return 0.0
    handles, labels = zip(*entries, strict=True)
    wrapped = [textwrap.wrap(label, int(12 * width)) for label in labels]
    columns = max(1, int(width / (0.6 + 0.075 * max(len(line) for lines in wrapped for line in lines))))
    look: dict[str, Any] = {"loc": "outside lower center", "fontsize": "small", "frameon": False}
    figure.legend(handles, ["\n".join(lines) for lines in wrapped], ncols=columns, **look)
    return 0.2 * -(-sum(map(len, wrapped)) // columns)
