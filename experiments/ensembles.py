"""Many models as one on 5,000 MNIST digits: what the lecture's ensembles, snapshots and averages are worth.

    .venv/bin/python experiments/ensembles.py        tries all of them and prints a table, in twelve minutes
    lec7 run experiments/ensembles.py --members 8    trains one of them

A small CNN sees 2,000 digits; 500 are for choosing, and 2,500 for testing, so that half a percent is more than chance.
Methods that the lecture claims for the price of one training have one: as many steps as the single model.
"""

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, NamedTuple

import claims
import jax
import jax.numpy as jnp
import optax

from lec7 import averaging, data, ensemble, losses, models, optim, schedules, train
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.models import Variables
from lec7.typing import Metrics


@dataclass(frozen=True)
class Ensembles:
    """Hyperparameters. Floats can be swept inside one compiled program."""

    method: Literal["cosine", "snapshots", "swa"] = "cosine"
    """A cosine, with a moving average; cycles, with a snapshot at the end of each; or a constant rate for the last
    quarter, which is averaged."""
    learning_rate: float = 3e-3
    """Adam's rate at its highest."""
    dropout: float = 0.2
    """Chance to drop a unit before and after the hidden layer."""
    ema_decay: float = 0.99
    """Decay of the parameters' moving average."""
    network: Literal["cnn", "mlp"] = "cnn"
    """A small CNN, or an MLP, which compiles in a moment."""
    cycles: int = 4
    """Number of cycles, and so of snapshots."""
    steps: int = 1000
    """Number of training steps."""
    batch_size: int = 64
    """Examples a step."""
    seed: int = 0
    """What all randomness comes from."""


@cache
def digits() -> tuple[data.ArraySource, data.ArraySource, data.ArraySource]:
    """2,000 digits to train on, 500 to choose by, 2,500 to test with, always the same."""
    both = [source.arrays for source in data.mnist5k()]
    everything = data.ArraySource({name: jnp.concatenate([part[name] for part in both]) for name in both[0]})
    rest, test = data.split(everything, held_out=2500)
    return *data.split(rest, held_out=500), test


def build(hp: Ensembles) -> Experiment:
    """The experiment of these hyperparameters."""
    if hp.cycles < 1:
        raise InputError(f"--cycles is {hp.cycles}, expected at least 1, for a cycle of {hp.steps} steps")
    examples, _, test = digits()
    keep = 1 - hp.dropout
    model = models.from_nnx(
        {
            "cnn": lambda rngs: models.CNN((28, 28, 1), (16, 32), 64, 10, keep=keep, rngs=rngs),
            "mlp": lambda rngs: models.MLP(784, (64,), 10, keep=keep, rngs=rngs),
        }[hp.network]
    )
    a, period, last_quarter = hp.learning_rate, hp.steps / hp.cycles, hp.steps * 3 // 4
    rate, average = {
        "cosine": (schedules.cosine(a, hp.steps), averaging.ema(hp.ema_decay)),
        "snapshots": (schedules.cyclic_cosine(a, period), averaging.snapshots(hp.cycles, period)),
        "swa": (
            schedules.join([schedules.cosine(a, last_quarter, final=0.3 * a), 0.3 * a], [last_quarter]),
            averaging.swa(last_quarter),
        ),
    }[hp.method]
    return Experiment(
        model=model,
        loss=losses.cross_entropy,
        optimizer=optax.chain(optim.adam(rate), average),
        train=examples,
        test=test,
        steps=hp.steps,
        batch_size=hp.batch_size,
        seed=hp.seed,
        log_every=25,
        evaluate_every=500,
    )


