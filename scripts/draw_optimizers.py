"""Draws docs/optimizers.png: every optimizer of lec7 on the lecture's ill-conditioned bowl, each at its best rate.

.venv/bin/python scripts/draw_optimizers.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from lec7 import optim

STEPS = 60
START = (-9.0, 1.8)
RATES = 10.0 ** np.arange(-3, 0.76, 0.125)


def bowl(x):
    """Twenty times as steep one way as the other."""
    return 0.5 * (x[0] ** 2 + 20 * x[1] ** 2)


def path(name, rate):
    """The points that an optimizer visits, [STEPS + 1, 2]."""
    tx, start = optim.by_name(name, rate), jnp.array(START)

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(jax.grad(bowl)(x), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    _, points = jax.lax.scan(step, (start, tx.init(start)), None, STEPS)
    return jnp.concatenate([start[None], points])


def best(name):
    """The rate with the least sum of values along its path, of all rates in one program; and that path."""
    paths = np.asarray(jax.jit(jax.vmap(lambda rate: path(name, rate)))(jnp.asarray(RATES)))
    values = np.nan_to_num(jax.vmap(jax.vmap(bowl))(paths).sum(1), nan=np.inf)
    return RATES[values.argmin()], paths[values.argmin()]


def main():
    names = list(optim.OPTIMIZERS)
    figure = Figure(figsize=(12, 7.2), layout="constrained")
    across, up = np.meshgrid(np.linspace(-10.5, 4.5, 200), np.linspace(-2.6, 2.6, 200))
    height = bowl((across, up))
    for axes, name in zip(figure.subplots(3, 3, sharex=True, sharey=True).flat, names, strict=True):
        rate, points = best(name)
        axes.contour(across, up, height, levels=np.geomspace(0.3, 90, 9), colors="#bbbbbb", linewidths=0.8)
        axes.plot(*points.T, color="#0072B2", linewidth=1.2, marker=".", markersize=4)
        axes.plot(*START, "o", color="#D55E00", markersize=6)
        axes.plot(0, 0, "*", color="black", markersize=9)
        steps = np.flatnonzero(bowl(points.T) > 0.01)[-1] + 1
        title = f"{name}, rate {rate:.2g}: " + (f"{steps} steps to 0.01" if steps <= STEPS else f"not there in {STEPS}")
        axes.set_title(title, fontsize=10)
        axes.set(xlim=(-10.5, 4.5), ylim=(-2.6, 2.6))
    target = Path(__file__).parents[1] / "docs" / "optimizers.png"
    figure.savefig(target, dpi=110)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
