"""The lecture's table of transfer learning, measured: what to take of a pretrained network for which data.

    .venv/bin/python experiments/transfer.py            prints the table
    .venv/bin/python experiments/transfer.py --quick    the same in small, to see that it runs

On a CPU with Linux `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` in the environment takes a third off its time.

The claim (lecture 7, "Transfer Learning with CNNs"): with few images like those of the pretraining, a linear classifier
on the top features is best; with few unlike them, a linear classifier on an earlier stage; with many of either kind,
fine-tuning.

EfficientNet-Lite0, pretrained on ImageNet, meets patches of ten photographs (similar) and Fashion-MNIST (different), a
few and many examples of each class. Against a CNN from scratch stand linear classifiers on what the network's head sees
and on an earlier stage, and the network fine-tuned, head first: it begins at the first of these classifiers. What is
fine-tuned is as `transfer.plan` has it; with few examples, where that freezes all, the upper quarter of the blocks. All
batch norms keep their statistics: of new ones, with a momentum of 0.99, 50 steps would be 40 % on the way.
Seeds differ in the examples to train on and in initial weights; the images to test with stay. What is frozen sees each
image once, and the rest is trained on what it gives. Needs the extras `efficientnet` and `photographs`.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import claims
import jax
import numpy as np
import optax

from lec7 import data, losses, models, optim, schedules, train, transfer
from lec7.errors import InputError
from lec7.models import Model
from lec7.typing import ArrayLike

Kind = Literal["similar", "different"]
Method = Literal["scratch", "head", "earlier", "tuned"]
TITLES: Mapping[Method, str] = {
    "scratch": "from scratch",
    "head": "head features",
    "earlier": "earlier stage",
    "tuned": "fine-tuned",
}
METHODS: tuple[Method, ...] = get_args(Method)
CLASSES = 10
UPPER = "blocks/12"
"""The first stage of the upper quarter."""


@dataclass(frozen=True)
class Options(claims.Effort):
    """What to try, and how long."""

    few: int = 5
    """Examples of each class where there are few."""
    many: int = 100
    """Where there are many."""
    test: int = 100
    """Images of each class to test with."""
    replicates: int = 3
    """Runs of each, with seeds of their own."""
    size: int = 112
    """Height and width of what the pretrained network sees, in pixels."""
    earlier: str = "blocks/10"
    """The earlier stage, of whose output the classifier sees means and standard deviations."""
    train_from: str = ""
    """The first stage that is fine-tuned, in all rows; by default as planned."""
    steps: int = 50
    """Steps of fine-tuning."""
    scratch_steps: int = 400
    """Steps of training from scratch."""
    batch_size: int = 32
    """Examples a step."""
    directory: str = ""
    """Folder of Fashion-MNIST's IDX files; by default that of Debian's package."""
    cache: Path = field(default_factory=transfer.cache_folder)
    """Folder to keep features (some 400 MB) and compiled programs in."""

    def settled(self) -> "Options":
        """Of a quick trial small numbers; what can't be done is refused."""
        settled = self
        if self.quick:
            settled = replace(self, few=2, many=4, test=2, replicates=1, size=64, steps=2, scratch_steps=2)
            settled = replace(settled, batch_size=8, earlier="blocks/14", train_from="blocks/15")
        for name in ("few", "many", "test", "replicates", "size", "steps", "scratch_steps", "batch_size"):
            least = 2 if name in ("few", "many") else 32 if name == "size" else 1
            if (given := getattr(settled, name)) < least:
                raise InputError(f"--{name.replace('_', '-')} is {given}, expected at least {least}")
        if settled.few >= settled.many:
            raise InputError(f"--few is {settled.few} and --many {settled.many}, expected fewer than many")
        if settled.batch_size > CLASSES * settled.few:
            raise InputError(
                f"--batch-size is {settled.batch_size}, expected at most the {CLASSES * settled.few} examples of --few"
            )
        return settled


class Images(NamedTuple):
    """Images of one kind: for each seed those to train on, in which classes take turns; and those to test with."""

    train: list[data.ArraySource]
    test: data.ArraySource


def images(kind: Kind, options: Options) -> Images:
    """Patches of photographs, or Fashion-MNIST's garments."""
    seeds = range(options.replicates)
    if kind == "similar":
        sources = [data.photographs(options.many, options.test, seed) for seed in seeds]
        return Images([examples for examples, _ in sources], sources[0][1])
    garments, others = data.fashion_mnist(options.directory or None)
    return Images([in_turn(garments, options.many, seed) for seed in seeds], in_turn(others, options.test, 0))


def in_turn(source: data.ArraySource, per_class: int, seed: int) -> data.ArraySource:
    """So many examples of each class at random; classes take turns."""
    order, labels = np.random.default_rng(seed), np.asarray(source.arrays["label"])
    places = [order.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(CLASSES)]
    if (least := min(map(len, places))) < per_class:
        raise InputError(f"there are {least} garments of a class, expected at least the {per_class} that are asked for")
    return data.take(source, np.stack(places, axis=1).ravel())


