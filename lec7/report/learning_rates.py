"""What a search for a learning rate saw, as a picture."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from lec7.report.curves import AVERAGED, GREY, TRAINING
from lec7.train import LearningRates


def learning_rates(found: LearningRates, path: str | os.PathLike[str]) -> Path:
    """Draws the loss against the learning rate, and the suggestion.

    Args:
        found: of `train.lr_find`.
        path: of the picture; its suffix says what kind.

    Returns:
        The picture's path.

    >>> import tempfile
    >>> import numpy as np
    >>> from lec7.train import LearningRates
    >>> losses = np.array([2.0, 1.0, 3.0])
    >>> found = LearningRates(np.array([1e-3, 1e-2, 1e-1]), losses, losses, 1e-3)
    >>> learning_rates(found, Path(tempfile.mkdtemp(), "rates.png")).name
    'rates.png'
    """
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color=GREY, linewidth=1.0, label="each batch")
    axes.plot(found.rates, found.smooth, color=TRAINING, linewidth=2.0, label="running mean")
    axes.axvline(found.suggestion, color=AVERAGED, linestyle="--", label=f"suggestion: {found.suggestion:.1e}")
    # What diverges at the end would flatten all that is of interest.
    low, start = found.smooth.min(), found.smooth[0]
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(0.9 * low, start + 0.5 * (start - low)))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    return Path(path)
