"""The lecture's pictures: where SGD has trouble, and what momentum, AdaGrad, RMSProp and Adam make of it.

    .venv/bin/python experiments/optimizer_paths.py    draws optimizer_paths.png and optimizer_paths.gif

A narrow valley, a saddle point, a local minimum, and a bowl whose gradient is noisy. Each of six optimizers goes down
each of them from 32 starts, with each of 33 rates; shown is the rate whose paths are lowest on average. All of it is
one program.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import claims
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lec7 import optim
from lec7.typing import Key, PyTree

OPTIMIZERS: dict[str, Callable[[jax.Array], optax.GradientTransformationExtraArgs]] = {
    "SGD": optim.sgd,
    "momentum": optim.momentum,
    "Nesterov": optim.nesterov,
    "AdaGrad": optim.adagrad,
    "RMSProp": optim.rmsprop,
    "Adam": optim.adam,
}
COLOURS = dict(zip(OPTIMIZERS, ("#000000", "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"), strict=True))
NEAR = 0.01
"""The part of a start's height at which a path has arrived."""


@dataclass(frozen=True)
class Options(claims.Effort):
    """Where the pictures go."""

    output: Path = Path("optimizer_paths.png")
    """The picture of the paths; the animation has the same name, and ends in .gif."""


class Landscape(NamedTuple):
    """The height `steep y^2 / 2 + bend x^2 / 2 + wall x^4 / 4 + tilt x`, and where paths begin; a pytree."""

    steep: float = 1.0
    bend: float = 1.0
    wall: float = 0.0
    tilt: float = 0.0
    noise: float = 0.0
    """Standard deviation of what is added to each part of the gradient."""
    begin: tuple[tuple[float, float], tuple[float, float]] = ((-1.0, 1.0), (-1.0, 1.0))
    """The box that starts are drawn from, in x and in y."""

    def height(self, point: Any) -> Any:
        """Of a point [2], or of several [2, ...]."""
        x, y = point
        return self.steep * y**2 / 2 + self.bend * x**2 / 2 + self.wall * x**4 / 4 + self.tilt * x

    def starts(self, key: jax.Array, count: int) -> jax.Array:
        """Points of the box, [count, 2]."""
        low, high = jnp.array(self.begin).T
        return jax.random.uniform(key, (count, 2), minval=low, maxval=high)

    def lowest(self) -> tuple[float, np.ndarray]:
        """Its least height, and the points where it is that low, [n, 2]."""
        flat = np.roots([self.wall, 0.0, self.bend, self.tilt])
        points = np.array([(x, 0.0) for x in flat[np.isreal(flat)].real])
        heights = self.height(points.T)
        return heights.min(), points[np.isclose(heights, heights.min())]


LANDSCAPES = {
    "narrow valley": Landscape(steep=100.0, begin=((-9.5, -7.0), (0.7, 1.4))),
    "saddle point": Landscape(steep=20.0, bend=-1.0, wall=1.0, begin=((-1e-3, 1e-3), (0.8, 1.6))),
    "local minimum": Landscape(bend=-1.0, wall=1.0, tilt=-0.12, begin=((-2.2, -1.2), (-1.0, 1.0))),
    "noisy gradient": Landscape(steep=4.0, noise=3.0, begin=((-4.5, -3.5), (1.0, 2.0))),
}
VIEWS = {
    "narrow valley": ((-10, 3), (-1.8, 1.8)),
    "saddle point": ((-1.7, 1.7), (-1.7, 1.7)),
    "local minimum": ((-2.3, 2.0), (-1.6, 1.6)),
    "noisy gradient": ((-5, 2), (-2.2, 2.5)),
}


class Paths(NamedTuple):
    """An optimizer's paths with the rate whose paths are lowest: points [starts, steps, 2], heights [starts, steps].

    Heights are above the landscape's lowest point.
    """

    rate: float
    points: np.ndarray
    heights: np.ndarray

    @property
    def arrived(self) -> np.ndarray:
        """How many steps each start took to come near the lowest point, for good; all of them where it did not."""
        far = self.heights > NEAR * self.heights[:, :1]
        return far.shape[1] - np.argmax(far[:, ::-1], axis=1) * far.any(1)


def path(name: str, steps: int, landscape: Landscape, rate: jax.Array, start: jax.Array, key: jax.Array) -> jax.Array:
    """The points that an optimizer visits, [steps, 2]."""
    optimizer = OPTIMIZERS[name](rate)

    def step(carry: tuple[jax.Array, PyTree], key: Key) -> tuple[tuple[jax.Array, PyTree], jax.Array]:
        x, state = carry
        value, grad = jax.value_and_grad(landscape.height)(x)
        grad += landscape.noise * jax.random.normal(key, x.shape)
        return optim.apply_gradients(optimizer, grad, state, x, value=value), x

    _, points = jax.lax.scan(step, (start, optimizer.init(start)), jax.random.split(key, steps))
    return points


