"""How time grows with work: steps, updates, averages, lanes, solvers and checkpoints, over a decade or more.

    .venv/bin/python scripts/bench_growth.py [--rounds 5] [--seconds 0.3] [--only lanes]

Each kind is timed at four or five sizes, which take turns; the exponent is the slope of the logarithm of time against
the logarithm of size, over all of them and over the last two. 1 is proportional, 0 does not grow. What it finds is kept
for docs/benchmarks.md.
"""

import json
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from lec7 import averaging, losses, models, optim, train
from lec7.bench import of_device, optimizers, solvers, training
from lec7.bench.clock import Call, Spread, carried, in_turns, once, repeated
from lec7.train.checkpoints import Checkpoints

LEAVES = (10, 100, 1000, 3000)
"""Of 10,000, XLA takes more than three minutes and 9 GB to compile an update."""
RESULT = Path(__file__).parent / "peers" / "results" / "growth.json"


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    rounds: int = 5
    """Turns of each."""
    seconds: float = 0.3
    """Length of a turn, about."""
    only: str = ""
    """Kinds whose name has this in it; all by default."""


def step_of(width: int, batch_size: int) -> Call:
    """Training steps of an MLP with two hidden layers, on random images."""
    source = training.images(4096, 28)
    model, optimizer = models.from_nnx(lambda rngs: models.MLP(784, (width, width), 10, rngs=rngs)), optim.adam(1e-3)
    step = train.make_step(model, losses.cross_entropy, optimizer)
    state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
    return training.fitting(step, state, source, batch_size, every=20)


def by_parameters() -> Iterator[tuple[float, Call]]:
    for width in (64, 256, 1024, 2048):
        yield width * (784 + width + 10), step_of(width, 128)


def by_batch() -> Iterator[tuple[float, Call]]:
    for batch_size in (32, 128, 512, 2048):
        yield batch_size, step_of(256, batch_size)


def by_leaves() -> Iterator[tuple[float, Call]]:
    for leaves in LEAVES:
        yield leaves, optimizers.update("adam", 10**6, leaves).call


