"""A roofline: what a benchmark's work did, under what the device can do."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lec7.bench import PARTS, Record
from lec7.bench.limits import HOST, MEMORY
from lec7.report.curves import COLOURS, GREY


def roofline(record: Record, target: Path) -> Path:
    """Draws operations a second against operations for each byte that has to be moved.

    Work below the slope waits for memory, below the ridge for arithmetic; each is as far under the roof as it is from
    what the device can do.

    Source: Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model", 2009.

    Args:
        record: what `lec7 bench` found.
        target: where the picture goes.

    Returns:
        The picture's path.
    """
    shown = [one for one in record.figures if one.flops > 0 and one.nbytes > 0]
    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.subplots()
    intensities = [one.flops / one.nbytes for one in shown] or [1.0]
    x = np.geomspace(min(0.05, *intensities) / 2, max(1000.0, *intensities) * 2, 400)
    for name, peak in record.limits.items():
        if name not in (MEMORY, HOST):
            roof = np.minimum(record.limits[MEMORY] * x, peak)
            axes.plot(x, roof / 1e9, color=GREY, linewidth=1.5)
            axes.annotate(f"matrix product, {name}", (x[-1], peak / 1e9), ha="right", va="bottom", color="#555555")
    for part, colour in zip(PARTS, COLOURS, strict=False):
        if points := [one for one in shown if one.part == part]:
            axes.scatter(
                [one.flops / one.nbytes for one in points],
                [one.flops / 1e9 for one in points],
                color=colour,
                label=part,
                zorder=3,
            )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="intensity [FLOP a byte that has to be moved]",
        ylabel="speed [GFLOP/s]",
        title=f"{record.device}: copies {record.limits[MEMORY] / 1e9:,.0f} GB/s",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(target, dpi=110)
    return target