def integrate(steps: int, count: int, rates: jax.Array) -> dict[str, dict[str, Paths]]:
    """All paths of all optimizers, in one program; of each landscape and optimizer those of the best rate."""

    def everywhere(landscape: Landscape, starts: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
        keys = jax.random.split(jax.random.key(1), count)
        found = {}
        for name in OPTIMIZERS:
            from_each = jax.vmap(partial(path, name, steps, landscape), in_axes=(None, 0, 0))
            points = jax.vmap(from_each, in_axes=(0, None, None))(rates, starts, keys)
            found[name] = points, jnp.apply_along_axis(landscape.height, -1, points)
        return found

    starts = jnp.stack([landscape.starts(jax.random.key(0), count) for landscape in LANDSCAPES.values()])
    stacked = jax.tree.map(lambda *numbers: jnp.array(numbers), *LANDSCAPES.values())
    found = jax.device_get(jax.jit(jax.vmap(everywhere))(stacked, starts))
    return {
        title: {
            name: best(rates, points[i], heights[i] - landscape.lowest()[0])
            for name, (points, heights) in ((name, found[name]) for name in OPTIMIZERS)
        }
        for i, (title, landscape) in enumerate(LANDSCAPES.items())
    }


def best(rates: jax.Array, points: np.ndarray, heights: np.ndarray) -> Paths:
    """The paths of the rate that are lowest on average, of [rates, starts, steps]."""
    mean = np.nan_to_num(np.clip(heights, None, 1e6), nan=1e6).mean((1, 2))
    return Paths(float(rates[mean.argmin()]), points[mean.argmin()], heights[mean.argmin()])


def findings(found: dict[str, dict[str, Paths]]) -> Iterator[claims.Finding]:
    """What the lecture says of each landscape, and whether it is so."""

    def steps(title: str, name: str) -> float:
        return float(np.median(found[title][name].arrived))

    valley = {name: crossings(paths) for name, paths in found["narrow valley"].items()}
    yield claims.Finding(
        "SGD zig-zags across a narrow valley and creeps along it, and momentum is faster",
        valley["SGD"] > 0.5 and steps("narrow valley", "momentum") < steps("narrow valley", "SGD"),
        f"SGD crosses it in {valley['SGD']:.0%} of its steps and takes {steps('narrow valley', 'SGD'):.0f}, "
        f"momentum in {valley['momentum']:.0%} and takes {steps('narrow valley', 'momentum'):.0f}",
    )
    yield claims.Finding(
        "SGD gets stuck at a saddle point, and momentum leaves it sooner",
        steps("saddle point", "momentum") < steps("saddle point", "SGD") / 1.5,
        ", ".join(f"{name} {steps('saddle point', name):.0f}" for name in OPTIMIZERS) + " steps",
    )
    through = {name: float(np.mean(paths.points[:, -1, 0] > 0)) for name, paths in found["local minimum"].items()}
    yield claims.Finding(
        "momentum carries through a local minimum in which SGD ends",
        through["momentum"] > through["SGD"],
        ", ".join(f"{name} {share:.0%}" for name, share in through.items()) + " of the starts end in the lower one",
    )
    restless = {name: length(paths) for name, paths in found["noisy gradient"].items()}
    yield claims.Finding(
        "a noisy gradient makes SGD meander, and momentum averages the noise",
        restless["momentum"] < restless["SGD"],
        ", ".join(f"{name} {times:.1f}" for name, times in restless.items()) + " times the straight way",
    )
    lower = [title for title in LANDSCAPES if mean_height(found[title]["Adam"]) < mean_height(found[title]["SGD"])]
    yield claims.Finding(
        "Adam is a good default: on average its paths are lower than SGD's everywhere",
        len(lower) == len(LANDSCAPES),
        f"they are in {len(lower)} of {len(LANDSCAPES)}: {', '.join(lower) or 'none'}",
    )


def crossings(paths: Paths) -> float:
    """The share of steps, until it arrives, in which a path crosses the valley's floor."""
    crossed = np.diff(np.sign(paths.points[..., 1]), axis=1) != 0
    under_way = np.arange(crossed.shape[1]) < paths.arrived[:, None]
    return float(crossed[under_way].mean())


def length(paths: Paths) -> float:
    """How many times as long as the straight way a path is, until it comes to half the start's distance from there."""
    moved = np.linalg.norm(np.diff(paths.points, axis=1), axis=-1)
    straight = np.linalg.norm(paths.points[:, 0], axis=-1)
    return float(np.median(moved.sum(1) / straight))


def mean_height(paths: Paths) -> float:
    """The mean over starts and steps, which the best rate is chosen by."""
    return float(paths.heights.mean())


def table(found: dict[str, dict[str, Paths]]) -> None:
    """Prints steps and rates, in Markdown."""
    print(f"| {'steps to 1 % of the height (rate)':<33} | {' | '.join(f'{title:<16}' for title in LANDSCAPES)} |")
    print("|".join(["", "-" * 35, *["-" * 17 + ":"] * len(LANDSCAPES), ""]))
    for name in OPTIMIZERS:
        cells = []
        for title in LANDSCAPES:
            paths = found[title][name]
            median = np.median(paths.arrived)
            arrived = f"{median:.0f}" if median < paths.heights.shape[1] else "never"
            cells.append(f"{arrived} ({paths.rate:.2g})")
        print(f"| {name:<33} | {' | '.join(f'{cell:>16}' for cell in cells)} |")


def landscape_on(axes: Axes, title: str) -> None:
    """The contours of a landscape, and where it is lowest."""
    landscape, (across, up) = LANDSCAPES[title], VIEWS[title]
    x, y = np.meshgrid(*(np.linspace(low, high, 200) for low, high in (across, up)))
    least, points = landscape.lowest()
    height = landscape.height(np.stack([x, y])) - least
    axes.contour(x, y, height, levels=np.geomspace(0.02, 1, 11) * height.max(), colors="#bbbbbb", linewidths=0.7)
    axes.plot(*points.T, "*", color="black", markersize=9)
    axes.set(xlim=across, ylim=up, title=title)


def draw(found: dict[str, dict[str, Paths]], output: Path) -> None:
    """The paths from the first start over the contours, and below them the heights of all starts."""
    figure = Figure(figsize=(14, 7.8), layout="constrained")
    above, below = figure.subplots(2, len(LANDSCAPES), height_ratios=(1.25, 1))
    for title, top, bottom in zip(LANDSCAPES, above, below, strict=True):
        landscape_on(top, title)
        top.set(xlabel="$x_0$", ylabel="$x_1$")
        for name, paths in found[title].items():
            until = min(int(paths.arrived[0]) + 5, 80)
            top.plot(*paths.points[0, :until].T, color=COLOURS[name], linewidth=1.2, marker=".", markersize=3)
            middle = np.median(paths.heights, axis=0)
            bottom.plot(middle, color=COLOURS[name], linewidth=1.4, label=f"{name}, {paths.rate:.2g}")
        top.plot(*found[title]["SGD"].points[0, 0], "o", color="#CC79A7", markersize=7)
        bottom.set(yscale="log", xlabel="step", ylim=(1e-2 if LANDSCAPES[title].noise else 1e-5, None), xlim=(0, 100))
        bottom.grid(alpha=0.3)
        bottom.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
            ncols=2,
            fontsize="small",
            title="learning rate",
            frameon=False,
        )
    below[0].set_ylabel("height above the lowest point, median")
    figure.savefig(output, dpi=110)


