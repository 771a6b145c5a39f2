"""What a run's model says of the test examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lec7.data import Source
from lec7.ensemble.members import Ensemble
from lec7.ensemble.scores import BINS
from lec7.errors import InputError
from lec7.experiment import Experiment
from lec7.experiment.evaluation import kinds
from lec7.models import together
from lec7.report.transfer import Judged
from lec7.train import TrainState
from lec7.typing import Batch


@dataclass(frozen=True)
class Predicted:
    """Predictions of a run.

    Attributes:
        judged: they, beside the truth.
        source: the test examples, in the same order, as a person wants to see them.
        step: of the checkpoint.
        parameters: which parameters were asked: an average's name, or "raw".
        members: how many models were asked as one.
        notes: sentences that a reader should know.
    """

    judged: Judged
    source: Source
    step: int
    parameters: str
    members: int = 1
    notes: tuple[str, ...] = ()


class Bin(NamedTuple):
    """Examples that were said with about the same confidence: how many, its mean, and the part that is right."""

    examples: int
    confidence: float
    accuracy: float


def predict(trained: Experiment | Ensemble, state: TrainState, classes: Sequence[str] | None = None) -> Judged:
    """What a state says of every test example: by its first average that has begun, or else by its parameters.

    Args:
        trained: what the state is of; all members of an ensemble are asked as one.
        state: as `trained.init` and `trained.fit` give it.
        classes: their names, by default their numbers.

    Raises:
        InputError: it is no classifier.
    """
    first = trained.first if isinstance(trained, Ensemble) else trained
    if not first.classifies:
        raise InputError("the model is no classifier: it gives no logit for each class, or the examples have no labels")
    variables = trained.variables(state)[kinds(state)[0]]

    if isinstance(trained, Ensemble):
        asked: Any = trained.pairs(variables)

        def answer(asked: Any, batch: Batch) -> jax.Array:
            outputs = lax.map(lambda one: trained.model.apply(one, first.inputs(batch), train=False)[0], asked)
            return jnp.exp(together(outputs, first.how))
    else:
        asked = variables

        def answer(asked: Any, batch: Batch) -> jax.Array:
            outputs, _ = trained.model.apply(asked, first.seen(batch), train=False)
            return jax.nn.softmax(outputs.astype(jnp.float32))

    compiled = jax.jit(answer)
    probabilities, labels = [], []
    for batch, count in _batches(first.test, first.rows_in_testing):
        probabilities.append(np.asarray(compiled(asked, batch))[:count])
        labels.append(np.asarray(batch["label"])[:count])
    p = np.concatenate(probabilities)
    return Judged(p, np.concatenate(labels), tuple(classes or map(str, range(p.shape[1]))))


def bins(judged: Judged) -> list[Bin]:
    """The reliability diagram: the bins that have examples, 15 of equal width over the confidence, (b, b + 1] / 15.

    The expected calibration error is the mean over examples of how far a bin's confidence and accuracy are apart.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, figure 1; as `ensemble.scores` has it.

    >>> two = Judged(np.array([[0.8, 0.2], [0.6, 0.4]]), np.array([0, 1]), ("cat", "dog"))
    >>> bins(two)
    [Bin(examples=1, confidence=0.6, accuracy=0.0), Bin(examples=1, confidence=0.8, accuracy=1.0)]
    """
    confidence, right = judged.probabilities.max(-1).astype(float), judged.said == judged.labels
    # Rounded as `ensemble.scores` rounds, so that what lies on an edge falls to the same side.
    place = np.clip(np.ceil(judged.probabilities.max(-1) * BINS) - 1, 0, BINS - 1)
    inside = ((place == b) for b in range(BINS))
    return [Bin(int(who.sum()), float(confidence[who].mean()), float(right[who].mean())) for who in inside if who.any()]


def calibration_error(found: Sequence[Bin]) -> float:
    """The expected calibration error of bins.

    >>> round(calibration_error([Bin(1, 0.6, 0.0), Bin(1, 0.8, 1.0)]), 3)
    0.4
    """
    return sum(bin.examples * abs(bin.accuracy - bin.confidence) for bin in found) / sum(bin.examples for bin in found)


def _batches(source: Source, rows: int) -> Iterator[tuple[Batch, int]]:
    """All examples in order, and how many of a batch count: the last one is filled up, to be of one shape with all."""
    rows = min(rows, len(source))
    for start in range(0, len(source), rows):
        places = np.minimum(np.arange(start, start + rows), len(source) - 1)
        yield source[places], min(rows, len(source) - start)
