"""What the lanes of a group run: the program of one, in as many lanes side by side as are wanted."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled

from lec7 import data
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.experiment.definition import on_device
from lec7.experiment.evaluation import Figures, figures, label, order
from lec7.train import TrainState, draw, lanes, scan
from lec7.train.lanes import copy_out, deal_out, hanging
from lec7.typing import Device, Metrics, PyTree

STATIC = ("steps", "batch_size", "log_every", "evaluate_every")
"""What of an experiment has to be the same in all lanes."""

Made = TypeVar("Made")

Values = Mapping[str, Any]
"""Traced fields by name: of one lane, or with a leading axis of lanes."""


class Examples(NamedTuple):
    """What is trained on and what is evaluated on."""

    train: Any
    test: Any


class Program:
    """The training of an experiment of which some hyperparameters are known to its lanes alone.

    Args:
        build: from the traced fields to the experiment.
        first: the experiment of one point, whose lengths, and examples, are those of all.
        point: what the traced fields of one point look like.

    Raises:
        InputError: what has to be the same in all lanes hangs on a traced field.
    """

    def __init__(
        self, build: Callable[[Values], Experiment], first: Experiment, point: Mapping[str, jax.ShapeDtypeStruct]
    ):
        self.build, self.first, self.point = build, first, point
        self.shared = Examples(on_device(first.train, "sweeps"), on_device(first.test, "sweeps"))
        self.own = self._own_examples()
        # Each is traced once, whatever the number of lanes side by side.
        self._init = jax.jit(lambda point: build(point).init())
        self.section, self.judge = jax.jit(self._section), jax.jit(self._judge)
        self._wide: dict[int, Wide] = {}
        self._copies: dict[tuple[Device, ...], Examples] = {}

    @cached_property
    def state(self) -> TrainState:
        """The shapes of a lane's state."""
        return jax.eval_shape(self._init, self.point)

    @cached_property
    def figures(self) -> list[str]:
        """The names of the figures that a lane can have in the end."""
        found = jax.eval_shape(self.judge, self.state, self.point, jax.eval_shape(lambda: self.shared))
        kinds = [kind for kind in order(self.state) if kind in found.metrics]
        return list(label({kind: {name: jnp.zeros(()) for name in found.metrics[kind]} for kind in kinds}))

    def trace(self) -> None:
        """Traces all of it, and compiles nothing."""
        examples = jax.eval_shape(lambda: self.shared)
        jax.eval_shape(self.section, self.state, self.point, examples, jax.ShapeDtypeStruct((), np.int32))
        jax.eval_shape(self.judge, self.state, self.point, examples)

    @cached_property
    def flops(self) -> float:
        """Floating-point operations of a lane's step, as XLA counts them ahead of compiling."""
        lowered = self.section.lower(self.state, self.point, self.shared, np.int32(1))
        return float((lowered.cost_analysis() or {}).get("flops", 0.0))

    def init(self, point: Values) -> PyTree:
        """A lane's state before the first step, on the host: the program of a single run's."""
        return on_host(self._init(point))

    def wide(self, width: int, devices: Sequence[Device]) -> "Wide":
        """The program of so many lanes, which is compiled once."""
        if width not in self._wide:
            self._wide[width] = Wide(self, width, devices)
        return self._wide[width]

    def examples_on(self, devices: Sequence[Device]) -> Examples:
        """The examples that all lanes share, on each device; copied once."""
        if (key := tuple(devices)) not in self._copies:
            self._copies[key] = copy_out(self.shared, len(key), devices)
        return self._copies[key]

    @property
    def made(self) -> list["Wide"]:
        """What was compiled."""
        return list(self._wide.values())

    def _own_examples(self) -> Examples:
        """Which examples hang on the traced fields, and so are a lane's own."""

        def examples(point: Values) -> Examples:
            made = self.build(point)
            for name in STATIC:
                if not isinstance(value := getattr(made, name), int | np.integer):
                    raise InputError(f"{name} hangs on it ({value}), and has to be the same in all lanes")
            return Examples(made.train, made.test)

        found = hanging(examples, self.point)
        return Examples(any(jax.tree.leaves(found.train)), any(jax.tree.leaves(found.test)))

    def _examples(self, made: Experiment, shared: Examples) -> tuple[data.Source, data.Source]:
        return made.train if self.own.train else shared.train, made.test if self.own.test else shared.test

    def _section(
        self, state: TrainState, point: Values, shared: Examples, count: jax.Array
    ) -> tuple[TrainState, Metrics]:
        made = self.build(point)
        train, _ = self._examples(made, shared)
        return scan(made.make_step(), made.log_every, draw(made.batch_size))(state, train, count)

    def _judge(self, state: TrainState, point: Values, shared: Examples) -> Figures:
        made = self.build(point)
        return figures(made, state, *self._examples(made, shared))


