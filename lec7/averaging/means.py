"""Means in which all parameters count alike: of all steps, or of every so many from some step on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from lec7.averaging.average import Due, Rule, average, check_dtype, interval, where_kept
from lec7.ranges import WHOLE, check
from lec7.typing import Params, PyTree, wide


class Mean(NamedTuple):
    """Parameters averaged (int32 []), and their mean."""

    n: jax.Array
    mean: PyTree

    def averaged(self, params: Params) -> Params:
        """The mean of the parameters seen."""
        return where_kept(lambda mean, x: jnp.where(self.n > 0, mean, x), self.mean, params)


def polyak_ruppert(
    dtype: DTypeLike | None = None, name: str = "polyak_ruppert"
) -> optax.GradientTransformationExtraArgs:
    """The running mean of the parameters after each step: `x_test += (x - x_test) / t`.

    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; Ruppert, 1988.
    `swa(start)` is the same from a later step on, which forgets the way down.

    Args:
        dtype: what the mean is kept in; by default float32, or the parameter's where that is wider. A narrow one
            stops to follow once a step's part, 1/n of the difference, is less than half of its last bit: in bfloat16
            after a few hundred.
        name: what it is called where there are several.

    Raises:
        InputError: `update` gets no params.

    >>> from lec7 import averaging
    >>> tx = polyak_ruppert()
    >>> state = tx.init(jnp.array(0.0))
    >>> for x in (1.0, 2.0, 6.0):
    ...     _, state = tx.update(jnp.array(0.0), state, jnp.array(x))
    >>> float(averaging.averaged_params(state, jnp.array(6.0)))
    3.0
    """
    return average(name, *_mean(dtype))


def swa(
    start: int | jax.Array, every: int | jax.Array = 1, dtype: DTypeLike | None = None, name: str = "swa"
) -> optax.GradientTransformationExtraArgs:
    """Stochastic weight averaging: the mean of the parameters after `start`, `start + every`, ... steps.

    Parameters after 0 steps, those at the start, are none: with `start=0` the first are those after `every` steps.

    With a cyclic schedule, `every` is the length of a cycle and `start` the end of the first one that counts.
    Evaluate with batch statistics of the averaged parameters' own: `models.refresh_statistics`.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, algorithm 1.

    Args:
        start: number of steps after which the first parameters count, at least 0.
        every: steps from one that counts to the next, at least 1.
        dtype: what the mean is kept in; by default float32, or the parameter's where that is wider. A narrow one
            stops to follow once a step's part, 1/n of the difference, is less than half of its last bit: in bfloat16
            after a few hundred.
        name: what it is called where there are several.

    Raises:
        InputError: a number is known and out of range; or `update` gets no params.

    >>> from lec7 import averaging
    >>> tx = swa(start=2, every=2)
    >>> state = tx.init(jnp.array(0.0))
    >>> for x in (1.0, 2.0, 3.0, 4.0, 5.0):
    ...     _, state = tx.update(jnp.array(0.0), state, jnp.array(x))
    >>> float(averaging.averaged_params(state, jnp.array(5.0)))
    3.0
    """
    check("start", start, WHOLE, "the number of steps after which the first parameters count")
    first = jnp.asarray(start, jnp.int32)
    steps = interval("every", every, "the number of steps from one that counts to the next")
    return average(name, *_mean(dtype), due=Due(jnp.where(first > 0, first, steps), lambda t: (t - first) % steps == 0))


def _mean(dtype: DTypeLike | None) -> Rule[Mean]:
    """The rule: how it begins, and how it goes on."""
    check_dtype(dtype)

    def init(params: Params) -> Mean:
        return Mean(jnp.zeros((), jnp.int32), jax.tree.map(lambda x: jnp.zeros_like(x, dtype or wide(x.dtype)), params))

    def observe(kept: Mean, x: Params, t: jax.Array) -> Mean:
        n = kept.n + 1
        part = 1.0 / n  # a division by n is rounded as such in one program, and as this product in another
        mean = jax.tree.map(lambda mean, x: (mean + part * (x - mean)).astype(mean.dtype), kept.mean, x)
        return Mean(n, mean)

    return init, observe
