"""Training steps a second, as `lec7 run` takes them: of networks, and of many runs side by side."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lec7 import data, losses, models, optim, train, tree
from lec7.bench.clock import Call, carried, repeated
from lec7.bench.scale import Network, Scale, Training
from lec7.bench.work import Work, counted
from lec7.experiment import Experiment
from lec7.sweep.program import Program

FOR_EVER = 2**31 - 1
EXAMPLES = 4096
"""Random images to draw from; fewer where they are large."""
MOST_BYTES = 2**27
LABELS = 10
NETWORKS: dict[Network, tuple[str, Callable[[int], Callable[[nnx.Rngs], nnx.Module]]]] = {
    "mlp": ("MLP 256-256", lambda size: lambda rngs: models.MLP(size**2, (256, 256), LABELS, rngs=rngs)),
    "cnn": ("CNN 32-64-256", lambda size: lambda rngs: models.CNN((size, size, 1), (32, 64), 256, LABELS, rngs=rngs)),
    "resnet18": ("ResNet-18", lambda size: lambda rngs: models.resnet18(LABELS, rngs=rngs)),
    "resnet50": ("ResNet-50", lambda size: lambda rngs: models.resnet50(LABELS, rngs=rngs)),
}
"""Their titles, and how each is built for images of a size."""


def images(count: int, size: int) -> data.ArraySource:
    """Random images in bytes, gray where they are as small as MNIST's, with labels."""
    rng, channels = np.random.default_rng(0), 1 if size == 28 else 3
    count = min(count, MOST_BYTES // (size**2 * channels))
    pixels = rng.integers(0, 256, (count, size, size, channels), np.uint8)
    return data.ArraySource({"image": pixels, "label": rng.integers(0, LABELS, count, np.int32)})


def steps(scale: Scale) -> Iterator[Work]:
    """Each of the scale's trainings, on examples that lie on the device, with Adam."""
    for training in scale.trainings:
        yield step(training)


def step(training: Training) -> Work:
    """Steps of a training."""
    title, build = NETWORKS[training.network]
    source = images(EXAMPLES, training.size)
    model = models.from_nnx(build(training.size))
    if training.dtype != "float32":
        model = models.in_precision(model, models.Precision(training.dtype))
    optimizer = optim.adam(1e-3)
    one = train.make_step(model, losses.cross_entropy, optimizer)
    state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
    batch = source[: training.batch_size]
    flops, nbytes = counted(jax.jit(one), state, batch), moved(state, batch)
    return Work(
        "step",
        f"{title}, {training.size} px, batch {training.batch_size}",
        "steps",
        fitting(one, state, source, training.batch_size, training.every),
        amount=training.every,
        flops=training.every * flops,
        nbytes=training.every * nbytes,
        dtype=training.dtype,
    )


def fitting(step: train.Step, state: train.TrainState, source: data.Source, batch_size: int, every: int) -> Call:
    """Windows of `every` steps, without end; the metrics of the last one."""
    windows = train.fit(step, state, source, steps=FOR_EVER, batch_size=batch_size, every=every)
    return repeated(lambda: next(windows)[1])


def moved(state: Any, batch: Any) -> int:
    """The bytes that a step reads and writes at the least: the state goes both ways."""
    return 2 * tree.nbytes(state) + tree.nbytes(batch)


def sweeps(scale: Scale) -> Iterator[Work]:
    """Runs side by side that differ in their learning rates, in steps of all of them together."""
    source, every = images(EXAMPLES, 28), 50

    def build(values: Any) -> Experiment:
        return Experiment(
            model=models.from_nnx(lambda rngs: models.MLP(784, (32, 32), LABELS, rngs=rngs)),
            loss=losses.cross_entropy,
            optimizer=optim.adam(values["learning_rate"]),
            train=source,
            test=source,
            steps=FOR_EVER,
            batch_size=64,
            log_every=every,
        )

    first = {"learning_rate": np.float32(1e-3)}
    program = Program(build, build(first), {"learning_rate": jax.ShapeDtypeStruct((), jnp.float32)})
    nbytes = moved(program.state, source[:64])
    for lanes in scale.lanes:
        yield Work(
            "sweep",
            f"MLP 32-32, batch 64, {lanes} lane{'s' if lanes > 1 else ''}",
            "steps",
            _lanes(program, lanes, first),
            amount=lanes * every,
            flops=lanes * every * program.flops,
            nbytes=lanes * every * nbytes,
        )


def _lanes(program: Program, lanes: int, first: dict[str, np.float32]) -> Call:
    wide = program.wide(lanes, ())
    points = wide.points(
        {name: np.geomspace(value / 10, value, lanes, dtype=value.dtype) for name, value in first.items()}
    )
    state = wide.pack([program.init(first)] * lanes)
    return carried(lambda state: wide.section(state, points, program.first.log_every)[0], state)
