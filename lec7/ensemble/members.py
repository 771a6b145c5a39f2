"""Independent members: runs of one experiment that differ in their seed, as one program."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import data
from lec7.errors import InputError
from lec7.experiment import Experiment, check
from lec7.experiment.definition import on_device
from lec7.experiment.evaluation import (
    MEMBERS,
    SNAPSHOTS,
    Evaluate,
    candidates,
    kinds,
    label,
    only_begun,
    snapshot_weights,
)
from lec7.models import Model, Variables
from lec7.models.contract import ModelState
from lec7.random import MOST_SEED
from lec7.train import (
    TrainState,
    draw,
    jit,
    lanes,
    make_evaluate_members,
    scan,
    together_and_each,
    windows,
)
from lec7.train.lanes import check_chunk, copy_out, deal_out, hanging, length
from lec7.typing import Device, Key, Metrics, PyTree

SEED = jax.ShapeDtypeStruct((), jnp.int32)
"""A seed that nobody knows."""


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Members that are trained at the same time: an `Experiment` whose states have a leading axis of members.

    Attributes:
        build: from a seed, which may be traced, to the experiment.
        seeds: the members' seeds.
        chunk: members side by side on a device; None for all.
        devices: what the members are dealt out to; empty for the one that there is.
    """

    build: Callable[[Any], Experiment]
    seeds: tuple[int, ...]
    chunk: int | None
    devices: tuple[Device, ...]

    @cached_property
    def first(self) -> Experiment:
        """The experiment of the first seed, whose examples, lengths and evaluation are those of all."""
        return self.build(self.seeds[0])

    @property
    def train(self) -> data.Source:
        """The examples to train on, of the first seed; members may have others."""
        return self.first.train

    @property
    def test(self) -> data.ArraySource:
        """The examples held out, the same for all."""
        return on_device(self.first.test, "ensembles")

    @property
    def steps(self) -> int:
        """Number of training steps."""
        return self.first.steps

    @property
    def batch_size(self) -> int:
        """Examples a step, of each member."""
        return self.first.batch_size

    @property
    def evaluate_every(self) -> int:
        """Steps from one evaluation, and checkpoint, to the next."""
        return self.first.evaluate_every

    @cached_property
    def model(self) -> Model:
        """The model of a member, whose variables are a pair: its own, and its seed, on which the model may hang."""

        def apply(variables: Any, inputs: Any, *, train: bool, key: Key | None = None) -> tuple[Any, ModelState]:
            own, seed = variables
            return self.build(seed).model.apply(own, inputs, train=train, key=key)

        return Model(self.first.model.init, apply)

    def pairs(self, variables: Variables) -> tuple[Variables, jax.Array]:
        """Variables for `model`, from those with a leading axis of members, or of each member's snapshots in a row."""
        seeds = jnp.repeat(jnp.asarray(self.seeds, jnp.int32), length(variables) // len(self.seeds))
        return deal_out((variables, seeds), self.devices)

    def init(self) -> TrainState:
        """The members' states before the first step."""
        return jax.jit(self._lanes(lambda seed: self.build(seed).init(), mapped=1))(self._seeds)

    def fit(self, state: TrainState) -> Iterator[tuple[TrainState, Metrics]]:
        """Trains all members from their states to the last step, and yields after each `log_every` steps.

        One program serves all members and all windows. Metrics are arrays [members, steps of the window].
        """
        source = self._source
        yield from windows(
            lambda state, count: self._window(state, self._seeds, source, count),
            deal_out(state, self.devices),
            steps=self.steps,
            every=self.first.log_every,
        )

    def variables(self, state: TrainState) -> dict[str, Variables]:
        """All that the members have to evaluate with, each with a leading axis of members: `Experiment.variables`."""
        return only_begun(self._candidates(deal_out(state, self.devices), self._seeds, self._source), state)

    def with_new_averages(self, state: TrainState) -> TrainState:
        """The states with averages and snapshots that begin here, see `Experiment.with_new_averages`."""
        begin = self._lanes(lambda state, seed: self.build(seed).with_new_averages(state), mapped=2)
        return jax.jit(begin)(deal_out(state, self.devices), self._seeds)

    def make_evaluation(self) -> Evaluate:
        """What tells the figures on the test examples: of all members as one, and the mean over single members.

        Snapshots, where the optimizer takes any, are those of all members together.
        """
        rows, inputs = together_and_each(self.first.loss, self.first.how), self.first.inputs
        together = jax.jit(make_evaluate_members(self.model, rows, inputs, chunk=self.chunk, devices=self.devices))

        def figures(state: TrainState) -> dict[str, float]:
            found = self._candidates(deal_out(state, self.devices), self._seeds, self._source)
            metrics, each = {}, {}
            for kind in kinds(state):
                metrics[kind], each[kind] = together(self.pairs(found[kind]), self.test)
            metrics[MEMBERS] = jax.tree.map(jnp.mean, each[kinds(state)[0]])
            weights = snapshot_weights(state)
            if weights is not None:
                members = self.pairs(flat(found[SNAPSHOTS]))
                metrics[SNAPSHOTS], _ = together(members, self.test, weights.reshape(-1))
            return label(metrics)

        return figures

    def _lanes(self, function: Callable[..., Any], mapped: int) -> Callable[..., Any]:
        return lanes(function, mapped, self.chunk, self.devices)

    @property
    def _seeds(self) -> jax.Array:
        return deal_out(jnp.asarray(self.seeds, jnp.int32), self.devices)

    @cached_property
    def _source(self) -> data.ArraySource:
        """The training examples on all devices; where they hang on the seed, with a leading axis of members."""
        if self._has_own_examples:
            return jax.jit(self._lanes(lambda seed: self.build(seed).train, mapped=1))(self._seeds)
        return copy_out(on_device(self.first.train, "ensembles"), len(self.seeds), self.devices)

    @cached_property
    def _has_own_examples(self) -> bool:
        """Whether the training examples hang on the seed."""
        return any(jax.tree.leaves(hanging(lambda seed: self.build(seed).train, SEED)))

    def _of_members(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """For all members, a function of a state, an experiment, its training examples, and what they share."""

        @functools.wraps(function)
        def of_member(state: TrainState, seed: jax.Array, source: data.ArraySource, *shared: Any) -> Any:
            return function(state, self.build(seed), source, *shared)

        return self._lanes(of_member, mapped=3 if self._has_own_examples else 2)

    @cached_property
    def _window(self) -> Callable[..., tuple[TrainState, Metrics]]:
        def window(
            state: TrainState, member: Experiment, source: data.ArraySource, count: jax.Array
        ) -> tuple[TrainState, Metrics]:
            return scan(member.make_step(), member.log_every, draw(member.batch_size))(state, source, count)

        return jit(self._of_members(window))

    @cached_property
    def _candidates(self) -> Callable[..., dict[str, Variables]]:
        return jax.jit(self._of_members(lambda state, member, source: candidates(member, state, source)))


def make(
    build: Callable[[Any], Experiment],
    hp: Any,
    seeds: Sequence[int] | np.ndarray,
    chunk: int | None = None,
    devices: Sequence[Device] | None = None,
) -> Ensemble:
    """The ensemble of an experiment's runs with these seeds.

    Source: lecture 7, "Model Ensembles": train multiple independent models, at test time average their results.

    Args:
        build: from hyperparameters to the experiment; their `seed` is traced, so that members may have training
            examples of their own (by `data.take`), while test examples and numbers of steps are those of all.
        hp: a dataclass of hyperparameters with a field `seed`.
        seeds: the members' seeds, in [0, 2**31).
        chunk: members side by side on a device, while others wait. By default all; on a CPU one at a time, for then
            each member is the run of its seed alone, bit for bit, and on most networks it is no slower.
        devices: what the members are dealt out to, by default all that there are; as many as divide their number. To
            have a device for each core of a CPU, call `train.device_per_core()` at the start.

    Raises:
        InputError: there is no seed, or no such field, or one is out of range or there twice; there is no device, or
            `chunk` is below 1; the experiment can't be run; or it needs to know the seed, or tests each member on other
            examples.
    """
    if not dataclasses.is_dataclass(hp) or isinstance(hp, type) or not hasattr(hp, "seed"):
        raise InputError(f"hyperparameters are {hp}, expected a dataclass with a field seed, which members differ in")
    numbers = _seeds(seeds)
    check_chunk(chunk)
    wanted = tuple(jax.devices() if devices is None else devices)
    if not wanted:
        raise InputError("devices are none, expected at least one, such as jax.devices()[:1]; None stands for all")
    if chunk is None and wanted[0].platform == "cpu":
        chunk = 1
    if devices is None and len(wanted) == 1:
        wanted = ()
    ensemble = Ensemble(lambda seed: build(dataclasses.replace(hp, seed=seed)), numbers, chunk, wanted)
    on_device(ensemble.first.train, "ensembles")
    on_device(ensemble.first.test, "ensembles")
    check(ensemble.first)
    _check_traced(ensemble.build)
    return ensemble


def train(
    build: Callable[[Any], Experiment],
    hp: Any,
    seeds: Sequence[int] | np.ndarray,
    chunk: int | None = None,
    devices: Sequence[Device] | None = None,
) -> TrainState:
    """Trains independent members in one compiled program, to their last step: `make`, and nothing logged or saved.

    Source: as of `make`.

    Args:
        build: as in `make`.
        hp: as in `make`.
        seeds: as in `make`.
        chunk: as in `make`.
        devices: as in `make`.

    Returns:
        The members' states, with a leading axis; member i is the run of `seeds[i]`.

    Raises:
        InputError: see `make`.

    >>> from dataclasses import dataclass
    >>> import lec7
    >>> @dataclass(frozen=True)
    ... class Hyperparameters:
    ...     seed: int = 0
    >>> def build(hp):
    ...     examples, held_out = lec7.data.digits()
    ...     return Experiment(
    ...         model=lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (16,), 10, rngs=rngs)),
    ...         loss=lec7.losses.cross_entropy,
    ...         optimizer=lec7.optim.adam(1e-2),
    ...         train=examples,
    ...         test=held_out,
    ...         steps=50,
    ...         batch_size=64,
    ...         seed=hp.seed,
    ...     )
    >>> state = train(build, Hyperparameters(), seeds=range(3))
    >>> state.params["head"]["kernel"].shape
    (3, 16, 10)
    """
    members = make(build, hp, seeds, chunk, devices)
    state = members.init()
    for state, _ in members.fit(state):
        pass
    return state


def flat(members: PyTree) -> PyTree:
    """Members of members, [m, k, ...], as members, [m * k, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), members)


def _seeds(given: Any) -> tuple[int, ...]:
    """The members' seeds as ints; refuses what are none, and the same twice."""
    if not isinstance(given, Iterable) or not (seeds := list(given)):
        raise InputError(f"seeds are {given}, expected at least one int, each of another member, such as range(4)")
    numbers: list[int] = []
    for seed in seeds:
        try:
            number = operator.index(seed)
        except TypeError:
            number = -1
        if not 0 <= number <= MOST_SEED:
            raise InputError(f"seeds have {seed} among them, expected ints from 0 to {MOST_SEED}")
        if number in numbers:
            raise InputError(f"seeds have {seed} twice, expected different ones: the same seed is the same member")
        numbers.append(number)
    return tuple(numbers)


def _check_traced(build: Callable[[Any], Experiment]) -> None:
    """Refuses an experiment that can't be built with a seed which only the compiled program knows."""

    def both(seed: jax.Array) -> tuple[data.Source, TrainState]:
        member = build(seed)
        return member.test, member.init()

    try:
        test, _ = hanging(both, SEED)
    except (TypeError, jax.errors.JAXTypeError) as error:
        raise InputError(
            f"build can't do with a seed that is traced, expected one that hands hp.seed on to Experiment, or to "
            f"jax.random.key: {str(error).splitlines()[0]}"
        ) from error
    if any(jax.tree.leaves(test)):
        raise InputError(
            "the test examples hang on the seed, expected the same for all members; "
            "split them with a hyperparameter of another name"
        )