def first(source: data.ArraySource, per_class: int) -> data.ArraySource:
    """The first examples of a source whose classes take turns."""
    return data.take(source, np.arange(CLASSES * per_class))


class Program(NamedTuple):
    """How a model is trained and asked, compiled once for all seeds."""

    model: Model
    optimizer: optax.GradientTransformation
    step: Callable[..., Any]
    logits: Callable[..., jax.Array]

    @classmethod
    def of(cls, model: Model, optimizer: optax.GradientTransformation) -> "Program":
        """The program of a model and an optimizer."""
        step = train.jit(train.make_step(model, losses.cross_entropy, optimizer))
        return cls(model, optimizer, step, jax.jit(lambda variables, x: model.apply(variables, x, train=False)[0]))

    def accuracy(
        self, model: Model, seed: int, examples: data.ArraySource, test: data.ArraySource, steps: int, size: int
    ) -> float:
        """Trains from where the model begins, and tells how much of the test is told rightly."""
        state = train.init(jax.random.key(seed), model, self.optimizer, train.image(examples[:1]))
        draw = jax.jit(train.draw(size))
        for _ in range(steps):
            # A loop in Python: a convolution inside of XLA's loops has one thread on a CPU.
            state, _ = self.step(state, draw(examples, state, 0))
        batches = [test[start : start + 100] for start in range(0, len(test), 100)]
        return right([self.logits(state.variables, train.image(batch)) for batch in batches], test)


def right(logits: Sequence[ArrayLike], test: data.ArraySource) -> float:
    """The share of the examples whose largest logit is that of their label."""
    return float(np.mean(np.concatenate(logits).argmax(-1) == np.asarray(test.arrays["label"])))


@cache
def from_scratch(shape: tuple[int, int, int], steps: int) -> Program:
    """A CNN with dropout, whose rates and number of steps were chosen on garments that are not those to test with."""
    model = models.from_nnx(lambda rngs: models.CNN(shape, (16, 32, 64), 128, CLASSES, keep=0.8, rngs=rngs))
    return Program.of(model, optim.adam(schedules.cosine(3e-3, steps)))


@cache
def fine_tuned(model: Model, plan: transfer.Plan, steps: int) -> Program:
    """What lies beyond the frozen stages of a plan."""
    optimizer = plan.optimizer(lambda rate: optim.adam(schedules.cosine(rate, steps)))
    return Program.of(beyond(plan.model(model), frozen_up_to(plan)), optimizer)


@cache
def beyond(model: Model, at: str | None) -> Model:
    """What lies beyond a stage; built once."""
    return model if at is None else transfer.rest(model, at)


def frozen_up_to(plan: transfer.Plan) -> str:
    """The stage whose output is computed once."""
    if plan.below is None:
        raise InputError("--train-from is the stem, and nothing stays; expected a block")
    return plan.below


class Bench:
    """Images of one kind, and what the stages of the pretrained network make of them."""

    def __init__(self, kind: Kind, network: transfer.Pretrained, stages: Sequence[str], options: Options):
        self.kind: Kind = kind
        self.network, self.stages, self.options = network, stages, options
        self.images = images(kind, options)
        self.outputs = self._outputs()

    def plan(self, per_class: int) -> transfer.Plan:
        """What is fine-tuned with so many examples of each class, and how fast."""
        many = self.options.many
        begin = self.options.train_from or (UPPER if per_class < many else None)
        return transfer.plan(
            self.kind == "similar",
            per_class,
            self.stages,
            few=many,
            at="pool",
            train_from=begin,
        )

    def _outputs(self) -> dict[str, Images]:
        """The outputs of the stages that are needed, each computed from that of the one below."""
        options, sources = self.options, [*self.images.train, self.images.test]
        needed = {"pool", options.earlier, *(frozen_up_to(self.plan(n)) for n in (options.few, options.many))}
        if unknown := needed - {*self.stages[:-1]}:
            raise InputError(f"--earlier is {min(unknown)!r}, expected one of {', '.join(self.stages[:-2])}")
        output = np.concatenate([source.arrays["image"] for source in sources])
        ends, found, below = np.cumsum([len(source) for source in sources])[:-1], {}, None
        for at in (stage for stage in self.stages if stage in needed):
            output = transfer.features(
                beyond(self.network.model, below),
                self.network.variables,
                data.ArraySource({"image": output}),
                at,
                inputs=self.network.inputs if below is None else train.image,
                cache=options.cache / "features",
            )
            *examples, test = (
                data.ArraySource({"image": part, "label": source.arrays["label"]})
                for part, source in zip(np.split(output, ends), sources, strict=True)
            )
            found[at], below = Images(examples, test), at
        return found

    def accuracy(self, method: Method, seed: int, per_class: int) -> float:
        """Of one run of a method, on the test images."""
        if method == "scratch":
            return self._from_scratch(seed, per_class)
        if method == "tuned":
            return self._fine_tuned(seed, per_class)
        at = "pool" if method == "head" else self.options.earlier
        linear, test = self._probe(at, seed, per_class), self.outputs[at].test
        return right([pooled(test) @ linear.kernel + linear.bias[None, :]], test)

    def _probe(self, at: str, seed: int, per_class: int) -> transfer.Linear:
        """`transfer.linear_probe` in its parts: the features are there already."""
        examples = first(self.outputs[at].train[seed], per_class)
        return transfer.solve(pooled(examples), np.asarray(examples.arrays["label"]), CLASSES)

    def _from_scratch(self, seed: int, per_class: int) -> float:
        options, (sources, test) = self.options, self.images
        program = from_scratch(test.arrays["image"].shape[1:], options.scratch_steps)
        examples = first(sources[seed], per_class)
        return program.accuracy(program.model, seed, examples, test, options.scratch_steps, options.batch_size)

    def _fine_tuned(self, seed: int, per_class: int) -> float:
        options, plan = self.options, self.plan(per_class)
        program = fine_tuned(self.network.model, replace(plan, why=()), options.steps)
        linear = self._probe("pool", seed, per_class)
        start, _ = transfer.with_head(program.model, self.network.variables, linear)
        sources, test = self.outputs[frozen_up_to(plan)]
        examples = first(sources[seed], per_class)
        return program.accuracy(start, seed, examples, test, options.steps, options.batch_size)


