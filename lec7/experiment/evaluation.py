"""What a state has to evaluate with, and its figures on the test examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import averaging, data
from lec7.models import Variables
from lec7.train import TrainState
from lec7.typing import Metrics

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


def candidates(experiment: Experiment, state: TrainState, source: data.Source) -> dict[str, Variables]:
    """The variables of all averages, with batch statistics of their own, and of `"raw"`; traceable.

    Of an average that has not begun they are those of the parameters; the state tells which have. Under `"snapshots"`
    there are those, where the optimizer takes any, with a leading axis of k; which of them are taken is told by the
    state as well.

    Args:
        experiment: its model and the way that it is trained.
        state: a state of one run.
        source: what batch statistics are recomputed on.
    """
    refresh = experiment.make_refresh()

    def refreshed(params):
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


def make_evaluation(experiment: Experiment) -> Evaluate:
    """The evaluation of one run's states; compiled at the first call, and never again."""
    evaluate, together = jax.jit(experiment.make_evaluate()), jax.jit(experiment.make_evaluate_together())

    def figures(state: TrainState) -> dict[str, float]:
        found = experiment.candidates(state, experiment.train)
        metrics = {kind: evaluate(found[kind], experiment.test) for kind in kinds(state)}
        weights = snapshot_weights(state)
        if weights is not None:
            metrics[SNAPSHOTS], _ = together(found[SNAPSHOTS], experiment.test, weights)
        return label(metrics)

    return figures


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
