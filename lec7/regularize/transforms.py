"""Regularizers as gradient transformations: proximal steps, a limit to norms, noise, and sharpness-aware gradients."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7 import random, tree
from lec7.errors import InputError, short
from lec7.ranges import NOT_NEGATIVE, POSITIVE, number
from lec7.typing import Key, Params, PyTree, Scalar, Schedule, ValueFn, wide


class ProximalState(NamedTuple):
    """Steps taken, int32 of shape ()."""

    t: jax.Array


def prox_l1(rate: Scalar, learning_rate: Scalar | Schedule, where: str = ".*") -> optax.GradientTransformationExtraArgs:
    """Lasso by proximal steps: after the step to z, `x = sign(z) * max(|z| - a * rate, 0)`.

    Behind plain gradient descent, `optax.chain(optim.sgd(a), prox_l1(rate, a))`, this minimizes the loss plus
    `rate * sum(|x|)`, with weights that are exactly 0. Put it last, ahead of nothing but averages. Behind an adaptive
    optimizer it shrinks all weights by the same amount, and the zeros are exact as well, but what is minimized is
    something else.

    Source: Daubechies, Defrise and De Mol, "An Iterative Thresholding Algorithm", 2004 (ISTA); Parikh and Boyd,
    "Proximal Algorithms", 2014, section 6.5.2.

    Args:
        rate: that of the penalty, at least 0; may be traced.
        learning_rate: `a`, that of the step ahead of it, a number or a schedule.
        where: which parameters; a regular expression over whole leaf paths, as in `".*/kernel"`.

    Raises:
        InputError: a number is known and out of range; in `init`, `where` matches no leaf; `update` gets no params.

    >>> tx = optax.chain(optax.sgd(1.0), prox_l1(0.5, 1.0))
    >>> x = jnp.array([2.0, 1.0, -3.0])
    >>> updates, _ = tx.update(jnp.array([0.0, 0.8, 0.0]), tx.init(x), x)
    >>> optax.apply_updates(x, updates).tolist()
    [1.5, 0.0, -2.5]
    """
    l1 = _rate("rate", rate)
    return _proximal(lambda z, a: _shrunk(z, a * l1), learning_rate, where, "prox_l1")


def prox_elastic_net(
    l1_rate: Scalar, l2_rate: Scalar, learning_rate: Scalar | Schedule, where: str = ".*"
) -> optax.GradientTransformationExtraArgs:
    """Elastic net by proximal steps: after the step to z, `x = sign(z) * max(|z| - a * l1, 0) / (1 + 2 * a * l2)`.

    What `prox_l1` is for L1, for `sum(l1_rate * |x| + l2_rate * x**2)`, which is `elastic_net(l1_rate, l2_rate)`.

    Source: Zou and Hastie, "Regularization and Variable Selection via the Elastic Net", 2005; Parikh and Boyd,
    "Proximal Algorithms", 2014, section 6.5.3.

    Args:
        l1_rate: rate of the magnitudes, at least 0; may be traced.
        l2_rate: rate of the squares, at least 0; may be traced.
        learning_rate: `a`, that of the step ahead of it, a number or a schedule.
        where: which parameters; a regular expression over whole leaf paths.

    Raises:
        InputError: a number is known and out of range; in `init`, `where` matches no leaf; `update` gets no params.

    >>> tx = optax.chain(optax.sgd(1.0), prox_elastic_net(0.5, 0.5, 1.0))
    >>> x = jnp.array([2.5, 0.3])
    >>> updates, _ = tx.update(jnp.zeros(2), tx.init(x), x)
    >>> optax.apply_updates(x, updates).tolist()
    [1.0, 0.0]
    """
    l1, l2 = _rate("l1_rate", l1_rate), _rate("l2_rate", l2_rate)
    return _proximal(lambda z, a: _shrunk(z, a * l1) / (1 + 2 * a * l2), learning_rate, where, "prox_elastic_net")


def max_norm(
    limit: Scalar, axes: int | Sequence[int] | None = None, where: str = ".*kernel"
) -> optax.GradientTransformationExtraArgs:
    """A limit to the norm of each unit's incoming weights: after the step, `w *= min(1, limit / |w|)`.

    Put it last, ahead of nothing but averages. With it large learning rates don't blow up weights; Srivastava et al.
    use it with dropout.

    Source: Srivastava et al., "Dropout", 2014, section 5.1, where the limit is 3 or 4.

    Args:
        limit: the largest norm, more than 0; may be traced.
        axes: which axes of a leaf a unit's weights lie along; by default all but the last, as those of Flax's kernels
            [..., inputs, units] do.
        where: which parameters; a regular expression over whole leaf paths.

    Raises:
        InputError: the limit is known and not more than 0, or `axes` are no ints; in `init`, `where` matches no leaf,
            or one without these axes; `update` gets no params.

    >>> tx = optax.chain(optax.sgd(1.0), max_norm(1.0))
    >>> params = {"kernel": jnp.array([[3.0, 0.5], [4.0, 0.0]])}
    >>> updates, _ = tx.update({"kernel": jnp.zeros((2, 2))}, tx.init(params), params)
    >>> [round(float(w), 2) for w in optax.apply_updates(params, updates)["kernel"].ravel()]
    [0.6, 0.5, 0.8, 0.0]
    """
    limit = number("limit", limit, POSITIVE, "the largest norm of a unit's weights")
    given = () if axes is None else tuple(axes) if isinstance(axes, Sequence) else (axes,)
    if not all(isinstance(axis, int) for axis in given):
        raise InputError(f"axes is {short(axes)}, expected an int or several: the axes that a unit's weights lie along")

    def axes_of(x: jax.Array) -> tuple[int, ...]:
        return tuple(range(x.ndim - 1)) if axes is None else given

    def check(path: str, chosen: bool, x: jax.Array) -> None:
        if chosen and (not axes_of(x) or not all(-x.ndim <= axis < x.ndim for axis in axes_of(x))):
            wanted = "at least two axes, units last" if axes is None else f"axes {axes_of(x)}"
            raise InputError(
                f"{path!r} has shape {x.shape}, expected {wanted}, for a norm over each unit's weights; let `where` "
                "match kernels alone, or say which `axes` a unit's weights lie along"
            )

    def init(params: Params) -> optax.EmptyState:
        tree.map_named(check, tree.select(params, where), params)
        return optax.EmptyState()

    def step(u: jax.Array, x: jax.Array) -> jax.Array:
        z = _after(x, u).astype(wide(x.dtype))
        norm = jnp.sqrt(jnp.sum(z * z, axis=axes_of(x), keepdims=True))
        # Units within the limit make the very step that they would make without it.
        return jnp.where(norm > limit, z * (limit / jnp.where(norm > 0, norm, 1)) - x, u)

    def update(updates: PyTree, state: PyTree, params: Params | None = None, **extra: Any):
        return _where(step, where, updates, _given(params, "max_norm")), state

    return optax.GradientTransformationExtraArgs(init, update)


class GradientNoiseState(NamedTuple):
    """Steps taken (int32 of shape ()), and the key, which never changes."""

    t: jax.Array
    key: Key


def gradient_noise(key: Key, eta: Scalar, gamma: Scalar) -> optax.GradientTransformationExtraArgs:
    """Noise on the gradient that dies out: `g + e`, `e` normal with variance `eta / (1 + t)**gamma` at step t from 0.

    Put it first in a chain. The noise is a pure function of key, step and leaf path, so that a run that goes on draws
    what an uninterrupted one drew, and members of `optim.groups` draw apart; `optax.add_noise`, which this is but for
    that, splits its key at each step.

    Source: Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015, where eta is
    0.01, 0.3 or 1 and gamma 0.55.

    Args:
        key: PRNG key; of a seed that is swept, each run has its own.
        eta: the variance at the first step, at least 0; may be traced. With 0 it is the exact identity.
        gamma: how fast it dies out, at least 0; may be traced.

    Raises:
        InputError: a number is known and negative or not finite.

    >>> tx = gradient_noise(jax.random.key(0), 0.01, 0.55)
    >>> g = jnp.zeros(100_000)
    >>> noisy, _ = tx.update(g, tx.init(g))
    >>> float(jnp.std(noisy)).__round__(2)
    0.1
    """
    eta, gamma, key = _rate("eta", eta), _rate("gamma", gamma), random.typed(key)

    def init(params: Params) -> GradientNoiseState:
        # Its own memory: that of a state is handed on from step to step.
        return GradientNoiseState(jnp.zeros((), jnp.int32), jnp.copy(key))

    def update(updates: PyTree, state: GradientNoiseState | Any, params: Params | None = None, **extra: Any):
        std = jnp.sqrt(eta / (1.0 + state.t) ** gamma)

        def noisy(path: str, g: jax.Array) -> jax.Array:
            e = std * jax.random.normal(random.stream(state.key, path, state.t), g.shape, wide(g.dtype))
            return jnp.where(eta > 0, g + e, g).astype(g.dtype)

        return tree.map_named(noisy, updates), state._replace(t=state.t + 1)

    return optax.GradientTransformationExtraArgs(init, update)


class SamState(NamedTuple):
    """The state of the optimizer inside."""

    inner: Any


def sam(tx: optax.GradientTransformation, rho: Scalar = 0.05) -> optax.GradientTransformationExtraArgs:
    """Sharpness-aware minimization: `tx` with the gradient at `x + rho * g / |g|`, uphill from where x is.

    The norm is over all parameters (in `optim.groups`, over the member's). It takes two gradients a step: the second
    one of `value_fn`, with the step's batch and noise, which `train.make_step` gives to each optimizer. `tx` gets it as
    `grad`, and `value` as it was at x. Put gradient clipping and the like inside. `optim.accumulate` goes inside as
    well, `sam(accumulate(tx, k))`: around, `value_fn` would know the latest micro-batch alone.

    Source: Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", 2021, equation 2 and
    algorithm 1, where rho is 0.05. Optax's `contrib.sam` has the other steps of the paper's appendix.

    Args:
        tx: any Optax transformation.
        rho: how far uphill, in units of the parameters' norm, at least 0; may be traced. With 0 it is `tx`.

    Raises:
        InputError: `tx` is no transformation; `rho` is known and negative or not finite; `update` gets no params, or no
            `value_fn`.

    >>> tx, x = sam(optax.sgd(1.0), rho=0.5), jnp.array(2.0)
    >>> f = lambda x: x**2
    >>> updates, _ = tx.update(jax.grad(f)(x), tx.init(x), x, value_fn=f)
    >>> float(updates)  # minus the gradient at 2.5
    -5.0
    """
    rho = _rate("rho", rho)
    if not (hasattr(tx, "init") and hasattr(tx, "update")):
        raise InputError(f"sam is around {short(tx)}, expected an optimizer: sam(optim.sgd(0.1), rho=0.05)")
    inside = optax.with_extra_args_support(tx)

    def update(
        updates: PyTree,
        state: SamState | Any,
        params: Params | None = None,
        *,
        grad: PyTree | None = None,
        value_fn: ValueFn | None = None,
        **extra: Any,
    ):
        x = _given(params, "sam")
        if value_fn is None:
            raise InputError(
                "sam needs the function that it descends, for a second gradient: call update(grads, state, params, "
                "value_fn=...); train.make_step does"
            )
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g.astype(wide(g.dtype)))) for g in jax.tree.leaves(updates)))
        factor = rho / jnp.where(norm > 0, norm, 1)
        uphill = jax.tree.map(lambda x, g: (x + factor * g).astype(x.dtype), x, updates)
        sharp = jax.grad(value_fn)(uphill)
        updates, inner = inside.update(sharp, state.inner, params, grad=sharp, value_fn=value_fn, **extra)
        return updates, SamState(inner)

    return optax.GradientTransformationExtraArgs(lambda params: SamState(tx.init(params)), update)


def _proximal(
    prox: Callable[[jax.Array, jax.Array], jax.Array], learning_rate: Scalar | Schedule, where: str, name: str
) -> optax.GradientTransformationExtraArgs:
    """The transform that goes from z, where a step leads, to `prox(z, a)`."""
    rate = learning_rate if callable(learning_rate) else _rate("learning_rate", learning_rate)

    def init(params: Params) -> ProximalState:
        tree.select(params, where)
        return ProximalState(jnp.zeros((), jnp.int32))

    def update(updates: PyTree, state: ProximalState | Any, params: Params | None = None, **extra: Any):
        a = jnp.asarray(rate(state.t), float) if callable(rate) else rate

        # x + (0 - x) is 0 to the last bit.
        def step(u: jax.Array, x: jax.Array) -> jax.Array:
            return prox(_after(x, u), a) - x

        return _where(step, where, updates, _given(params, name)), ProximalState(state.t + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def _shrunk(z: jax.Array, by: jax.Array) -> jax.Array:
    """The soft threshold: towards 0, and no farther."""
    return jnp.sign(z) * jnp.maximum(jnp.abs(z) - by, 0)


def _where(step: Callable[..., jax.Array], where: str, updates: PyTree, params: Params) -> PyTree:
    """`step(u, x)` for the leaves that a pattern matches, and for others the updates as they are."""

    def one(chosen: bool, u: jax.Array, x: jax.Array) -> jax.Array:
        return step(u, x).astype(u.dtype) if chosen else u

    return jax.tree.map(one, tree.select(params, where), updates, params)


def _after(x: jax.Array, u: jax.Array) -> Any:
    """The parameter after the step, rounded as the step will round it."""
    return optax.apply_updates(x, u)


def _given(params: Params | None, name: str) -> Params:
    if params is None:
        raise InputError(f"{name} needs the parameters: call update(updates, state, params)")
    return params


def _rate(name: str, given: Scalar) -> jax.Array:
    return number(name, given, NOT_NEGATIVE, "a rate; 0 is none")
