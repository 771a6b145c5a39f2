"""What a state has to evaluate with, and its figures on the test examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import averaging, data
from lec7.models import Variables
from lec7.train import TrainState
from lec7.train.evaluate import mean_over
from lec7.train.placement import everywhere
from lec7.typing import Metrics, Params

if TYPE_CHECKING:
    from lec7.experiment.definition import Experiment

RAW, SNAPSHOTS, MEMBERS = "raw", "snapshots", "members"
"""What figures are of, beside the averages, which have names of their own."""

Evaluate = Callable[[TrainState], dict[str, float]]
"""From a state to figures on the test examples by name, see `label`."""


def kinds(state: TrainState) -> list[str]:
    """What there is to evaluate with: the averages that have begun, in the optimizer's order, and `"raw"`.

    The first of them is what a run is judged by.
    """
    has_begun = averaging.begun(state.opt_state)
    return [*(name for name in averaging.names(state.opt_state) if has_begun[name]), RAW]


def not_begun(state: TrainState, more: int = 0) -> list[str]:
    """The names of averages and snapshots that have seen no parameters, nor will in so many steps more."""
    return [name for name, has in averaging.begun(state.opt_state, more).items() if not has]


def candidates(experiment: Experiment, state: TrainState, source: Any) -> dict[str, Variables]:
    """The variables of all averages, with batch statistics of their own, and of `"raw"`; traceable.

    Of an average that has not begun they are those of the parameters; the state tells which have. Under `"snapshots"`
    there are those, where the optimizer takes any, with a leading axis of k; which of them are taken is told by the
    state as well.

    Args:
        experiment: its model and the way that it is trained.
        state: a state of one run.
        source: what batch statistics are recomputed on, as `Experiment.for_statistics` tells.
    """
    refresh = experiment.make_refresh()

    def refreshed(params: Params) -> Variables:
        return refresh(Variables(params, state.model_state), source, state.key)

    averages = averaging.averages(state.opt_state, state.params)
    found = {name: refreshed(params) for name, params in averages.items()} | {RAW: state.variables}
    if kept := averaging.snapshots_in(state.opt_state):
        found[SNAPSHOTS] = jax.lax.map(refreshed, kept.members(state.params))
    return found


def snapshot_weights(state: TrainState) -> jax.Array | None:
    """How much each of the k snapshots counts, [k] or [members, k]: 1 if it is taken. None while none is, or can be."""
    kept = averaging.snapshots_in(state.opt_state)
    if kept is None or not np.any(kept.n):
        return None
    k = jax.tree.leaves(kept.ring)[0].shape[kept.n.ndim]
    return jnp.asarray(np.arange(k) < np.asarray(kept.n)[..., None], float)


def only_begun(found: dict[str, Variables], state: TrainState) -> dict[str, Variables]:
    """The candidates of `kinds`, and the snapshots that are taken, which are the first; none while there are none."""
    ready = {kind: found[kind] for kind in kinds(state)}
    weights = snapshot_weights(state)
    if weights is None:
        return ready
    count, axis = int(weights.sum(-1).max()), weights.ndim - 1
    taken = jax.tree.map(lambda x: jax.lax.slice_in_dim(x, 0, count, axis=axis), found[SNAPSHOTS])
    return ready | {SNAPSHOTS: taken}


class Figures(NamedTuple):
    """What a state is worth on the test examples.

    Attributes:
        begun: by kind whether there is anything to judge; arrays of bool.
        metrics: by kind its figures, which mean nothing where it has not begun.
    """

    begun: dict[str, jax.Array]
    metrics: dict[str, Metrics]


def figures(experiment: Experiment, state: TrainState, train: data.Source, test: data.Source) -> Figures:
    """The figures of all that a state of one run has to evaluate with; traceable.

    Args:
        experiment: its model, its loss and the way that it is trained.
        state: a state of one run.
        train: what batch statistics of averages are recomputed on.
        test: what is evaluated on.
    """
    return judged(experiment, state, candidates(experiment, state, train), test)


def judged(experiment: Experiment, state: TrainState, found: dict[str, Variables], test: data.Source) -> Figures:
    """The figures of a state's candidates, or of all places that it has for some; traceable."""
    evaluate = experiment.make_evaluate()
    begun = {name: jnp.asarray(has) for name, has in averaging.begun_arrays(state.opt_state).items()}
    begun[RAW] = jnp.asarray(True)
    metrics = {kind: evaluate(variables, test) for kind, variables in found.items() if kind != SNAPSHOTS}
    if (kept := averaging.snapshots_in(state.opt_state)) is not None:
        k = jax.tree.leaves(kept.ring)[0].shape[0]
        begun[SNAPSHOTS] = kept.n > 0
        # With none taken, all count: of figures that nobody looks at, none is to be NaN.
        taken = (jnp.arange(k) < kept.n) | (kept.n == 0)
        metrics[SNAPSHOTS], _ = experiment.make_evaluate_together()(found[SNAPSHOTS], test, taken.astype(float))
    return Figures({kind: begun[kind] for kind in metrics}, metrics)


def order(state: TrainState) -> list[str]:
    """All kinds of figures that a state can have; of averages, the first that has begun counts."""
    return [*averaging.names(state.opt_state), RAW, SNAPSHOTS]


def make_evaluation(experiment: Experiment) -> Evaluate:
    """The evaluation of one run's states; compiled at the first call, and never again."""
    at_once = jax.jit(lambda state, train, test: figures(experiment, state, train, test))
    part = jax.jit(lambda state, found, test: judged(experiment, state, found, test))

    def evaluation(state: TrainState) -> dict[str, float]:
        state = experiment.for_testing(state)
        train, test, mesh = experiment.for_statistics(state), experiment.test, experiment.mesh
        if isinstance(train, data.ArraySource) and isinstance(test, data.ArraySource):
            found = jax.device_get(at_once(state, train, everywhere(test, mesh)))
        else:
            variables = experiment.candidates(state, train)
            found = mean_over(test, lambda test: part(state, variables, test), mesh)
        return label_figures(found, order(state))

    return evaluation


def label_figures(found: Figures, order: Sequence[str]) -> dict[str, float]:
    """Figures of one run, on the host, by name: `label` of what has begun, in this order."""
    return label({kind: found.metrics[kind] for kind in order if kind in found.metrics and found.begun[kind]})


def label(metrics: Mapping[str, Metrics]) -> dict[str, float]:
    """Figures by name: `"test/loss"` of the first kind, `"test_raw/loss"` of one called `"raw"`.

    >>> label({"ema": {"loss": 0.25}, "raw": {"loss": 0.5}})
    {'test/loss': 0.25, 'test_raw/loss': 0.5}
    """
    values = jax.device_get(dict(enumerate(metrics.values())))
    prefixes = ["test", *(f"test_{kind}" for kind in list(metrics)[1:])]
    return {f"{prefix}/{name}": float(value) for i, prefix in enumerate(prefixes) for name, value in values[i].items()}


def by_kind(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A row's figures on the test examples by kind and name, the first kind under `""`; the inverse of `label`.

    >>> by_kind({"step": 10, "test/loss": 0.25, "test_raw/loss": 0.5})
    {'': {'loss': 0.25}, 'raw': {'loss': 0.5}}
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
        prefix, _, name = key.partition("/")
        if prefix == "test" or prefix.startswith("test_"):
            found.setdefault(prefix.removeprefix("test").removeprefix("_"), {})[name] = value
    return found
