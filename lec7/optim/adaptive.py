"""Directions with a rate of their own for each parameter: AdaGrad, RMSProp, Adam and Adam's relatives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.optim.leafwise import decays, each, numbers, real, square, zeros
from lec7.typing import Params, PyTree, Scalar


class SquaresState(NamedTuple):
    """The sum or mean of squared gradients `s`, shaped as the parameters, real."""

    s: PyTree


def scale_by_adagrad(
    eps: Scalar = 1e-7, initial: Scalar = 0.0, eps_in_root: bool = False
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad's direction: `s += g * g; g / (sqrt(s) + eps)`.

    Source: lecture 7, "AdaGrad"; Duchi, Hazan and Singer, 2011.

    Args:
        eps: keeps the quotient finite.
        initial: what `s` starts from.
        eps_in_root: divide by `sqrt(s + eps)` instead, as Optax does.

    Raises:
        InputError: `eps` or `initial` is known and negative or not finite.

    >>> tx = scale_by_adagrad()
    >>> direction, state = tx.update(jnp.array(3.0), tx.init(jnp.array(0.0)))
    >>> direction, state = tx.update(jnp.array(4.0), state)
    >>> round(float(direction), 4)
    0.8
    """
    initial, eps = numbers(initial=initial, eps=eps)

    def update(updates: PyTree, state: SquaresState | Any, params: Params | None = None, **extra: Any):
        s = each(lambda s, g: s + square(g), state.s, updates)
        return each(lambda g, s: _quotient(g, s, eps, eps_in_root), updates, s), SquaresState(s)

    return optax.GradientTransformationExtraArgs(lambda params: SquaresState(real(params, initial)), update)


def scale_by_rms(
    decay: Scalar = 0.99, eps: Scalar = 1e-7, eps_in_root: bool = False
) -> optax.GradientTransformationExtraArgs:
    """RMSProp's direction: `s = decay * s + (1 - decay) * g * g; g / (sqrt(s) + eps)`, from 0.

    Source: lecture 7, "RMSProp"; Tieleman and Hinton, 2012.

    Args:
        decay: part of the mean square that is kept.
        eps: keeps the quotient finite.
        eps_in_root: divide by `sqrt(s + eps)` instead, as Optax does.

    Raises:
        InputError: `decay` is known and not in [0, 1).

    >>> tx = scale_by_rms(decay=0.75)
    >>> direction, _ = tx.update(jnp.array(3.0), tx.init(jnp.array(0.0)))
    >>> round(float(direction), 4)
    2.0
    """
    (decay,), (eps,) = decays(decay=decay), numbers(eps=eps)

    def update(updates: PyTree, state: SquaresState | Any, params: Params | None = None, **extra: Any):
        s = each(lambda s, g: decay * s + (1 - decay) * square(g), state.s, updates)
        return each(lambda g, s: _quotient(g, s, eps, eps_in_root), updates, s), SquaresState(s)

    return optax.GradientTransformationExtraArgs(lambda params: SquaresState(real(params)), update)


def _quotient(g: jax.Array, s: jax.Array, eps: jax.Array, eps_in_root: bool) -> jax.Array:
    if eps_in_root:
        return jnp.where(s > 0, g / jnp.sqrt(jnp.where(s > 0, s, 1) + eps), 0)
    return g / (jnp.sqrt(s) + eps)


class AdamState(NamedTuple):
    """Steps taken (int32 array of shape ()), and the first and second moments, shaped as the parameters."""

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

    Raises:
        InputError: `b1` or `b2` is known and not in [0, 1).

    >>> tx = scale_by_adam()
    >>> direction, _ = tx.update(jnp.array(0.02), tx.init(jnp.array(0.0)))
    >>> round(float(direction), 4)
    1.0
    """
    (b1, b2), (eps,) = decays(b1=b1, b2=b2), numbers(eps=eps)

    def init(params: Params) -> AdamState:
        return AdamState(jnp.zeros((), jnp.int32), zeros(params), real(params))

    def update(updates: PyTree, state: AdamState | Any, params: Params | None = None, **extra: Any):
        t, m, s = _moments(updates, state, b1, b2)
        m_unbias, s_unbias = 1 / (1 - b1**t), 1 / (1 - b2**t)

        def direction(g: jax.Array, m: jax.Array, s: jax.Array) -> jax.Array:
            return (m * m_unbias) / (jnp.sqrt(s * s_unbias) + eps)

        return each(direction, updates, m, s), AdamState(t, m, s)

    return optax.GradientTransformationExtraArgs(init, update)


class AmsgradState(NamedTuple):
    """Adam's state, and the greatest second moment yet."""

    t: jax.Array
    m: PyTree
    s: PyTree
    s_max: PyTree


