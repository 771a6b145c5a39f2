"""The picture of a race: performance profiles, by work and by time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from solvers.costs import time_of, work
from solvers.libraries import FAMILIES, SOLVERS

DASHES = {"L-BFGS": "-", "BFGS": (0, (4, 1.5)), "Newton-CG": (0, (1, 1.2))}
# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = {"lec7": "#D55E00", "SciPy": "black", "Optax": "#0072B2", "Optimistix": "#009E73", "jaxopt": "#CC79A7"}
SOFT, GREY, FAINT = "#767676", "#bbbbbb", "#eeeeee"


def draw(target: Path, results: dict[str, dict]) -> None:
    """The performance profiles of Dolan and Moré (2002)."""
    of_all = {name: found for name, found in results.items() if len(found) == len(SOLVERS)}
    figure = Figure(figsize=(11, 5.6), layout="constrained", facecolor="white")
    work_axes, time_axes = figure.subplots(1, 2)
    profile(work_axes, of_all, work, 32)
    profile(time_axes, of_all, time_of, 512)
    work_axes.set_xlabel("evaluations (and products with the Hessian), as a multiple of the fewest")
    time_axes.set_xlabel("time after compilation, as a multiple of the shortest")
    title = f"Performance profiles: {len(of_all)} problems in float64, gradients to 1e-6"
    work_axes.set_title(title, loc="left", fontsize=11)
    lines, none = [], Line2D([], [], color="none", label=" ")
    for family in FAMILIES:  # a column each
        own = [library for fam, library in SOLVERS if fam == family]
        for library in own:
            lines.append(Line2D([], [], label=f"{library}, {family}", **style_of(family, library)))
        lines += [none] * (len(COLOURS) - len(own))
    figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False, fontsize=9, handlelength=4)
    figure.savefig(target, dpi=110)


def profile(axes: Any, results: dict[str, dict], cost: Callable[[dict], float], most: float) -> None:
    """Of each solver, the part of the problems that it solves at no more than t times the least cost."""
    of = {key: [cost(r[key]) if r[key]["solved"] else np.inf for r in results.values()] for key in SOLVERS}
    best = np.min(list(of.values()), axis=0)
    for (family, library), costs in of.items():
        ratios = np.sort(np.asarray(costs)[np.isfinite(best)] / best[np.isfinite(best)])
        ratios = ratios[np.isfinite(ratios)]
        parts = np.arange(1, len(ratios) + 1) / len(results)
        x, y = np.concatenate([[1], ratios, [most]]), np.concatenate([[0], parts, parts[-1:] if len(parts) else [0]])
        axes.step(x, y, where="post", zorder=3 if library == "lec7" else 2, **style_of(family, library))
    ticks = [t for t in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if t <= most]
    axes.set(xscale="log", xlim=(1, most), ylim=(0, 1.02), ylabel="part of the problems that is solved")
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set_xticks([], minor=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=SOFT, labelsize=8, color=GREY)
    axes.grid(color=FAINT, linewidth=0.8)


def style_of(family: str, library: str) -> dict[str, Any]:
    """The family's dashes in the library's colour, and lec7's lines wide."""
    width = 2.6 if library == "lec7" else 1.5
    return {"color": COLOURS[library], "linestyle": DASHES[family], "linewidth": width}
