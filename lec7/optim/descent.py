"""Directions with a velocity: momentum and Nesterov's."""

from typing import Any, NamedTuple

import optax

from lec7.optim.leafwise import decays, each, zeros
from lec7.typing import Params, PyTree, Scalar


class MomentumState(NamedTuple):
    """The velocity `v`, shaped as the parameters."""

    v: PyTree


def scale_by_momentum(rho: Scalar = 0.9) -> optax.GradientTransformationExtraArgs:
    """Momentum's velocity: `v = rho * v + g`, from 0.

    Source: lecture 7, "SGD + Momentum".

    Args:
        rho: friction, the part of the velocity that is kept; typically 0.9 or 0.99.

    Raises:
        InputError: `rho` is known and not in [0, 1).

    >>> import jax.numpy as jnp
    >>> tx = scale_by_momentum(0.9)
    >>> v, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
    >>> v, state = tx.update(jnp.array(1.0), state)
    >>> round(float(v), 6)
    1.9
    """
    (rho,) = decays(rho=rho)

    def update(updates: PyTree, state: MomentumState | Any, params: Params | None = None, **extra: Any):
        v = each(lambda v, g: rho * v + g, state.v, updates)
        return each(lambda g, v: v, updates, v), MomentumState(v)

    return optax.GradientTransformationExtraArgs(lambda params: MomentumState(zeros(params)), update)


def scale_by_nesterov(rho: Scalar = 0.9) -> optax.GradientTransformationExtraArgs:
    """Nesterov's look ahead: `v = rho * v + g`, and the direction `g + rho * v`.

    Source: lecture 7, "Nesterov Momentum", in the variable in which the gradient is taken where the parameters are.
    The lecture's form has the learning rate inside of the velocity: put `scale_by_learning_rate` ahead of this, and
    not after it. With a constant rate the two orders agree.

    Args:
        rho: friction, as in `scale_by_momentum`.

    Raises:
        InputError: `rho` is known and not in [0, 1).

    >>> import jax.numpy as jnp
    >>> tx = scale_by_nesterov(0.5)
    >>> direction, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
    >>> float(direction)
    1.5
    """
    (rho,) = decays(rho=rho)

    def update(updates: PyTree, state: MomentumState | Any, params: Params | None = None, **extra: Any):
        v = each(lambda v, g: rho * v + g, state.v, updates)
        return each(lambda g, v: g + rho * v, updates, v), MomentumState(v)

    return optax.GradientTransformationExtraArgs(lambda params: MomentumState(zeros(params)), update)