def pooled(source: data.ArraySource) -> np.ndarray:
    """Features as they are; of maps mean and standard deviation."""
    features = source.arrays["image"]
    return np.asarray(features if features.ndim == 2 else models.mean_and_std_pool(features))


class Row(NamedTuple):
    """A row of the table: accuracies of each method, a seed each."""

    kind: Kind
    amount: str
    found: Mapping[Method, Sequence[float]]

    @property
    def choice(self) -> Method:
        """The lecture's."""
        return "tuned" if self.amount == "many" else "head" if self.kind == "similar" else "earlier"


def mean_and_spread(values: Sequence[float], sign: str = "") -> str:
    """In percent; the spread is the standard deviation over seeds."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):{sign}.1f}{spread}"


def verdict(row: Row) -> claims.Finding:
    """Whether the lecture's choice is the best of the row: by more than the spread of the differences over seeds."""
    told, better, close = [], [], []
    for method in METHODS:
        if method == row.choice:
            continue
        gains = [a - b for a, b in zip(row.found[row.choice], row.found[method], strict=True)]
        spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
        told.append(f"{mean_and_spread(gains, '+')} against {TITLES[method]}")
        if abs(statistics.mean(gains)) <= spread:
            close.append(TITLES[method])
        elif statistics.mean(gains) < 0:
            better.append(TITLES[method])
    if better:
        answer = f"better: {', '.join(better)}"
    else:
        answer = f"within the spread: {', '.join(close)}" if close else "by more than the spread"
    holds = False if better else None if close else True
    return claims.Finding(
        f"{row.kind} images, {row.amount}: {TITLES[row.choice]} is best", holds, f"{answer} ({'; '.join(told)})"
    )


def main(options: Options) -> Iterator[claims.Finding]:
    """Prints the table, in Markdown."""
    options = options.settled()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(options.cache / "programs"))
    network = transfer.pretrained("efficientnet-lite0")
    model, variables = transfer.replace_head(jax.random.key(0), network.model, network.variables, CLASSES)
    preprocessing = replace(network.preprocessing, size=options.size)
    network = replace(network, model=model, variables=variables, preprocessing=preprocessing)
    print(f"| images | per class | {' | '.join(f'{title} [%]' for title in TITLES.values())} | time [s] |")
    print(f"|---|---:|{'---:|' * (len(TITLES) + 1)}", flush=True)
    stages, rows, plans = transfer.stages(model), [], []
    amounts = {"few": options.few} | ({} if options.quick else {"many": options.many})
    for kind in get_args(Kind):
        since = time.perf_counter()
        bench = Bench(kind, network, stages, options)
        for amount, per_class in amounts.items():
            seeds = range(options.replicates)
            found: dict[Method, Sequence[float]] = {
                method: [bench.accuracy(method, seed, per_class) for seed in seeds] for method in METHODS
            }
            cells = " | ".join(mean_and_spread(values) for values in found.values())
            now = time.perf_counter()
            print(f"| {kind} | {per_class} | {cells} | {now - since:.0f} |", flush=True)
            rows.append(Row(kind, amount, found))
            plans.append(next(part.stage for part in bench.plan(per_class).parts if part.rate > 0))
            since = now
    print(f"\nFine-tuned in {options.steps} steps of {options.batch_size} from, row by row: {', '.join(plans)}.")
    print(f"From scratch in {options.scratch_steps} steps. The earlier stage is {options.earlier}.")
    yield from map(verdict, rows)


if __name__ == "__main__":
    claims.command(main, Options)
