"""Evaluation over a whole data set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lec7 import data
from lec7.losses import Loss
from lec7.models import Model, Variables
from lec7.train.step import image
from lec7.typing import Batch, Metrics


def make_evaluate(
    model: Model, loss: Loss, inputs: Callable[[Batch], Any] = image, batch_size: int = 500
) -> Callable[[Variables, data.Source], Metrics]:
    """The function that evaluates a model in testing mode on every example of a source once.

    Args:
        model: called with `train=False` and no key.
        loss: from outputs and batch to values for each example.
        inputs: what the model sees of a batch.
        batch_size: examples at a time; has no influence on the result but by rounding.

    Returns:
        A pure function `evaluate(variables, source) -> metrics`, one dispatch when jitted: means over all
        examples, arrays of shape ().
    """

    def evaluate(variables: Variables, source: data.Source) -> Metrics:
        length = len(source)
        size = min(batch_size, length)

        def sums(start):
            # The last batch is filled up with copies of the last example, which do not count.
            places = start + jnp.arange(size)
            batch = source[jnp.minimum(places, length - 1)]
            outputs, _ = model.apply(variables, inputs(batch), train=False)
            return {name: jnp.sum(jnp.where(places < length, row, 0)) for name, row in loss(outputs, batch).items()}

        totals = lax.map(sums, jnp.arange(0, length, size))
        return jax.tree.map(lambda total: jnp.sum(total) / length, totals)

    return evaluate