class Wide:
    """So many lanes of a program side by side, dealt out over devices; compiled once, beside what else there is to do.

    Args:
        program: what a lane runs.
        width: number of lanes.
        devices: what they are dealt out to, as many as divide the width; empty for the one that there is.
    """

    def __init__(self, program: Program, width: int, devices: Sequence[Device]):
        self.width, self.devices, self.program = width, devices, program
        self.step_seconds: float | None = None
        self.examples = program.examples_on(devices)
        points = self.points({name: np.zeros(width, shape.dtype) for name, shape in program.point.items()})
        state = self.deal(jax.tree.map(lambda leaf: blank(leaf, width), program.state), keys=program.state)
        # Not even one lane is a vmap of one: that would round as it likes.
        self._chunk = 1 if width == max(1, len(devices)) else None
        self._like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), (state, points)
        )
        section = jax.jit(lanes(program.section, 2, self._chunk, devices), donate_argnums=0)
        lowered = section.lower(*self._like, self.examples, np.int32(1))

        def compiled() -> tuple[Compiled, float]:
            start = time.monotonic()
            return lowered.compile(), time.monotonic() - start

        self._compiled = in_background(compiled)
        self._judge: Future[Compiled] | None = None

    def prepare(self) -> "Wide":
        """Begins to compile the evaluation, beside the training."""
        if self._judge is None:
            judge = jax.jit(lanes(self.program.judge, 2, self._chunk, self.devices))
            self._judge = in_background(judge.lower(*self._like, self.examples).compile)
        return self

    def settle(self) -> None:
        """Waits until all that is being compiled is."""
        for begun in filter(None, (self._compiled, self._judge)):
            begun.result()

    @property
    def compile_seconds(self) -> float:
        """How long XLA took to compile the training."""
        return self._compiled.result()[1]

    @property
    def _section(self) -> Compiled:
        return self._compiled.result()[0]

    @cached_property
    def lane_bytes(self) -> int:
        """What a lane takes of a device's memory while it trains; 0 where the backend does not tell."""
        memory = self._section.memory_analysis()
        if memory is None:
            return 0
        held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        return (held + memory.temp_size_in_bytes) * max(1, len(self.devices)) // self.width

    def points(self, values: Values) -> Values:
        """The lanes' hyperparameters, on their devices."""
        return self.deal({name: np.asarray(column) for name, column in values.items()})

    def pack(self, states: Sequence[PyTree]) -> TrainState:
        """States of single lanes, on the host, as one on the devices."""
        return self.deal(jax.tree.map(lambda *leaves: np.stack(leaves), *states), keys=self.program.state)

    def deal(self, host: PyTree, keys: PyTree | None = None) -> PyTree:
        """Arrays of the host with a leading axis of lanes, on the devices; keys are wrapped as `keys` has them."""
        dealt = deal_out(host, self.devices) if self.devices else jax.device_put(host)
        return dealt if keys is None else jax.tree.map(wrapped, keys, dealt)

    def section(self, state: TrainState, points: Values, count: int) -> tuple[TrainState, Metrics]:
        """So many steps, at most `log_every`; the state's memory is handed on."""
        return self._section(state, points, self.examples, np.int32(count))

    def judge(self, state: TrainState, points: Values) -> Figures:
        """The figures of each lane."""
        self.prepare()
        assert self._judge is not None
        return self._judge.result()(state, points, self.examples)

    def timed(self, steps: int, seconds: float) -> None:
        """Notes that all lanes took so many steps in so many seconds."""
        self.step_seconds = min(self.step_seconds or seconds / steps, seconds / steps)


def in_background(function: Callable[[], Made]) -> Future[Made]:
    """What a function gives, once it has; XLA compiles beside what Python does."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(function)
    finally:
        pool.shutdown(wait=False)


def is_key(leaf: Any) -> bool:
    """Whether an array, or what looks like one, holds keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def on_host(state: PyTree) -> PyTree:
    """A state as NumPy's arrays; keys as their data."""
    return jax.device_get(jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, state))


def wrapped(like: Any, leaf: jax.Array) -> jax.Array:
    """An array as it is, or data of keys as keys, as `like` has them."""
    return jax.random.wrap_key_data(leaf, impl=implementation(like.dtype)) if is_key(like) else leaf


def blank(leaf: Any, width: int) -> np.ndarray:
    """Zeros of so many lanes, of keys their data."""
    if is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return np.zeros((width, *leaf.shape), leaf.dtype)


@cache
def implementation(dtype: Any) -> str:
    """The name of a kind of keys."""
    known = ("threefry2x32", "rbg", "unsafe_rbg")
    return next(name for name in known if jax.random.key(0, impl=name).dtype == dtype)
