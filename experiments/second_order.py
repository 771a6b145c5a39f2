"""Second order on digits: what the lecture promises of it with the full batch, and denies it with small ones.

    .venv/bin/python experiments/second_order.py     prints two tables and draws second_order.png, in a minute
    lec7 run experiments/second_order.py             trains with one of them, L-BFGS by default

A small MLP with batch norm sees all 1,437 digits at each step, without noise. Newton-CG, BFGS and L-BFGS find the
length of their steps by themselves; Adam and momentum have the best of sixteen rates. A gradient is a pass through all
digits, forward and back; a product of the Hessian with a vector counts as two of them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import claims
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from lec7 import averaging, data, losses, models, optim
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.models import Variables
from lec7.typing import Params

COLOURS = {"Newton-CG": "#CC79A7", "BFGS": "#009E73", "L-BFGS": "#D55E00", "Adam": "#0072B2", "momentum": "#E69F00"}


@dataclass(frozen=True)
class SecondOrder:
    """Hyperparameters. Floats can be swept inside one compiled program."""

    optimizer: optim.Name = "lbfgs"
    """Which optimizer; those of second order search for their steps."""
    learning_rate: float = 0.01
    """The rate of those of first order."""
    width: int = 16
    """Width of the hidden layer."""
    steps: int = 100
    """Number of training steps."""
    batch_size: int = 1437
    """Examples a step; by default all of them."""
    seed: int = 0
    """What all randomness comes from."""


def build(hp: SecondOrder) -> Experiment:
    """The experiment of these hyperparameters: the loss alone, without L2."""
    examples, test = data.digits()
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(64, (hp.width,), 10, rngs=rngs)),
        loss=losses.cross_entropy,
        # The average is there for its batch statistics: the running ones lag behind steps as large as these.
        optimizer=optax.chain(optim.by_name(hp.optimizer, hp.learning_rate), averaging.ema(0.0)),
        train=examples,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=10,
        evaluate_every=50,
    )


@dataclass(frozen=True)
class Options(claims.Effort):
    """How long to look."""

    gradients: int = 1000
    """Gradients of all digits that each method may spend."""
    target: float = 0.11
    """The objective that is called low: when it is reached is told."""
    small_gradients: float = 100
    """Gradients of all digits, in small batches."""
    output: Path = Path("second_order.png")
    """Where the picture goes."""

    def settled(self) -> "Options":
        """Of a quick trial small numbers; what can't be done is refused."""
        for name in ("gradients", "small_gradients"):
            if not (given := getattr(self, name)) >= 1:
                raise InputError(
                    f"--{name.replace('_', '-')} is {given}, expected at least 1, the price of a run in gradients"
                )
        return replace(self, gradients=40, small_gradients=1) if self.quick else self


L2 = 1e-3
"""Half of this times the squared weights is added to the loss, so that there is a lowest one."""


class Curve(NamedTuple):
    """What a method had spent after each step, in gradients and in seconds, the objective there, and where it ended."""

    gradients: np.ndarray
    seconds: np.ndarray
    values: np.ndarray
    params: Params

    def when(self, target: float) -> tuple[float, float]:
        """Gradients and seconds until the objective was as low; infinity where it never was."""
        low = self.values <= target
        return (self.gradients[low.argmax()], self.seconds[low.argmax()]) if low.any() else (np.inf, np.inf)


class Digits:
    """The objective of all digits, its start, and what parameters are worth on digits that were held out."""

    def __init__(self, hp: SecondOrder):
        experiment = build(hp)
        state, everything = experiment.init(), experiment.train[:]
        evaluate, refresh = experiment.make_evaluate(), experiment.make_refresh()

        def value_fn(params: Params) -> jax.Array:
            outputs, _ = experiment.model.apply(
                Variables(params, state.model_state), experiment.inputs(everything), train=True, key=state.key
            )
            penalty = sum(jnp.sum(x**2) for x in jax.tree.leaves(params))
            return jnp.mean(experiment.loss(outputs, everything)["loss"]) + L2 / 2 * penalty

        def tested(params: Params) -> jax.Array:
            variables = refresh(Variables(params, state.model_state), experiment.train, state.key)
            return evaluate(variables, experiment.test)["accuracy"]

        self.value_fn, self.params = jax.jit(value_fn), state.params
        self.accuracy = jax.jit(tested)

    def descend(self, optimizer: optax.GradientTransformation, steps: int) -> Curve:
        """A method's way down."""
        rows = []

        def record(progress: optim.Progress) -> None:
            spent = progress.evaluations + 2 * progress.products
            rows.append((int(spent), time.perf_counter(), float(progress.value)))

        def run(steps: int) -> tuple[float, optim.Result]:
            rows.clear()
            begun = time.perf_counter()
            result = optim.minimize(self.value_fn, self.params, optimizer, atol=1e-6, max_steps=steps, callback=record)
            jax.block_until_ready(result)
            jax.effects_barrier()
            return begun, result

        run(1)  # compiles
        begun, result = run(steps)
        rows.insert(0, (1, begun, float(self.value_fn(self.params))))
        spent, at, values = (np.array(column) for column in zip(*rows, strict=True))
        return Curve(spent, at - begun, values, result.params)

    def best_rate(self, make: Callable[[jax.Array], optax.GradientTransformation], steps: int) -> float:
        """The rate of sixteen that leads lowest, all of them in one program."""
        rates = jnp.geomspace(1e-3, 10.0, 16)
        ends = jax.vmap(lambda rate: optim.minimize(self.value_fn, self.params, make(rate), max_steps=steps).value)
        return float(rates[jnp.nanargmin(jax.jit(ends)(rates))])


