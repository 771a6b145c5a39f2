"""The exponential moving average of the parameters: the lecture's Polyak averaging."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from lec7.averaging.average import average, check_dtype, every_so_often, where_kept
from lec7.ranges import DECAY, FROM_ONE, number
from lec7.typing import Params, PyTree, Scalar, Schedule, wide


class Ema(NamedTuple):
    """Parameters averaged (int32 []), the sum of their weights ([]), and their weighted mean."""

    n: jax.Array
    weight: jax.Array
    mean: PyTree

    def averaged(self, params: Params) -> Params:
        """The weighted mean of the parameters seen."""
        return where_kept(lambda mean, x: jnp.where(self.weight > 0, mean, x), self.mean, params)


def ema(
    decay: Scalar | Schedule,
    debias: bool = True,
    warmup: Scalar | None = None,
    every: int | jax.Array = 1,
    dtype: DTypeLike | None = None,
    name: str = "ema",
) -> optax.GradientTransformationExtraArgs:
    """Exponential moving average of the parameters: `x_test = decay * x_test + (1 - decay) * x`.

    What is kept is the weighted mean, and not the sum, which in bfloat16 would stop to grow long before it is whole:

        w = decay * w + (1 - decay),   x_test += (1 - decay) / w * (x - x_test)

    Source: lecture 7, "Polyak averaging", with 0.995 as decay; Polyak and Juditsky, 1992; for the warm-up,
    TensorFlow's `ExponentialMovingAverage`, where it is 10.

    Args:
        decay: part of the average that is kept, in [0, 1), or a schedule of it.
        debias: weigh only parameters that training has reached, as Adam corrects its moments;
            otherwise the parameters at the start count as if they had been there for ever.
        warmup: the n-th decay, from n = 0, is at most `(1 + n) / (warmup + n)`, so that a long average forgets its
            beginning soon; at least 1, which is no limit, as is None.
        every: steps from one that is averaged to the next; `decay` is that of one averaging, and a schedule of it is
            asked about the step.
        dtype: what the average is kept in; by default float32, or the parameter's where that is wider. A narrow one
            does not follow what is less than half of its last bit: in bfloat16 with 0.999, as far as twice the average.
        name: what it is called where there are several.

    Raises:
        InputError: a number is known and out of range; or `update` gets no params.

    >>> from lec7 import averaging
    >>> tx = optax.chain(optax.sgd(0.1), ema(0.9))
    >>> params = {"w": jnp.array(1.0)}
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update({"w": jnp.array(1.0)}, state, params)
    ...     params = optax.apply_updates(params, updates)
    >>> round(float(averaging.averaged_params(state, params)["w"]), 4)  # (0.9 * 0.9 + 0.8) / (0.9 + 1)
    0.8474
    """
    known = decay if callable(decay) else number("decay", decay, DECAY, "the part of the average that a step keeps")
    check_dtype(dtype)
    cap = None if warmup is None else number("warmup", warmup, FROM_ONE, "the denominator at the start, such as 10")

    def init(params: Params) -> Ema:
        start = jnp.zeros_like if debias else jnp.array
        mean = jax.tree.map(lambda x: start(x, dtype or wide(x.dtype)), params)
        return Ema(jnp.zeros((), jnp.int32), jnp.asarray(not debias, float), mean)

    def decay_of(n: jax.Array, t: jax.Array) -> jax.Array:
        d = jnp.asarray(known(t - 1), float) if callable(known) else known
        return d if cap is None else jnp.minimum(d, (1.0 + n) / (cap + n))

    def observe(kept: Ema, x: Params, t: jax.Array) -> Ema:
        d = decay_of(kept.n, t)
        weight = d * kept.weight + (1 - d)
        part = (1 - d) / jnp.where(weight > 0, weight, 1)
        mean = jax.tree.map(lambda mean, x: (mean + part * (x - mean)).astype(mean.dtype), kept.mean, x)
        return Ema(kept.n + 1, weight, mean)

    return average(name, init, observe, every_so_often(every))
