"""Weight decay: shrinking the parameters a little at each step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7 import tree
from lec7.errors import InputError
from lec7.optim.leafwise import each
from lec7.ranges import NOT_NEGATIVE, check
from lec7.typing import Params, PyTree, Scalar, Schedule


class DecayState(NamedTuple):
    """Steps taken (int32 array of shape ()), and the decay in force for each leaf: the rate, or 0 where it has none."""

    t: jax.Array
    rate: PyTree


def coupled_weight_decay(rate: Scalar | Schedule, where: str = ".*") -> optax.GradientTransformationExtraArgs:
    """L2 regularization as a transform: `g + rate * x`, where `rate * x` is the gradient of `rate / 2 * sum(x**2)`.

    Put it first in a chain: what follows sees the penalty's gradient as part of the loss's, as PyTorch's `weight_decay`
    has it, and an adaptive rate divides both.

    Source: lecture 7, "Regularization"; Krogh and Hertz, 1991.

    Args:
        rate: a number or a schedule.
        where: regular expression over whole leaf paths, as in `".*/kernel"`.

    Raises:
        InputError: in `init`, `where` matches no leaf; `update` gets no params.

    >>> tx = optax.chain(coupled_weight_decay(0.1, where="kernel"), optax.sgd(1.0))
    >>> params = {"kernel": jnp.array(2.0), "bias": jnp.array(2.0)}
    >>> updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    >>> round(float(updates["kernel"]), 6), abs(float(updates["bias"]))
    (-0.2, 0.0)
    """
    return _add_decay(rate, where)


def decoupled_weight_decay(rate: Scalar | Schedule, where: str = ".*") -> optax.GradientTransformationExtraArgs:
    """Decay beside the direction: `direction + rate * x`. Put it after the core and ahead of the learning rate.

    The parameters shrink by `learning_rate * rate` of themselves at each step, whatever an adaptive rate does to the
    gradient; `adamw` is made with this.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, as PyTorch and Optax have it (times
    the learning rate).

    Args:
        rate: a number or a schedule.
        where: regular expression over whole leaf paths, as in `".*/kernel"`.

    Raises:
        InputError: in `init`, `where` matches no leaf; `update` gets no params.

    >>> from lec7 import optim
    >>> tx = optax.chain(optim.scale_by_adam(), decoupled_weight_decay(0.1), optim.scale_by_learning_rate(0.5))
    >>> x = jnp.array(2.0)
    >>> updates, _ = tx.update(jnp.array(0.0), tx.init(x), x)
    >>> round(float(updates), 6)
    -0.1
    """
    return _add_decay(rate, where)


def _add_decay(rate: Scalar | Schedule, where: str) -> optax.GradientTransformationExtraArgs:
    if not callable(rate):
        check("the rate of weight decay", rate, NOT_NEGATIVE, "the part that a step of rate 1 takes off a parameter")

    def rates(t: jax.Array, params: Params) -> PyTree:
        now = jnp.asarray(rate(t) if callable(rate) else rate, float)
        return jax.tree.map(lambda chosen: jnp.where(chosen, now, 0), tree.select(params, where))

    def init(params: Params) -> DecayState:
        t = jnp.zeros((), jnp.int32)
        return DecayState(t, rates(t, params))

    def update(updates: PyTree, state: DecayState | Any, params: Params | None = None, **extra: Any):
        if params is None:
            raise InputError("weight decay needs the parameters: call update(updates, state, params)")
        now = rates(state.t, params)
        return each(lambda g, rate, x: g + rate * x, updates, now, params), DecayState(state.t + 1, now)

    return optax.GradientTransformationExtraArgs(init, update)
