"""The figures of all that a state has to evaluate with: together and one by one, averaged and raw."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from lec7.ensemble.members import Ensemble, flat
from lec7.ensemble.scores import SCORES, finished, score_rows
from lec7.experiment import Experiment
from lec7.experiment.evaluation import SNAPSHOTS, kinds, snapshot_weights
from lec7.train import TrainState, make_evaluate_members, together_and_each
from lec7.train.evaluate import mean_over
from lec7.train.lanes import length
from lec7.typing import Batch, Metrics

_JointAndEach = tuple[Metrics, Metrics]
"""Figures of all members together, and of each."""


class Line(NamedTuple):
    """A line of `report`.

    Attributes:
        who: who is asked, such as `"member 3"`.
        parameters: the name of an average, or `"raw"`.
        figures: by name.
    """

    who: str
    parameters: str
    figures: dict[str, float]


class Group(NamedTuple):
    """Members that are asked at a time: what they are called together and each, their variables, stacked, and weights.

    Those of weight 0 are none: places of snapshots that are not taken yet.
    """

    together: str
    each: list[str]
    parameters: str
    members: Any
    weights: jax.Array | None = None


def report(trained: Experiment | Ensemble, state: TrainState) -> list[Line]:
    """The figures on the test examples of all that a state has to evaluate with.

    The figures are the experiment's own, and the `scores` of classifiers. Of an ensemble there are lines for all
    members together and for each of them; of snapshots likewise.

    Args:
        trained: what the state is of.
        state: as `trained.init` and `trained.fit` give it.
    """
    many = isinstance(trained, Ensemble)
    first, chunk, devices = (trained.first, trained.chunk, trained.devices) if many else (trained, 1, ())
    own, of_scores = together_and_each(first.loss, first.how), score_rows(first.how)

    def rows(outputs: Any, batch: Batch, weights: jax.Array | None) -> tuple[_JointAndEach, _JointAndEach]:
        scored = of_scores(outputs, batch, weights) if first.classifies else ({}, {})
        return own(outputs, batch, weights), scored

    measure = jax.jit(make_evaluate_members(trained.model, rows, first.seen, chunk=chunk, devices=devices))

    def figures(members: Any, weights: jax.Array | None) -> _JointAndEach:
        (joint, each), scored = mean_over(first.test, lambda test: measure(members, test, weights), first.mesh)
        joint_scores, each_scores = finished(*scored) if first.classifies else scored
        return _in_order(joint | joint_scores), _in_order(each | each_scores)

    lines: list[Line] = []
    for group in _groups(trained, state):
        joint, each = figures(group.members, group.weights)
        if group.together:
            lines.append(Line(group.together, group.parameters, {name: float(value) for name, value in joint.items()}))
        for i, who in enumerate(group.each):
            lines.append(Line(who, group.parameters, {name: float(values[i]) for name, values in each.items()}))
    return lines


def _groups(trained: Experiment | Ensemble, state: TrainState) -> Iterator[Group]:
    found = trained.variables(state)
    snapshots = found.get(SNAPSHOTS)
    taken = snapshot_weights(state)
    if isinstance(trained, Ensemble):
        names = [f"seed {seed}" for seed in trained.seeds]
        for kind in kinds(state):
            yield Group(f"{len(names)} together", names, kind, trained.pairs(found[kind]))
        if snapshots is not None and taken is not None:
            # Of members with unequal numbers of them, all have as many places as the one with the most.
            weights = taken[:, : jax.tree.leaves(snapshots)[0].shape[1]].reshape(-1)
            yield Group(f"{int(weights.sum())} together", [], SNAPSHOTS, trained.pairs(flat(snapshots)), weights)
        return
    for kind in kinds(state):
        yield Group("", [""], kind, jax.tree.map(lambda x: x[None], found[kind]))
    if snapshots is not None:
        k = length(snapshots)
        yield Group(f"{k} together", [f"snapshot {i + 1}" for i in range(k)], SNAPSHOTS, snapshots)


def _in_order(metrics: Metrics) -> Metrics:
    """The experiment's own figures, and then the scores."""
    own = [name for name in metrics if name not in SCORES]
    return {name: metrics[name] for name in (*own, *(name for name in SCORES if name in metrics))}