def animate(found: dict[str, dict[str, Paths]], output: Path, frames: int) -> None:
    """The same paths, a step a frame."""
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    lines = []
    for title, axes in zip(LANDSCAPES, figure.subplots(2, 2).flat, strict=True):
        landscape_on(axes, title)
        axes.set(xticks=(), yticks=())
        for name, paths in found[title].items():
            (trail,) = axes.plot([], [], color=COLOURS[name], linewidth=1.2)
            (head,) = axes.plot([], [], "o", color=COLOURS[name], markersize=5, label=name)
            lines.append((paths.points[0], trail, head))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(OPTIMIZERS), frameon=False)

    def show(step: int) -> None:
        for points, trail, head in lines:
            trail.set_data(*points[: step + 1].T)
            head.set_data(*points[step : step + 1].T)

    FuncAnimation(figure, show, frames).save(output, PillowWriter(fps=10), dpi=60)


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table and draws the pictures."""
    steps, count, rates = (100, 4, 9) if options.quick else (200, 32, 33)
    found = integrate(steps, count, jnp.geomspace(1e-3, 3.0, rates))
    table(found)
    draw(found, options.output)
    animation = options.output.with_suffix(".gif")
    animate(found, animation, frames=12 if options.quick else 60)
    print(f"\ndrawn in {options.output} and {animation}")
    yield from findings(found)


if __name__ == "__main__":
    claims.command(main, Options)