@dataclass(frozen=True)
class Options(claims.Effort):
    """How much to train for the table."""

    replicates: int = 3
    """How often each method is tried, with seeds of its own."""
    members: int = 8
    """Members of the larger ensemble; the smaller one has half of them."""
    masks: int = 20
    """Dropout masks of MC dropout."""
    steps: int = 1000
    """Training steps of a single model."""

    def settled(self) -> "Options":
        """Of a quick trial small numbers; what can't be done is refused."""
        k = Ensembles.cycles
        for name, least, why in (
            ("replicates", 1, "how often each method is tried"),
            ("members", 2, "of which half are the smaller ensemble"),
            ("masks", 1, "dropout masks"),
            ("steps", 200 * k, f"of which each of {k} hurried members has a part that is long enough to be timed"),
        ):
            if (given := getattr(self, name)) < least:
                raise InputError(f"--{name} is {given}, expected at least {least}, {why}")
        return replace(self, replicates=1, members=k, masks=2, steps=50 * k) if self.quick else self


class Trained(NamedTuple):
    """Runs in one program, and what they left by kind, each leaf with a leading axis of runs."""

    many: ensemble.Ensemble
    variables: dict[str, Variables]


def trained(hp: Ensembles, runs: int) -> Trained:
    """Runs of the seeds from 0 on."""
    many = ensemble.make(build, hp, range(runs))
    state = many.init()
    for state, _ in many.fit(state):
        pass
    return Trained(many, many.variables(state))


def run_times(programs: Sequence[ensemble.Ensemble], turns: int) -> list[float]:
    """The seconds that one run of each takes: the median over windows, in turns, so that noise meets them all."""
    going = [program.fit(program.init()) for program in programs]
    for program in going:
        jax.block_until_ready(next(program))
    taken = []
    for _ in range(turns):
        marks = [time.perf_counter()]
        for program in going:
            jax.block_until_ready(next(program))
            marks.append(time.perf_counter())
        taken.append([after - before for before, after in itertools.pairwise(marks)])
    windows = map(statistics.median, zip(*taken, strict=True))
    return [
        window * program.steps / program.first.log_every / len(program.seeds)
        for program, window in zip(programs, windows, strict=True)
    ]


class Judge:
    """Asks models about the test examples; all functions are compiled once."""

    def __init__(self, experiment: Experiment, masks: int):
        examples, validation, test = digits()
        model, x = experiment.model, train.image(test[:])
        evaluate, refresh = experiment.make_evaluate(), experiment.make_refresh()
        self.labels = test.arrays["label"]
        # Images are arguments: XLA would take long to fold what is computed of constants.
        predict = jax.jit(lambda members, x: ensemble.predict(model, members, x))
        mc_dropout = jax.jit(lambda one, key, x: ensemble.mc_dropout(key, model, one, x, masks))
        renew = jax.jit(lambda one, examples: refresh(one, examples, jax.random.key(0)))
        self.predict = partial(predict, x=x)
        self.mc_dropout = partial(mc_dropout, x=x)
        self.refresh = partial(renew, examples=examples)
        score = jax.jit(lambda one, examples, others: evaluate(renew(one, examples), others)["accuracy"])
        self.accuracy = partial(score, examples=examples, others=validation)

    def soup(self, members: Variables) -> jax.Array:
        """The probabilities of the mean weights, with batch statistics of their own."""
        return self.predict(as_one(self.refresh(ensemble.soup(members))))

    def greedy_soup(self, members: Variables) -> jax.Array:
        """The same of those members whose soup is best on the digits to choose by."""
        return self.predict(as_one(self.refresh(ensemble.greedy_soup(members, self.accuracy).variables)))


def at(members: Variables, index: int | slice) -> Variables:
    """A member, or some."""
    return jax.tree.map(lambda x: x[index], members)


def as_one(variables: Variables) -> Variables:
    """A single model as an ensemble of one."""
    return jax.tree.map(lambda x: x[None], variables)