def compiled_by_leaves() -> Iterator[tuple[float, Call]]:
    """The time to trace and compile an update."""
    optimizer = optim.adam(1e-3)

    def compiling(leaves: int) -> Call:
        shapes = {str(i): jax.ShapeDtypeStruct((10**6 // leaves,), jnp.float32) for i in range(leaves)}
        state = jax.eval_shape(optimizer.init, shapes)

        def compile_anew() -> None:
            jax.clear_caches()
            jax.jit(lambda g, s, x: optimizer.update(g, s, x)).lower(shapes, state, shapes).compile()

        return repeated(compile_anew)

    for leaves in LEAVES:
        yield leaves, compiling(leaves)


def by_lanes() -> Iterator[tuple[float, Call]]:
    lanes = (1, 4, 16, 64, 256)
    for n, work in zip(lanes, training.sweeps(replace(of_device(), lanes=lanes)), strict=True):
        yield n, work.call


def by_unknowns(optimizer: optax.GradientTransformation, sizes: tuple[int, ...]) -> Iterator[tuple[float, Call]]:
    for n in sizes:
        yield n, solvers.solving(optimizer, n)


def by_averaged(average: optax.GradientTransformation) -> Iterator[tuple[float, Call]]:
    """An average's update, after which the parameters are as they were."""
    for n in (10**4, 10**5, 10**6, 10**7):
        params = {str(i): jnp.ones(n // 10) for i in range(10)}
        update = jax.jit(
            lambda state, params: average.update(jax.tree.map(jnp.zeros_like, params), state, params)[1],
            donate_argnums=0,
        )
        yield n, carried(partial(update, params=params), average.init(params))


def by_checkpoint() -> Iterator[tuple[float, Call]]:
    """Saving parameters and two moments, until they are on disk."""
    for n in (10**4, 10**5, 10**6, 10**7):
        yield n, saving(n)


def saving(n: int) -> Call:
    """Checkpoints of n parameters, one after the other, in a folder that goes with the call."""
    folder = tempfile.TemporaryDirectory()
    model = models.Model(
        lambda key, x: models.Variables({str(i): jnp.ones(n // 10) for i in range(10)}, {}),
        lambda variables, x, *, train, key=None: (x, variables.state),
    )
    checkpoints = Checkpoints(Path(folder.name))

    def save(state: train.TrainState) -> train.TrainState:
        checkpoints.save(state)
        checkpoints.wait()
        return replace(state, step=state.step + 1)

    weakref.finalize(save, folder.cleanup)
    return carried(save, train.init(jax.random.key(0), model, optim.adam(1e-3), jnp.ones(1)))


COMPILING = ("compiling Adam's update", "leaves")
"""What is timed once: it takes long, and never gets warm."""
KINDS: Mapping[tuple[str, str], Callable[[], Iterator[tuple[float, Call]]]] = {
    ("training step, MLP, batch 128", "parameters"): by_parameters,
    ("training step, MLP 256-256", "batch"): by_batch,
    ("Adam's update, 10⁶ parameters", "leaves"): by_leaves,
    COMPILING: compiled_by_leaves,
    ("sweep, 50 steps of all lanes, MLP 32-32", "lanes"): by_lanes,
    ("BFGS, 20 iterations", "unknowns"): partial(by_unknowns, optim.bfgs(), (100, 300, 1000, 3000)),
    ("L-BFGS, 20 iterations", "unknowns"): partial(by_unknowns, optim.lbfgs(10), (10**3, 10**4, 10**5, 10**6)),
    ("EMA", "parameters"): partial(by_averaged, averaging.ema(0.99)),
    ("SWA, of every step", "parameters"): partial(by_averaged, averaging.swa(start=0)),
    ("snapshots, one of 10⁶ steps kept", "parameters"): partial(by_averaged, averaging.snapshots(3, period=10**6)),
    ("checkpoint", "parameters"): by_checkpoint,
}


def grown(kind: tuple[str, str], options: Options) -> dict[str, Any]:
    """Times at each size, and the exponents."""
    sizes, calls = zip(*KINDS[kind](), strict=True)
    named = dict(zip(map(str, sizes), calls, strict=True))
    if kind == COMPILING:
        taken = {name: [once(call, 1)] for name, call in named.items()}
    else:
        taken = in_turns(named, rounds=options.rounds, seconds=options.seconds)
    seconds = [Spread.of(one).median for one in taken.values()]
    logs = np.log(sizes), np.log(seconds)
    return {
        "what": kind[0],
        "against": kind[1],
        "sizes": sizes,
        "seconds": seconds,
        "exponent": float(np.polyfit(*logs, 1)[0]),
        "last": float(np.diff(logs[1])[-1] / np.diff(logs[0])[-1]),
    }


def main(options: Options) -> None:
    """Prints a line for each kind, and keeps them."""
    found = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else []
    kept = {(row["what"], row["against"]): row for row in found}
    for kind in KINDS:
        if options.only in " by ".join(kind):
            row = kept[kind] = grown(kind, options)
            times = ", ".join(f"{n:,}: {1000 * t:.3g} ms" for n, t in zip(row["sizes"], row["seconds"], strict=True))
            print(f"{kind[0]} by {kind[1]}: {row['exponent']:.2f}, at last {row['last']:.2f} ({times})", flush=True)
            save([kept[kind] for kind in KINDS if kind in kept])
            jax.clear_caches()


def save(rows: list[dict[str, Any]]) -> None:
    """Keeps them, for the page."""
    device, date = jax.devices()[0].device_kind, time.strftime("%Y-%m-%d")
    RESULT.write_text(
        json.dumps({"date": date, "device": device, "jax": jax.__version__, "rows": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
