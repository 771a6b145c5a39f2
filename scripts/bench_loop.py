"""Steps a second of `train.fit` against a hand-written `lax.scan` loop: the same model, optimizer, batches and metrics.

    .venv/bin/python scripts/bench_loop.py [--batch-sizes 128 32] [--rounds 15]

The two take turns in one process, so that what else the machine does meets both; the ratio is the median over rounds.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

from lec7 import data, losses, models, optim, train

EVERY = 100
FOR_EVER = 2**31 - 1
WIDTHS = (784, 256, 256, 10)

Run = Callable[[int], None]
"""Takes so many windows of `EVERY` steps."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    batch_sizes: tuple[int, ...] = (128, 32)
    """Examples a step; one ratio each."""
    rounds: int = 15
    """Turns that each of the two takes."""
    seconds: float = 1.0
    """Length of a turn, about."""


def wait_for(windows: Iterator[tuple[Any, Any]]) -> Run:
    """What takes so many windows of `EVERY` steps and waits for the last one's metrics."""

    def run(number: int) -> None:
        for _, metrics in itertools.islice(windows, number):
            pass
        jax.block_until_ready(metrics)

    return run


def with_lec7(source: data.ArraySource, batch_size: int) -> Run:
    """Training as lec7 does it."""

    def build(rngs):
        first, second, third = (nnx.Linear(m, n, rngs=rngs) for m, n in itertools.pairwise(WIDTHS))
        return nnx.Sequential(partial(jnp.reshape, shape=(-1, 784)), first, nnx.relu, second, nnx.relu, third)

    model, optimizer = models.from_nnx(build), optim.adam(1e-3)
    step = train.make_step(model, losses.cross_entropy, optimizer)
    state = train.init(model, optimizer, jax.random.key(0), train.image(source[:1]))
    return wait_for(train.fit(step, state, source, steps=FOR_EVER, batch_size=batch_size, every=EVERY))


def by_hand(source: data.ArraySource, batch_size: int) -> Run:
    """The loop that one would write with JAX and Optax alone: a table of indices an epoch, a scan over its rows."""
    images, labels = source.arrays["image"], source.arrays["label"]
    keys = jax.random.split(jax.random.key(0), len(WIDTHS))
    params = [
        {"w": jax.random.normal(key, (m, n)) * (1 / m) ** 0.5, "b": jnp.zeros(n)}
        for key, (m, n) in zip(keys[1:], itertools.pairwise(WIDTHS), strict=True)
    ]
    optimizer = optax.adam(1e-3)
    opt_state = optimizer.init(params)

    def loss_of(params, x, y):
        *hidden, head = params
        for layer in hidden:
            x = jax.nn.relu(x @ layer["w"] + layer["b"])
        logits = x @ head["w"] + head["b"]
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, jnp.mean(jnp.argmax(logits, -1) == y)

    @partial(jax.jit, donate_argnums=(0, 1))
    def scan(params, opt_state, images, labels, indices):
        def step(carry, index):
            params, opt_state = carry
            x = images[index].reshape(batch_size, -1) * jnp.float32(1 / 255)
            (loss, accuracy), grads = jax.value_and_grad(loss_of, has_aux=True)(params, x, labels[index])
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), (loss, accuracy)

        (params, opt_state), metrics = jax.lax.scan(step, (params, opt_state), indices)
        return params, opt_state, metrics

    rng = np.random.default_rng(0)

    def order():
        while True:
            shuffled = rng.permutation(len(source))
            yield from shuffled[: len(source) // batch_size * batch_size].reshape(-1, batch_size)

    def loop(params, opt_state):
        rows = order()
        while True:
            indices = jnp.asarray(np.stack([next(rows) for _ in range(EVERY)]))
            params, opt_state, metrics = scan(params, opt_state, images, labels, indices)
            yield params, metrics

    return wait_for(loop(params, opt_state))


def main(options: Options) -> None:
    """Prints a line for each batch size."""
    source, _ = data.mnist5k()
    print(f"MLP 784-256-256-10, Adam, {EVERY} steps a dispatch, {jax.devices()[0].device_kind}, JAX {jax.__version__}")
    for batch_size in options.batch_sizes:
        runs = {"train.fit": with_lec7(source, batch_size), "hand-written": by_hand(source, batch_size)}
        for run in runs.values():
            run(1)  # compiles
        windows = max(1, round(5 * options.seconds / seconds(runs["train.fit"], 5)))
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(options.rounds):
            for name, run in list(runs.items())[:: 1 if turn % 2 else -1]:
                rates[name].append(windows * EVERY / seconds(run, windows))
        ratios = sorted(mine / theirs for mine, theirs in zip(*rates.values(), strict=True))
        figures = ", ".join(f"{name} {statistics.median(rate):,.0f} steps/s" for name, rate in rates.items())
        ratio = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        print(f"batch {batch_size}: {figures}; ratio {ratio}")


def seconds(run: Run, windows: int) -> float:
    """How long that takes."""
    begin = time.perf_counter()
    run(windows)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