def compare(options: Options) -> Iterator[tuple[str, int, float, Metrics]]:
    """For each replicate and each method its name, its trainings, its seconds, and its scores."""
    n, hp = options.members, Ensembles(steps=options.steps, network="mlp" if options.quick else "cnn")
    half, k = n // 2, hp.cycles
    long = trained(hp, options.replicates * n)
    short = trained(replace(hp, steps=hp.steps // k), options.replicates * k)
    cyclic = trained(replace(hp, method="snapshots"), options.replicates)
    swa = trained(replace(hp, method="swa"), options.replicates)
    programs = [ensemble.make(build, hp, range(1)), *(kind.many for kind in (long, short, cyclic, swa))]
    single, of_long, of_short, of_cyclic, of_swa = run_times(programs, turns=1 if options.quick else 3)
    judge = Judge(build(hp), options.masks)
    for i in range(options.replicates):
        members = at(long.variables["raw"], slice(i * n, (i + 1) * n))
        hurried = at(short.variables["raw"], slice(i * k, (i + 1) * k))
        snapshots = at(cyclic.variables["snapshots"], i)
        first, averaged = at(members, 0), at(long.variables["ema"], i * n)
        masked = judge.mc_dropout(first, jax.random.key(i))
        for name, trainings, seconds, probabilities in (
            ("single model", 1, single, judge.predict(as_one(first))),
            ("EMA", 1, single, judge.predict(as_one(averaged))),
            ("SWA", 1, of_swa, judge.predict(as_one(at(swa.variables["swa"], i)))),
            (f"MC dropout, {options.masks} masks", 1, single, masked),
            (f"{k} snapshots", 1, of_cyclic, judge.predict(snapshots)),
            (f"soup of {k} snapshots", 1, of_cyclic, judge.soup(snapshots)),
            (f"greedy soup of {k} snapshots", 1, of_cyclic, judge.greedy_soup(snapshots)),
            (f"{k} members, 1/{k} of the steps each", 1, k * of_short, judge.predict(hurried)),
            (f"{half} members", half, half * of_long, judge.predict(at(members, slice(half)))),
            (f"{n} members", n, n * of_long, judge.predict(members)),
            (f"soup of {n} members", n, n * of_long, judge.soup(members)),
            (f"greedy soup of {n} members", n, n * of_long, judge.greedy_soup(members)),
        ):
            yield name, trainings, seconds, ensemble.scores(probabilities, judge.labels)


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table, in Markdown."""
    train.device_per_core()
    options = options.settled()
    costs, found = {}, defaultdict(list)
    for name, *cost, scores in compare(options):
        costs[name] = cost
        found[name].append({score: float(value) for score, value in scores.items()})
    print(f"| {'method':<33} | trainings | accuracy [%] |  NLL  |  ECE  | time [s] |")
    print(f"|{'-' * 35}|{'-' * 10}:|{'-' * 13}:|{'-' * 6}:|{'-' * 6}:|{'-' * 9}:|")
    for name, (trainings, seconds) in costs.items():
        accuracy, nll, ece = ([row[score] for row in found[name]] for score in ("accuracy", "nll", "ece"))
        spread = f" ± {100 * statistics.stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
        percent = f"{100 * statistics.mean(accuracy):.2f}{spread}"
        means = f"{statistics.mean(nll):.3f} | {statistics.mean(ece):.3f}"
        print(f"| {name:<33} | {trainings:9} | {percent:>12} | {means} | {seconds:8.1f} |")

    def gain(name: str) -> float:
        """Points of accuracy over the single model, the mean over replicates."""
        pairs = zip(found[name], found["single model"], strict=True)
        return 100 * statistics.mean(one["accuracy"] - other["accuracy"] for one, other in pairs)

    for claim, name in (
        ("several models that were trained apart do better than one", f"{options.members} members"),
        ("snapshots of one training do better than its end, for the price of one", f"{Ensembles.cycles} snapshots"),
        ("a moving average of the parameters does better than the parameters", "EMA"),
    ):
        yield claims.Finding(claim, gain(name) > 0, f"{name}: {gain(name):+.2f} points")
    whole = gain(f"{options.members} members")
    yield claims.Finding(
        "an ensemble is worth two points of accuracy", whole >= 2, f"{options.members} members are worth {whole:.2f}"
    )


if __name__ == "__main__":
    claims.command(main, Options)
