"""The cores of the optimizers: each turns a gradient `g` into a direction, as its equation says.

Hyperparameters become arrays at once, so that arithmetic on them rounds the same whether they are
known or traced; the result has the gradient's dtype.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.typing import PyTree, Scalar, Schedule


class MomentumState(NamedTuple):
    """The velocity `v`, shaped as the parameters."""

    v: PyTree


def scale_by_momentum(rho: Scalar = 0.9) -> optax.GradientTransformationExtraArgs:
    """Momentum's velocity: `v = rho * v + g`, from 0.

    Source: lecture 7, "SGD + Momentum".

    Args:
        rho: friction, the part of the velocity that is kept; typically 0.9 or 0.99.

    >>> import jax.numpy as jnp
    >>> tx = scale_by_momentum(0.9)
    >>> v, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
    >>> v, state = tx.update(jnp.array(1.0), state)
    >>> round(float(v), 6)
    1.9
    """
    rho = jnp.asarray(rho, float)

    def init(params):
        return MomentumState(v=jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None, **extra):
        v = jax.tree.map(lambda v, g: (rho * v + g).astype(g.dtype), state.v, updates)
        return v, MomentumState(v)

    return optax.GradientTransformationExtraArgs(init, update)


class AdamState(NamedTuple):
    """Steps taken (int32 array of shape ()), and the first and second moments."""

    t: jax.Array
    m: PyTree
    s: PyTree


def scale_by_adam(b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-7) -> optax.GradientTransformationExtraArgs:
    """Adam's direction, with bias correction; `t` counts from 1.

        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * g * g
        (m / (1 - b1**t)) / (sqrt(s / (1 - b2**t)) + eps)

    Source: lecture 7, "Adam (full form)"; Kingma and Ba, "Adam", 2015, with the lecture's eps of 1e-7.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.

    >>> import jax.numpy as jnp
    >>> tx = scale_by_adam()
    >>> direction, _ = tx.update(jnp.array(0.02), tx.init(jnp.array(0.0)))
    >>> round(float(direction), 4)
    1.0
    """
    b1, b2, eps = (jnp.asarray(number, float) for number in (b1, b2, eps))

    def init(params):
        m, s = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return AdamState(jnp.zeros((), jnp.int32), m, s)

    def update(updates, state, params=None, **extra):
        t = state.t + 1
        m = jax.tree.map(lambda m, g: (b1 * m + (1 - b1) * g).astype(g.dtype), state.m, updates)
        s = jax.tree.map(lambda s, g: (b2 * s + (1 - b2) * g * g).astype(g.dtype), state.s, updates)
        m_unbias, s_unbias = 1 / (1 - b1**t), 1 / (1 - b2**t)

        def direction(m, s):
            return ((m * m_unbias) / (jnp.sqrt(s * s_unbias) + eps)).astype(m.dtype)

        return jax.tree.map(direction, m, s), AdamState(t, m, s)

    return optax.GradientTransformationExtraArgs(init, update)


class LearningRateState(NamedTuple):
    """Steps taken (int32 array of shape ()), and the rate of the latest one (of the first one, before it)."""

    t: jax.Array
    learning_rate: jax.Array


def scale_by_learning_rate(learning_rate: Scalar | Schedule) -> optax.GradientTransformationExtraArgs:
    """The step downhill: `-a * g`, where `a` is a number or a schedule's value.

    The rate in force is kept in the state, for the logs; its type is the same for numbers and schedules.

    >>> import jax.numpy as jnp
    >>> tx = scale_by_learning_rate(lambda step: 0.5 ** step)
    >>> g = jnp.array(1.0)
    >>> update, state = tx.update(g, tx.init(g))
    >>> update, state = tx.update(g, state)
    >>> float(update), float(state.learning_rate)
    (-0.5, 0.5)
    """

    def rate(t):
        return jnp.asarray(learning_rate(t) if callable(learning_rate) else learning_rate, float)

    def init(params):
        t = jnp.zeros((), jnp.int32)
        return LearningRateState(t, rate(t))

    def update(updates, state, params=None, **extra):
        a = rate(state.t)
        return jax.tree.map(lambda g: (-a * g).astype(g.dtype), updates), LearningRateState(state.t + 1, a)

    return optax.GradientTransformationExtraArgs(init, update)


def learning_rates(opt_state: PyTree) -> list[jax.Array]:
    """The rates in force: one for each `scale_by_learning_rate` in an optimizer's state, in order.

    >>> import jax.numpy as jnp
    >>> state = scale_by_learning_rate(0.5).init(jnp.array(0.0))
    >>> [float(rate) for rate in learning_rates((optax.EmptyState(), state))]
    [0.5]
    """

    def is_rate(node):
        return isinstance(node, LearningRateState)

    nodes = jax.tree.leaves(opt_state, is_leaf=is_rate)
    return [node.learning_rate for node in nodes if is_rate(node)]
