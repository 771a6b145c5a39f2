"""A run's curves as a picture."""

from pathlib import Path

from matplotlib.figure import Figure

from lec7.experiment import RunFolder

# Okabe and Ito's colours, which people with any colour vision tell apart.
TRAINING, AVERAGED, RAW = "#0072B2", "#D55E00", "#999999"


def curves(folder: RunFolder) -> Path:
    """Draws `curves.png` in a run's folder: loss, accuracy and learning rate against the step.

    Returns:
        The picture's path.
    """
    rows = folder.metrics()
    panels = [name for name in ("loss", "accuracy", "learning_rate") if any(f"train/{name}" in row for row in rows)]
    figure = Figure(figsize=(4.2 * max(len(panels), 1), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels, strict=False):
        averaged = any(f"test/{name}_raw" in row for row in rows)
        lines = (
            (f"train/{name}", "training", TRAINING, 1.2),
            (f"test/{name}_raw", "test, raw parameters", RAW, 1.5),
            (f"test/{name}", "test, averaged parameters" if averaged else "test", AVERAGED, 2.0),
        )
        positive = True
        for key, title, colour, width in lines:
            points = [(row["step"], row[key]) for row in rows if key in row and not isinstance(row[key], str)]
            positive = positive and all(value > 0 for _, value in points)
            if points:
                marker = "." if key.startswith("test/") else None
                axes.plot(*zip(*points, strict=True), label=title, color=colour, linewidth=width, marker=marker)
        scale = "log" if name == "loss" and positive else "linear"
        axes.set(xlabel="step", ylabel=name.replace("_", " "), yscale=scale)
        axes.grid(alpha=0.3)
        if name != "learning_rate":
            axes.legend(fontsize="small")
    figure.suptitle(str(folder.path.name))
    target = folder.path / "curves.png"
    figure.savefig(target, dpi=110)
    return target
