"""Draws docs/schedules.png: all of lec7.schedules as small multiples.

.venv/bin/python scripts/draw_schedules.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from lec7 import schedules

STEPS = 300
SOFT = "#767676"
# Okabe and Ito's colours, which people with any colour vision tell apart: one for each file of the room.
DECAY, CYCLE, COMBINED, PLATEAU = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

PANELS = [
    ("constant", "0.5", DECAY, schedules.constant(0.5)),
    ("step_decay", "1, every=80", DECAY, schedules.step_decay(1, every=80)),
    ("exponential", "1, k=0.012", DECAY, schedules.exponential(1, k=0.012)),
    ("inverse_time", "1, k=0.04", DECAY, schedules.inverse_time(1, k=0.04)),
    ("polynomial", "1, 250, power=2", DECAY, schedules.polynomial(1, 250, power=2)),
    ("cosine", "1, 250, final=0.1", DECAY, schedules.cosine(1, 250, final=0.1)),
    ("cyclic_cosine", "1, period=75", CYCLE, schedules.cyclic_cosine(1, period=75)),
    (
        "cyclic_cosine",
        "1, period=43, growth=2, shrink=0.8",
        CYCLE,
        schedules.cyclic_cosine(1, period=43, growth=2, shrink=0.8),
    ),
    ("triangular", "0.1, 1, period=100", CYCLE, schedules.triangular(0.1, 1, period=100)),
    ("one_cycle", "1, 250", CYCLE, schedules.one_cycle(1, 250)),
    ("warmup", "cosine(1, 230), 50", COMBINED, schedules.warmup(schedules.cosine(1, 230), 50)),
    (
        "join",
        "[0.9, exponential(0.6, 0.02)], [100]",
        COMBINED,
        schedules.join([0.9, schedules.exponential(0.6, 0.02)], [100]),
    ),
]


def line(axes, values, colour):
    """The values, with a thin line alone where the schedule leaps."""
    t = np.arange(len(values), dtype=float)
    leaps = np.flatnonzero(np.abs(np.diff(values)) > 0.05) + 1
    axes.plot(np.insert(t, leaps, leaps), np.insert(values, leaps, np.nan), color=colour, linewidth=2)
    axes.vlines(leaps - 0.5, values[leaps - 1], values[leaps], color=colour, linewidth=0.8, alpha=0.45)


def plateau():
    """A loss that comes down in two stages, and the scale that `reduce_on_plateau` gives it."""
    t = np.arange(STEPS)
    noise = 0.02 * np.random.default_rng(7).normal(size=STEPS)
    loss = 0.32 + 0.45 * np.exp(-t / 22) + 0.2 / (1 + np.exp((t - 118) / 7)) + noise
    tx = schedules.reduce_on_plateau(factor=0.5, patience=4, every=10, rtol=0.02)

    def step(state, value):
        update, state = tx.update(jnp.ones(()), state, value=value)
        return state, update

    return loss, np.asarray(jax.lax.scan(step, tx.init(jnp.ones(())), jnp.asarray(loss, float))[1])


def panel(axes, name, arguments, colour):
    axes.set(xlim=(0, STEPS), ylim=(-0.03, 1.08), xticks=[0, 100, 200, 300], yticks=[0, 0.5, 1])
    axes.set_title(name, loc="left", fontsize=11, color=colour, fontweight="bold", pad=17)
    axes.text(0, 1.035, arguments, transform=axes.transAxes, fontsize=8, color=SOFT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=SOFT, labelsize=8, length=3, color="#bbbbbb")
    axes.grid(color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)


def draw(target: Path) -> None:
    figure = Figure(figsize=(10.5, 10), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1, hspace=0.02)
    grid = figure.add_gridspec(4, 4)
    cells = [figure.add_subplot(grid[i // 4, i % 4]) for i in range(len(PANELS))]
    for axes, (name, arguments, colour, schedule) in zip(cells, PANELS, strict=True):
        panel(axes, name, arguments, colour)
        line(axes, np.asarray(jax.vmap(schedule)(jnp.arange(STEPS + 1))), colour)

    axes = figure.add_subplot(grid[3, :])
    panel(axes, "reduce_on_plateau", "factor=0.5, patience=4, every=10, rtol=0.02", PLATEAU)
    loss, scale = plateau()
    axes.plot(loss, color="#b5b5b5", linewidth=0.9)
    line(axes, scale, PLATEAU)
    axes.text(40, 0.66, "loss", fontsize=9, color=SOFT)
    axes.text(196, 0.97, "scale of the updates", fontsize=9, color=PLATEAU, ha="right", va="top")
    axes.set_xlabel("step", fontsize=9, color=SOFT)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parents[1] / "docs" / "schedules.png")
