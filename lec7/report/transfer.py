"""What a fine-tuned network gets right and wrong, as pictures and a page."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lec7.experiment import RunFolder

MOST_WRONG = 12


@dataclass(frozen=True)
class Judged:
    """Predictions beside the truth.

    Attributes:
        probabilities: [n, classes].
        labels: int [n].
        classes: their names.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def said(self) -> np.ndarray:
        """The likeliest class of each, int [n]."""
        return self.probabilities.argmax(-1)

    @cached_property
    def confusion(self) -> np.ndarray:
        """How often a class (row) was said to be another (column), int [classes, classes]."""
        counts = np.zeros((len(self.classes),) * 2, int)
        np.add.at(counts, (self.labels, self.said), 1)
        return counts

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float((self.said == self.labels).mean())

    @property
    def most_wrong(self) -> np.ndarray:
        """The wrong ones, those first that the true class had the least chance in, int [wrong]."""
        chance = self.probabilities[np.arange(len(self.labels)), self.labels]
        wrong = np.flatnonzero(self.said != self.labels)
        return wrong[np.argsort(chance[wrong])]


def transfer(folder: RunFolder, judged: Judged, images: np.ndarray, plan: str) -> Path:
    """Writes `report.md` in a run's folder, with `confusion.png` and, where something is wrong, `most_wrong.png`.

    Args:
        folder: of the run.
        judged: predictions of the test images.
        images: these, bytes or floats in [0, 1], [n, height, width, 1 or 3].
        plan: what was trained, as text.

    Returns:
        The page's path.
    """
    config, wrong = folder.config, judged.most_wrong
    _confusion(judged).savefig(folder.path / "confusion.png", dpi=110)
    if len(wrong):
        _examples(judged, images, wrong[:MOST_WRONG]).savefig(folder.path / "most_wrong.png", dpi=110)
    right = judged.confusion.diagonal()
    counts = judged.confusion.sum(1)
    rows = (
        f"| {name} | {n} | {hits / n if n else float('nan'):.1%} |"
        for name, n, hits in zip(judged.classes, counts, right, strict=True)
    )
    hp = config["hyperparameters"]
    text = [
        f"# {folder.path.name}: {hp['model']} on {hp['data']}",
        "",
        f"{judged.accuracy:.2%} of {len(judged.labels)} test images are right.",
        "",
        "| class | images | right |",
        "|---|---:|---:|",
        *rows,
        "",
        "![Confusion matrix](confusion.png)",
        "",
        *(("## Most wrong", "", "![The images that are most wrong](most_wrong.png)", "") if len(wrong) else ()),
        "![Curves](curves.png)",
        "",
        "## Plan",
        "",
        "```",
        plan,
        "```",
        "",
    ]
    page = folder.path / "report.md"
    page.write_text("\n".join(text))
    return page


def _confusion(judged: Judged) -> Figure:
    names, counts = judged.classes, judged.confusion
    side = min(2.5 + 0.45 * len(names), 14.0)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    picture = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.8)
    ticks = range(len(names))
    axes.set(xticks=ticks, yticks=ticks, xlabel="said", ylabel="true", title=f"{judged.accuracy:.1%} right")
    axes.set_xticklabels(names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticklabels(names)
    if len(names) <= 25:
        for i, j in np.argwhere(counts):
            axes.text(
                j, i, str(counts[i, j]), ha="center", va="center", color="black" if share[i, j] > 0.6 else "white"
            )
    return figure


def _examples(judged: Judged, images: np.ndarray, places: np.ndarray) -> Figure:
    columns = min(4, len(places))
    rows = -(-len(places) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.6 * rows), layout="constrained")
    for axes, place in zip(figure.subplots(rows, columns, squeeze=False).flat, places, strict=False):
        said, chance = judged.said[place], judged.probabilities[place].max()
        image = images[place]
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray")
        axes.set_title(
            f"{judged.classes[judged.labels[place]]}\nsaid: {judged.classes[said]} ({chance:.0%})", fontsize="small"
        )
    for axes in figure.axes:
        axes.set_axis_off()
    return figure
