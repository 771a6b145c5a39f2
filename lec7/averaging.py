"""Averages of the parameters (Polyak) as gradient transformations that go last in a chain.

They see `params + updates`, leave the updates as they are, and keep the average in their state:

>>> import jax.numpy as jnp, optax
>>> tx = optax.chain(optax.sgd(0.1), ema(0.9))
>>> params = {"w": jnp.array(1.0)}
>>> state = tx.init(params)
>>> updates, state = tx.update({"w": jnp.array(1.0)}, state, params)
>>> params = optax.apply_updates(params, updates)
>>> round(float(averaged_params(state, params)["w"]), 6)
0.9
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from lec7 import tree
from lec7.errors import InputError
from lec7.ranges import DECAY, number
from lec7.typing import PyTree, Scalar


@runtime_checkable
class Average(Protocol):
    """What `averaged_params` looks for: a state that tells the parameters to evaluate with."""

    def averaged(self, params: PyTree) -> PyTree:
        """The average, shaped and typed as `params`; `params` themselves before the first step."""
        ...


class EmaState(NamedTuple):
    """The running sum of weighted parameters, in float32 or wider, and the sum of the weights."""

    weight: jax.Array
    total: PyTree

    def averaged(self, params: PyTree) -> PyTree:
        """The weighted mean of the parameters seen; those of other groups as they are."""
        scale = 1 / jnp.where(self.weight > 0, self.weight, 1)

        def is_others(node):
            return isinstance(node, optax.MaskedNode)

        def mean(total, x):
            return x if is_others(total) else jnp.where(self.weight > 0, (total * scale).astype(x.dtype), x)

        return jax.tree.map(mean, self.total, params, is_leaf=is_others)


def ema(decay: Scalar, debias: bool = True) -> optax.GradientTransformationExtraArgs:
    """Exponential moving average of the parameters: `x_test = decay * x_test + (1 - decay) * x`.

    Source: lecture 7, "Polyak averaging", with 0.995 as decay; Polyak and Juditsky, 1992.

    Args:
        decay: part of the average that is kept, in [0, 1); may be traced.
        debias: weigh only parameters that training has reached, as Adam corrects its moments;
            otherwise the parameters at the start count as if they had been there for ever.

    Raises:
        InputError: `decay` is known and not in [0, 1); or `update` gets no params.
    """
    decay = number("decay", decay, DECAY, "the part of the average that a step keeps")

    def init(params):
        start = 0.0 if debias else 1.0
        wide = jax.tree.map(lambda x: start * x.astype(jnp.promote_types(x.dtype, jnp.float32)), params)
        return EmaState(weight=jnp.asarray(start, float), total=wide)

    def update(updates, state, params=None, **extra):
        if params is None:
            raise InputError("ema averages parameters: call update(updates, state, params)")
        weight = decay * state.weight + (1 - decay)
        new = optax.apply_updates(params, updates)
        total = jax.tree.map(lambda total, x: (decay * total + (1 - decay) * x).astype(total.dtype), state.total, new)
        return updates, EmaState(weight, total)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged_params(opt_state: PyTree, params: PyTree) -> PyTree:
    """The parameters to evaluate with: the average that a transform keeps somewhere in `opt_state`.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.
        params: the parameters as they are now.

    Raises:
        InputError: there is no average, or more than one.
    """
    averages = find(opt_state)
    if len(averages) != 1:
        raise InputError(
            f"the optimizer state holds {len(averages)} averages of the parameters, expected one; "
            "end the chain with one of lec7.averaging, as in optax.chain(optimizer, averaging.ema(0.999))"
        )
    return averages[0].averaged(params)


def find(opt_state: PyTree) -> list[Average]:
    """The states of all averages in an optimizer's state, in order."""
    return tree.nodes(opt_state, Average)
