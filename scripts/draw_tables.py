"""Draws docs/regularization.png and docs/transfer.png: the figures that the tables of these pages have.

.venv/bin/python scripts/draw_tables.py
"""

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"


def table(page, heading):
    """The rows of a page's table below a line that begins with `heading`, as lists of texts."""
    lines = iter((DOCS / page).read_text().splitlines())
    next(line for line in lines if line.startswith(heading))
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip(" *") for cell in line.strip("|").split("|")]


def measured(text):
    """A mean and its spread, of `95.02 ± 0.13`."""
    mean, spread = re.findall(r"[\d.]+", text)
    return float(mean), float(spread)


def regularizers():
    """Test accuracy with its spread, and training accuracy, of each regularizer and each augmentation."""
    rows = [*table("regularization.md", "| regularizer "), *list(table("augmentation.md", "| augmentation "))[1:]]
    names = [row[0] if row[0] != "together" else "several of these together" for row in rows]
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    heights = np.arange(len(rows))[::-1]
    for axes, title, column in zip(figure.subplots(1, 2, sharey=True), ("MNIST", "Fashion-MNIST"), (1, 4), strict=True):
        train = [float(row[column]) for row in rows]
        mean, spread = zip(*(measured(row[column + 1]) for row in rows), strict=True)
        axes.axvline(mean[0], color=GREY, linewidth=0.8, linestyle="--")
        axes.hlines(heights, mean, train, color="#dddddd", linewidth=3, label="gap")
        axes.plot(train, heights, "o", color=ORANGE, markersize=5, label="training")
        axes.errorbar(mean, heights, xerr=spread, fmt="o", color=BLUE, markersize=5, capsize=2, label="test")
        axes.set(xlabel="accuracy [%]", title=f"{title}, 1,000 images")
        axes.grid(alpha=0.3)
    figure.axes[0].set_yticks(heights, names, fontsize="small")
    figure.axes[0].legend(loc="upper left", fontsize="small")
    return figure


def transfer():
    """Accuracy of the four ways, in the lecture's four cases."""
    ways = ("from scratch", "head features", "earlier stage", "fine-tuned")
    rows = list(table("transfer.md", "| images    |"))
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    for i, (way, colour) in enumerate(zip(ways, (GREY, BLUE, GREEN, ORANGE), strict=True)):
        mean, spread = zip(*(measured(row[2 + i]) for row in rows), strict=True)
        at = np.arange(len(rows)) + 0.2 * (i - 1.5)
        axes.bar(at, mean, 0.19, yerr=spread, color=colour, label=way, capsize=2, error_kw={"linewidth": 0.9})
    axes.set_xticks(range(len(rows)), [f"{row[0]} images,\n{row[1]} per class" for row in rows])
    axes.set(ylabel="test accuracy [%]", ylim=(0, 112))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=4, loc="upper left", fontsize="small")
    return figure


def main():
    for name, draw in (("regularization", regularizers), ("transfer", transfer)):
        draw().savefig(DOCS / f"{name}.png", dpi=110)
        print(f"wrote {DOCS / name}.png")


if __name__ == "__main__":
    main()
