"""A run's curves as a picture."""

import itertools
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lec7.experiment import RunFolder
from lec7.experiment.evaluation import MEMBERS, RAW

# Okabe and Ito's colours, which people with any colour vision tell apart.
TRAINING, AVERAGED, GREY = "#0072B2", "#D55E00", "#999999"
COLOURS = (TRAINING, AVERAGED, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def curves(folder: RunFolder) -> Path:
    """Draws `curves.png` in a run's folder: loss, accuracy and learning rate against the step.

    Args:
        folder: of the run, ended or not.

    Returns:
        The picture's path.
    """
    rows = folder.metrics()
    names = {name for row in rows for name in row}
    panels = {name: _lines(name, names) for name in ("loss", "accuracy", "learning_rate")}
    panels = {name: lines for name, lines in panels.items() if lines}
    figure = Figure(figsize=(4.2 * max(len(panels), 1), 3.4), layout="constrained")
    all_axes = figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
    for axes, (name, lines) in zip(all_axes, panels.items(), strict=False):
        positive = True
        for key, title, style in lines:
            points = [(row["step"], row[key]) for row in rows if key in row and not isinstance(row[key], str)]
            positive = positive and all(value > 0 for _, value in points)
            if points:
                axes.plot(*zip(*points, strict=True), label=title, **style)
        many = len(lines) > len(COLOURS)  # the groups of an optimizer, of which each has a rate
        scale = "log" if (name == "loss" or many) and positive else "linear"
        axes.set(xlabel="step", ylabel=name.replace("_", " "), yscale=scale)
        axes.grid(alpha=0.3)
        if many:
            axes.set_title(f"{len(lines)} groups", fontsize="small")
        elif len(lines) > 1:
            axes.legend(fontsize="small")
    figure.suptitle(str(folder.path.name))
    target = folder.path / "curves.png"
    figure.savefig(target, dpi=110)
    return target


def _lines(panel: str, names: set[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """What a panel shows of the figures that there are: key, label and style of each line."""
    if panel == "learning_rate":
        rates = sorted(name for name in names if name.startswith("train/learning_rate"))
        return [
            (name, name.removeprefix("train/learning_rate").strip("/#"), {"color": colour, "linewidth": 1.2})
            for name, colour in zip(rates, itertools.cycle(COLOURS))
        ]
    kinds = [name.removesuffix(f"/{panel}") for name in sorted(names) if name.endswith(f"/{panel}")]
    tests = [kind for kind in kinds if kind.startswith("test")]
    first = "test, together" if f"test_{MEMBERS}" in tests else "test, averaged" if len(tests) > 1 else "test"
    known = {
        "train": ("training", {"color": TRAINING, "linewidth": 1.2}),
        f"test_{RAW}": ("test, raw", {"color": GREY, "linewidth": 1.5, "marker": "."}),
        "test": (first, {"color": AVERAGED, "linewidth": 2.0, "marker": "."}),
    }
    others = (
        (kind, (f"test, {kind.removeprefix('test_')}", {"color": colour, "linewidth": 1.5, "marker": "."}))
        for kind, colour in zip((kind for kind in tests if kind not in known), itertools.cycle(COLOURS[2:]))
    )
    return [(f"{kind}/{panel}", *line) for kind, line in (known | dict(others)).items() if kind in kinds]