def scale_by_amsgrad(
    b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-7, max_of_unbiased: bool = False
) -> optax.GradientTransformationExtraArgs:
    """AMSGrad's direction: Adam's with the greatest second moment yet, so that no rate ever grows.

        s_max = max(s_max, s)
        (m / (1 - b1**t)) / (sqrt(s_max / (1 - b2**t)) + eps)

    Source: Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", 2018, algorithm 2, with Adam's bias
    correction, as PyTorch has it.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.
        max_of_unbiased: take the maximum after the second moment's bias correction, as Optax does.

    Raises:
        InputError: `b1` or `b2` is known and not in [0, 1).

    >>> tx = scale_by_amsgrad()
    >>> direction, _ = tx.update(jnp.array(0.02), tx.init(jnp.array(0.0)))
    >>> round(float(direction), 4)
    1.0
    """
    (b1, b2), (eps,) = decays(b1=b1, b2=b2), numbers(eps=eps)

    def init(params: Params) -> AmsgradState:
        return AmsgradState(jnp.zeros((), jnp.int32), zeros(params), real(params), real(params))

    def update(updates: PyTree, state: AmsgradState | Any, params: Params | None = None, **extra: Any):
        t, m, s = _moments(updates, state, b1, b2)
        m_unbias, s_unbias = 1 / (1 - b1**t), 1 / (1 - b2**t)
        before, after = (s_unbias, 1.0) if max_of_unbiased else (1.0, s_unbias)
        s_max = each(lambda s_max, s: jnp.maximum(s_max, s * before), state.s_max, s)

        def direction(g: jax.Array, m: jax.Array, s_max: jax.Array) -> jax.Array:
            return (m * m_unbias) / (jnp.sqrt(s_max * after) + eps)

        return each(direction, updates, m, s_max), AmsgradState(t, m, s, s_max)

    return optax.GradientTransformationExtraArgs(init, update)


class NadamState(NamedTuple):
    """Adam's state, and the product of the momenta `mu` yet (float array of shape ())."""

    t: jax.Array
    m: PyTree
    s: PyTree
    mu_product: jax.Array


def scale_by_nadam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-7,
    mu: Callable[[jax.Array], jax.Array] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """NAdam's direction: Adam's with Nesterov's look ahead; `mu(t)` is the momentum of step t, from 1.

        ahead = mu(t+1) * m / (1 - mu(1)...mu(t+1)) + (1 - mu(t)) * g / (1 - mu(1)...mu(t))
        ahead / (sqrt(s / (1 - b2**t)) + eps)

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.
        mu: the momentum of each step, a pure function of a float array of shape (); by default `b1` always.

    Raises:
        InputError: `b1` or `b2` is known and not in [0, 1).

    >>> tx = scale_by_nadam()
    >>> direction, _ = tx.update(jnp.array(0.02), tx.init(jnp.array(0.0)))
    >>> round(float(direction), 4)
    1.4737
    """
    (b1, b2), (eps,) = decays(b1=b1, b2=b2), numbers(eps=eps)
    momentum = (lambda t: b1) if mu is None else mu

    def init(params: Params) -> NadamState:
        return NadamState(jnp.zeros((), jnp.int32), zeros(params), real(params), jnp.ones((), float))

    def update(updates: PyTree, state: NadamState | Any, params: Params | None = None, **extra: Any):
        t, m, s = _moments(updates, state, b1, b2)
        now, later = momentum(t.astype(float)), momentum((t + 1).astype(float))
        product = state.mu_product * now
        s_unbias = 1 / (1 - b2**t)

        def direction(g: jax.Array, m: jax.Array, s: jax.Array) -> jax.Array:
            ahead = later * m / (1 - product * later) + (1 - now) * g / (1 - product)
            return ahead / (jnp.sqrt(s * s_unbias) + eps)

        return each(direction, updates, m, s), NadamState(t, m, s, product)

    return optax.GradientTransformationExtraArgs(init, update)


def _moments(
    updates: PyTree, state: AdamState | AmsgradState | NadamState, b1: jax.Array, b2: jax.Array
) -> tuple[jax.Array, PyTree, PyTree]:
    """The number of this step, and both moments after it."""
    m = each(lambda m, g: b1 * m + (1 - b1) * g, state.m, updates)
    s = each(lambda s, g: b2 * s + (1 - b2) * square(g), state.s, updates)
    return state.t + 1, m, s
