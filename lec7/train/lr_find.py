"""Which learning rate to begin with: a short run in which it grows from far too small to far too large."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import optim
from lec7.errors import InputError
from lec7.ranges import POSITIVE, WHOLE_FROM_ONE, check
from lec7.train.state import TrainState
from lec7.train.step import Step
from lec7.typing import Batch


class LearningRates(NamedTuple):
    """What `lr_find` found.

    Attributes:
        rates: learning rates that were tried, in order, float64 [n].
        losses: of the batch at each, before its step, [n].
        smooth: the same as a running mean that has no bias towards its start, [n].
        suggestion: a tenth of the rate at which the smooth loss is lowest.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    suggestion: float


def lr_find(
    step: Step,
    state: TrainState,
    batches: Iterable[Batch],
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
) -> LearningRates:
    """Trains a copy of the state with growing learning rates, and looks where the loss is lowest.

    The rate grows by the same factor each step, and the search ends where the smooth loss is four times its lowest.
    What the step does to the parameters is scaled to the rate that is tried, so that any optimizer will do; where
    groups have rates of their own, their proportions stay, and the largest is the one that is tried. Nothing that the
    caller has changes: neither the state nor any randomness.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3; the suggestion is
    Howard and Gugger's, "fastai: A Layered API for Deep Learning", 2020.

    Args:
        step: from `make_step`.
        state: where training would begin.
        batches: as many as `steps`, or they are gone through again.
        lowest: the first rate.
        highest: the last one.
        steps: how many to try.
        smoothing: of the running mean, in [0, 1).

    Returns:
        The rates that were tried, the losses, and the suggestion.

    Raises:
        InputError: there are no batches; the optimizer tells no learning rate, or is at one of 0; a number is out of
            range; the loss is not finite from the beginning.

    >>> import lec7, optax
    >>> tx = lec7.optim.sgd(0.1)
    >>> def step(state, batch):
    ...     updates, opt_state = tx.update(2 * state.params, state.opt_state)
    ...     state = state.replace(step=state.step + 1, params=state.params + updates, opt_state=opt_state)
    ...     return state, {"loss": state.params**2}
    >>> x = jnp.array(1.0)
    >>> state = TrainState(jnp.int32(0), jax.random.key(0), x, {}, tx.init(x))
    >>> found = lr_find(step, state, [{}], lowest=1e-3, highest=10.0, steps=20)
    >>> 0 < found.suggestion < 1
    True
    """
    for name, value in (("lowest", lowest), ("highest", highest)):
        check(name, value, POSITIVE, "a learning rate")
    check("steps", steps, WHOLE_FROM_ONE, "how many rates to try")
    if not lowest < highest:
        raise InputError(f"lowest is {lowest} and highest {highest}, expected the one below the other")
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing is {smoothing}, expected a number in [0, 1)")
    batches = list(batches)
    if not batches:
        raise InputError("there are no batches, expected at least one")

    @jax.jit
    def tried(state: TrainState, batch: Batch, rate: jax.Array):
        after, metrics = step(state, batch)
        rates = optim.learning_rates(after.opt_state)
        if not rates:
            raise InputError("the optimizer tells no learning rate; end it with optim.scale_by_learning_rate")
        force = jnp.stack([jnp.max(value) for value in rates.values()]).max()
        scale = rate / force
        params = jax.tree.map(lambda new, old: old + scale.astype(old.dtype) * (new - old), after.params, state.params)
        return after.replace(params=params), metrics["loss"], force

    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    smooth: list[float] = []
    mean, best = 0.0, np.inf
    for i, rate in enumerate(rates):
        state, loss, force = tried(state, batches[i % len(batches)], jnp.asarray(rate, float))
        if float(force) <= 0:
            raise InputError(f"the learning rate of step {i} is {float(force)}: give lr_find one that does not warm up")
        losses.append(float(loss))
        mean = smoothing * mean + (1 - smoothing) * losses[-1]
        smooth.append(mean / (1 - smoothing ** (i + 1)))
        best = min(best, smooth[-1])
        if not np.isfinite(losses[-1]) or smooth[-1] > 4 * best:
            break
    finite = np.isfinite(smooth)
    if not finite[0]:
        raise InputError(f"the loss is {losses[0]} from the beginning; no learning rate mends that")
    lowest_at = int(np.argmin(np.where(finite, smooth, np.inf)))
    return LearningRates(rates[: len(losses)], np.asarray(losses), np.asarray(smooth), float(rates[lowest_at]) / 10)