def full_batch(digits: Digits, gradients: int) -> dict[str, Curve]:
    """Each method's way with all digits at each step."""
    adam, momentum = (digits.best_rate(make, gradients // 2) for make in (optim.adam, optim.momentum))
    return {
        "Newton-CG": digits.descend(optim.newton_cg(forcing=0.5, most_products=10), gradients // 5),
        "BFGS": digits.descend(optim.bfgs(), gradients),
        "L-BFGS": digits.descend(optim.lbfgs(), gradients),
        f"Adam, rate {adam:.2g}": digits.descend(optim.adam(adam), gradients),
        f"momentum, rate {momentum:.2g}": digits.descend(optim.momentum(momentum), gradients),
    }


def small_batches(digits: Digits, hp: SecondOrder, gradients: float) -> tuple[float, float]:
    """The objective of all digits, and the accuracy, after training on small batches for so many gradients of all."""
    experiment = build(hp)
    state, spent = experiment.init(), 0.0
    for state, metrics in experiment.fit(state):
        a_step = 1 + metrics.get("evaluations", np.zeros(experiment.log_every))
        spent += float(np.sum(a_step)) * hp.batch_size / len(experiment.train)
        if spent >= gradients:
            break
    return float(digits.value_fn(state.params)), float(digits.accuracy(state.params))


def draw(found: dict[str, Curve], options: Options) -> None:
    """The objective against gradients and against seconds."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    by_gradients, by_seconds = figure.subplots(1, 2, sharey=True)
    for name, curve in found.items():
        colour = COLOURS[name.partition(",")[0]]
        by_gradients.plot(curve.gradients, curve.values, color=colour, label=name)
        by_seconds.plot(curve.seconds * 1000, curve.values, color=colour, label=name)
    for axes, unit in ((by_gradients, "gradients of all digits"), (by_seconds, "time [ms], without compilation")):
        axes.axhline(options.target, color="#999999", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log", xlabel=unit)
        axes.grid(alpha=0.3)
    by_gradients.set(ylabel="mean loss with L2", xlim=(1, options.gradients))
    by_seconds.set(xlim=(3, None))
    by_gradients.legend()
    figure.savefig(options.output, dpi=110)


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints two tables, in Markdown, and draws the picture."""
    options = options.settled()
    hp, digits = SecondOrder(), Digits(SecondOrder())
    found = full_batch(digits, options.gradients)
    low = f"to {options.target:g}"
    print(f"| {'all digits at each step':<24} | gradients {low} | ms {low} | lowest objective | test accuracy [%] |")
    print(f"|{'-' * 26}|{'-' * 19}:|{'-' * 12}:|{'-' * 17}:|{'-' * 18}:|")
    for name, curve in found.items():
        gradients, seconds = curve.when(options.target)
        lowest = curve.values[curve.gradients <= options.gradients].min()
        accuracy = 100 * float(digits.accuracy(curve.params))
        print(f"| {name:<24} | {gradients:18.0f} | {1000 * seconds:11.1f} | {lowest:16.4f} | {accuracy:17.2f} |")
    print(f"\n| {'64 digits at each step':<24} | objective at the end | test accuracy [%] |")
    print(f"|{'-' * 26}|{'-' * 21}:|{'-' * 18}:|")
    ends = {}
    rates = {"lbfgs": 0.0, "adam": 3e-3} | ({} if options.quick else {"momentum": 0.1})
    for name, rate in rates.items():
        small = replace(hp, optimizer=name, learning_rate=rate, batch_size=64, steps=10_000)
        ends[name], accuracy = small_batches(digits, small, options.small_gradients)
        print(f"| {name:<24} | {ends[name]:20.4f} | {100 * accuracy:17.2f} |")
    draw(found, options)
    print(f"\n{options.output} has the objective against gradients and against time")
    spent = {name.partition(",")[0]: curve.when(options.target)[0] for name, curve in found.items()}
    first, second = (min(spent[name] for name in names) for names in (("Adam", "momentum"), ("BFGS", "L-BFGS")))
    yield claims.Finding(
        "with the full batch BFGS and L-BFGS need fewer gradients than the best first-order optimizer",
        second < first,
        f"{second:.0f} to an objective of {options.target:g} against {first:.0f}",
    )
    yield claims.Finding(
        "L-BFGS does not transfer well to small batches",
        ends["lbfgs"] > ends["adam"],
        f"its objective is {ends['lbfgs']:.4f} after as many gradients, and Adam's {ends['adam']:.4f}",
    )


if __name__ == "__main__":
    claims.command(main, Options)
