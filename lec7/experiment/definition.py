"""What an experiment is."""

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7 import averaging, data, random, train
from lec7.errors import InputError, short, why
from lec7.experiment.evaluation import (
    MEMBERS,
    RAW,
    SNAPSHOTS,
    Evaluate,
    candidates,
    make_evaluation,
    only_begun,
)
from lec7.losses import Loss, check_labels
from lec7.models import How, Model, Variables, has_statistics
from lec7.regularize import Penalty
from lec7.train import Rules, Step, TrainState, image
from lec7.train.evaluate import Drawn, drawn
from lec7.train.feed import example, like
from lec7.train.fit import trace
from lec7.train.placement import EVERYTHING, everywhere, moved
from lec7.train.sharded import has_ordered_loops, shards, split_rows
from lec7.typing import Batch, Device, Key, Metrics


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that a run needs, made by an experiment file's `build(hp)`.

    Any number among the optimizer's, the model's and the seed may be traced: `build` can run inside `jit` and `vmap`.

    Attributes:
        model: what is trained.
        loss: from outputs and batch to values for each example.
        optimizer: any Optax transformation; end it with one of `lec7.averaging` to evaluate an average.
        train: examples to train on, on the device (`data.ArraySource`) or read from the host, see `data.stream`.
        test: examples held out, likewise.
        steps: number of training steps.
        batch_size: examples a step.
        seed: what all randomness comes from.
        inputs: what the model sees of a batch.
        log_every: steps a dispatch, and a row in the log.
        evaluate_every: steps from one evaluation on `test`, and checkpoint, to the next.
        augment: from a key and a batch to the batch that is trained on, as of `augment.on_batch`; evaluations, and
            the statistics of averages, are of examples as they are.
        penalty: from parameters to named values, which training adds to the loss; the evaluation is without.
        rules: where parameters lie on a mesh, see `train.sharded`.
        mesh: the devices that train it, see `train.make_mesh`; None for one. `lec7 run --mesh` puts it in.
    """

    model: Model
    loss: Loss
    optimizer: optax.GradientTransformation
    train: data.Source
    test: data.Source
    steps: int
    batch_size: int
    seed: int | jax.Array = 0
    inputs: Callable[[Batch], Any] = image
    log_every: int = 50
    evaluate_every: int = 500
    augment: Callable[[Key, Batch], Batch] | None = None
    penalty: Penalty | None = None
    rules: Rules = field(default_factory=lambda: EVERYTHING)
    mesh: Mesh | None = None

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            source = getattr(self, name)
            plain = isinstance(source, Mapping | Sequence) or hasattr(source, "dtype")
            if plain or not (hasattr(source, "__len__") and hasattr(source, "__getitem__")):
                raise InputError(
                    f"{name} is {short(source)}, expected a source of examples, such as "
                    "data.ArraySource({'image': x, 'label': y})"
                )

    def init(self) -> TrainState:
        """The state before the first step, by one program: that of a member of an ensemble, to each bit.

        On a mesh it is made where it is to lie, so that no device needs room for all of it.
        """

        def begin(key: Key, inputs: Any) -> TrainState:
            return train.init(key, self.model, self.optimizer, inputs)

        arguments = jax.random.key(self.seed), self.inputs(example(self.train))
        if self.mesh is None:
            return jax.jit(begin)(*arguments)
        wanted = train.shardings(jax.eval_shape(begin, *arguments), self.mesh, self.rules)
        return jax.jit(begin, out_shardings=wanted)(*everywhere(arguments, self.mesh))

    def make_step(self) -> Step:
        """The training step, on the mesh where there is one."""
        step = train.make_step(
            self.model,
            _an_example_each(self.loss),
            self.optimizer,
            self.inputs,
            augment=self.augment,
            penalty=self.penalty,
        )
        return step if self.mesh is None else train.sharded(step, self.mesh, self.rules)

    @property
    def seen(self) -> Callable[[Batch], Any]:
        """What the model sees of a batch in testing: `inputs`, of rows that are dealt out over the mesh.

        Rows of a set of examples that is smaller than a batch, and no multiple, are on each device.
        """
        mesh = self.mesh
        if mesh is None or not has_ordered_loops(mesh):
            return self.inputs

        def seen(batch: Batch) -> Any:
            rows = len(jax.tree.leaves(batch)[0])
            return self.inputs(batch if rows % shards(mesh) else split_rows(batch, mesh))

        return seen

    @property
    def rows_in_testing(self) -> int:
        """Examples that are evaluated at a time: some 500, of which the mesh's devices have equal parts."""
        parts = 1 if self.mesh is None else shards(self.mesh)
        return -(-500 // parts) * parts

    def make_evaluate(self) -> Callable[[Variables, data.Source], Metrics]:
        """The evaluation of one model."""
        return train.make_evaluate(self.model, self.loss, self.seen, self.rows_in_testing)

    def make_evaluate_together(
        self, chunk: int | None = 1, devices: Sequence[Device] = ()
    ) -> Callable[..., tuple[Metrics, Metrics]]:
        """The evaluation of several models as one."""
        rows = train.together_and_each(self.loss, self.how)
        return train.make_evaluate_members(
            self.model, rows, self.seen, self.rows_in_testing, chunk=chunk, devices=devices
        )

    def make_refresh(self) -> Callable[[Variables, data.Source | Drawn, Key], Variables]:
        """What gives averaged parameters batch statistics of their own."""
        return train.make_refresh(self.model, self.seen, self.batch_size, mesh=self.mesh)

    def for_statistics(self, state: TrainState) -> data.ArraySource | Drawn | None:
        """What averages get their batch statistics from: the training examples on the device, or some of them.

        None where nothing needs any.
        """
        if isinstance(self.train, data.ArraySource):
            return everywhere(self.train, self.mesh)
        averages = averaging.names(state.opt_state) or averaging.snapshots_in(state.opt_state)
        return self._drawn if averages and has_statistics(state.model_state) else None

    @cached_property
    def _drawn(self) -> Drawn:
        """The batches that statistics are of, which are always the same."""
        key = jax.random.key(self.seed)
        return drawn(self.train, key, self.batch_size, self.mesh)

    @cached_property
    def classifies(self) -> bool:
        """Whether the test examples have an integer `"label"` each, and the model one logit for each class."""
        labels = like(self.test, 1).get("label")
        if labels is None or labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
            return False
        outputs = self.outputs
        return isinstance(outputs, jax.ShapeDtypeStruct) and outputs.ndim == 2 and outputs.shape[1] > 1

    @cached_property
    def outputs(self) -> Any:
        """The shapes of what the model gives for one example."""

        def answer(one: Batch) -> Any:
            x = self.inputs(one)
            return self.model.apply(self.model.init(jax.random.key(0), x), x, train=False)[0]

        return jax.eval_shape(answer, like(self.test, 1))

    @property
    def how(self) -> How:
        """How several models are one: classifiers by the mean of their probabilities, others by that of outputs."""
        return "probabilities" if self.classifies else "outputs"

    def fit(self, state: TrainState) -> Iterator[tuple[TrainState, Metrics]]:
        """Trains from a state to the last step, and yields after each `log_every` steps: `train.fit`."""
        yield from train.fit(
            self._step, state, self.train, steps=self.steps, batch_size=self.batch_size, every=self.log_every
        )

    def for_testing(self, state: TrainState) -> TrainState:
        """The state where an evaluation wants it: as it is, or whole on each device of a mesh that can't share one."""
        if self.mesh is None or has_ordered_loops(self.mesh):
            return state
        return moved(state, NamedSharding(self.mesh, P()))

    def variables(self, state: TrainState) -> dict[str, Variables]:
        """All that a state has to evaluate with: the averages by name, `"raw"`, and `"snapshots"`.

        The averages and the snapshots have batch statistics of their own. An average that has not begun is left out.
        Snapshots have a leading axis, of those that are taken, and are left out while there are none.
        """
        state = self.for_testing(state)
        return only_begun(self.candidates(state, self.for_statistics(state)), state)

    @cached_property
    def candidates(self) -> Callable[[TrainState, Any], dict[str, Variables]]:
        """`evaluation.candidates` of this experiment, compiled once."""
        return jax.jit(lambda state, source: candidates(self, state, source))

    def trace(self, state: TrainState) -> None:
        """Looks for what `fit` would fail at, from a state or its shapes: `train.fit.trace`."""
        trace(self._step, state, self.train, batch_size=self.batch_size, every=self.log_every)

    @cached_property
    def _step(self) -> Step:
        """One step, so that a loop that is begun again is not compiled again."""
        return self.make_step()

    def with_new_averages(self, state: TrainState) -> TrainState:
        """The state with averages and snapshots that begin here, at its parameters, and count their steps from here."""
        _, begun = averaging.take_out(self.optimizer.init(state.params))
        rest, _ = averaging.take_out(state.opt_state)
        # Their memory is their own: that of a state is handed on from step to step.
        state = state.replace(opt_state=averaging.put_in(rest, jax.tree.map(jnp.copy, begun)))
        if self.mesh is None:
            return state
        return moved(state, train.shardings(state, self.mesh, self.rules))

    def make_evaluation(self) -> Evaluate:
        """What tells a state's figures on the test examples."""
        return make_evaluation(self)


def on_device(source: data.Source, who: str) -> data.ArraySource:
    """The source, if it is on the device, as `who` needs it to be.

    Raises:
        InputError: it is read from the host.
    """
    if not isinstance(source, data.ArraySource):
        raise InputError(
            f"{who} take examples on the device, and {source!r} is read from the host: give data.load of it"
        )
    return source


def check(experiment: Experiment) -> None:
    """Refuses what would fail or mislead after the work has begun.

    Args:
        experiment: what is to be run.

    Raises:
        InputError: a number out of range, a batch larger than the data set, a loss of another shape than one value an
            example, labels that the model has no output for, a penalty on parameters that there are none of; or
            whatever else a step fails at, with the line of the user's file that it came from.

    >>> import lec7
    >>> examples, held_out = lec7.data.digits()
    >>> experiment = Experiment(
    ...     model=lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (), 10, rngs=rngs)),
    ...     loss=lec7.losses.cross_entropy,
    ...     optimizer=lec7.optim.adam(1e-2),
    ...     train=examples,
    ...     test=held_out,
    ...     steps=5,
    ...     batch_size=5000,
    ... )
    >>> check(experiment)
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    for name in ("steps", "batch_size", "log_every", "evaluate_every"):
        value = getattr(experiment, name)
        if not isinstance(value, numbers.Real) or value < 1:
            raise InputError(f"{name} is {short(value)}, expected at least 1")
    seed = experiment.seed
    if not hasattr(seed, "dtype") and not (isinstance(seed, int) and 0 <= seed <= random.MOST_SEED):
        raise InputError(f"seed is {short(seed)}, expected an int from 0 to {random.MOST_SEED}")
    try:
        _check_traced(experiment)
    except InputError:
        raise
    except Exception as error:  # of a model, a loss, an optimizer that anyone may have written
        batch = ", ".join(f"{name} {short(x)}" for name, x in like(experiment.train, experiment.batch_size).items())
        raise InputError(
            f"a training step fails on a batch of {batch}: {type(error).__name__}: {why(error)}"
        ) from error


def _check_traced(experiment: Experiment) -> None:
    """Looks for what a step would fail at, by tracing one."""
    state = jax.eval_shape(experiment.init)
    averages = averaging.names(state.opt_state)
    if taken := {RAW, SNAPSHOTS, MEMBERS} & set(averages):
        raise InputError(f"an average is called {taken.pop()!r}, which is what figures of others are called; rename it")

    experiment.trace(state)
    if experiment.classifies:
        for source in (experiment.train, experiment.test):
            # Those on the host are looked at when they are read: by the loss, which becomes NaN.
            labels = source.arrays["label"] if isinstance(source, data.ArraySource) else example(source)["label"]
            check_labels(jnp.asarray(labels), experiment.outputs.shape[1])


def _an_example_each(loss: Loss) -> Loss:
    """The loss, of which anything but a value an example is refused."""

    def checked(outputs: Any, batch: Batch) -> Metrics:
        metrics, rows = loss(outputs, batch), len(jax.tree.leaves(batch)[0])
        if not isinstance(metrics, Mapping) or "loss" not in metrics:
            names = ", ".join(map(repr, metrics)) if isinstance(metrics, Mapping) else short(metrics)
            raise InputError(f'the loss gave {names or "nothing"}, expected a dict of arrays with one called "loss"')
        for name, values in metrics.items():
            if (shape := jnp.shape(values)) != (rows,):
                raise InputError(
                    f"the loss gave {name} of shape {shape}, expected one value an example: shape ({rows},)"
                )
        return metrics

    return checked
