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
    panels = [
        ("loss", "loss [nats]", "log"),
        ("accuracy", "accuracy", "linear"),
        ("learning_rate", "learning rate", "linear"),
    ]
    panels = [panel for panel in panels if any(f"train/{panel[0]}" in row for row in rows)]
    figure = Figure(figsize=(4.2 * max(len(panels), 1), 3.4), layout="constrained")
    for axes, (name, label, scale) in zip(
        figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels, strict=False
    ):
        lines = (
            (f"train/{name}", "training", TRAINING, 1.2),
            (f"test/{name}_raw", "test, raw parameters", RAW, 1.5),
            (f"test/{name}", "test", AVERAGED, 2.0),
        )
        for key, title, colour, width in lines:
            points = [(row["step"], row[key]) for row in rows if key in row and not isinstance(row[key], str)]
            if points:
                marker = "." if key.startswith("test/") else None
                axes.plot(*zip(*points, strict=True), label=title, color=colour, linewidth=width, marker=marker)
        axes.set(xlabel="step", ylabel=label, yscale=scale)
        axes.grid(alpha=0.3)
        if name != "learning_rate":
            axes.legend(fontsize="small")
    figure.suptitle(str(folder.path.name))
    target = folder.path / "curves.png"
    figure.savefig(target, dpi=110)
    return target
