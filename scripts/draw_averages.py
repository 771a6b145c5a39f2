"""Draws docs/averages.png: noisy descent, its averages, and how far each is from the minimum.

.venv/bin/python scripts/draw_averages.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from lec7 import averaging, optim

STEPS, SHOWN, RUNS, SWA_START = 1000, 150, 200, 300
SOFT = "#767676"
# Okabe and Ito's colours, which people with any colour vision tell apart.
AVERAGES = {
    "ema(0.9)": ("#56B4E9", averaging.ema(0.9)),
    "ema(0.99)": ("#0072B2", averaging.ema(0.99)),
    "polyak_ruppert()": ("#D55E00", averaging.polyak_ruppert()),
    f"swa({SWA_START})": ("#009E73", averaging.swa(SWA_START)),
    "power_ema()": ("#CC79A7", averaging.power_ema(k=2)),
}
CURVATURE, START = jnp.array([0.3, 1.0]), jnp.array([-6.0, 2.5])


def descent(key):
    """The parameters after each step of SGD with noise in the gradient, and each average then: arrays [steps, 2]."""
    tx = optax.chain(
        optim.sgd(0.15),
        *(
            optax.named_chain((name, average))  # each in a place of its own
            for name, (_, average) in AVERAGES.items()
        ),
    )

    def step(carry, key):
        x, state = carry
        updates, state = tx.update(CURVATURE * x + 1.5 * jax.random.normal(key, (2,)), state, x)
        x = optax.apply_updates(x, updates)
        averages = {name: part[name].kept.averaged(x) for name, part in zip(AVERAGES, state[1:], strict=True)}
        return (x, state), {"the parameters": x} | averages

    return jax.lax.scan(step, (START, tx.init(START)), jax.random.split(key, STEPS))[1]


def draw(target: Path) -> None:
    paths = jax.jit(jax.vmap(descent))(jax.random.split(jax.random.key(3), RUNS))
    colours = {"the parameters": "#bbbbbb"} | {name: colour for name, (colour, _) in AVERAGES.items()}
    figure = Figure(figsize=(10.5, 4), layout="constrained", facecolor="white")
    way, distance = figure.subplots(1, 2)
    for name, colour in colours.items():
        x, first = np.asarray(paths[name]), SWA_START if name.startswith("swa") else 1
        width, order = (0.8, 1) if name == "the parameters" else (1.8, 2)
        way.plot(*x[0, first - 1 : SHOWN].T, color=colour, linewidth=width, zorder=order)
        root = np.sqrt((x**2).sum(-1).mean(0))
        distance.plot(np.arange(first, STEPS + 1), root[first - 1 :], color=colour, linewidth=width + 0.6, zorder=order)
        lift = {"polyak_ruppert()": 4, f"swa({SWA_START})": -4}.get(name, 0)
        distance.annotate(
            name, (STEPS, root[-1]), (6, lift), textcoords="offset points", color=colour, va="center", fontsize=9
        )
    way.plot(0, 0, marker="+", markersize=14, color="black", zorder=3)
    way.set_title(f"One run, its first {SHOWN} steps", loc="left", fontsize=11)
    way.set(xticks=[], yticks=[])
    distance.set(xscale="log", yscale="log", xlim=(1, STEPS), xlabel="step")
    distance.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    distance.set_yticks([], minor=True)
    distance.set_title(f"Distance from the minimum, root mean square of {RUNS} runs", loc="left", fontsize=11)
    for axes in (way, distance):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#bbbbbb")
        axes.tick_params(colors=SOFT, labelsize=8, which="both", color="#bbbbbb")
    distance.grid(color="#eeeeee", linewidth=0.8)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parents[1] / "docs" / "averages.png")
