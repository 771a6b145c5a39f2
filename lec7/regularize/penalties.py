"""Penalties: what is added to the loss for the parameters themselves.

A penalty is a function from parameters to a dict of named scalars. `train.make_step(..., penalty=...)` adds their sum
to the loss that is minimized, and logs each by its name.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lec7 import tree
from lec7.errors import InputError, nearest, short
from lec7.ranges import NOT_NEGATIVE, number
from lec7.typing import Metrics, Params, Scalar, wide

Penalty = Callable[[Params], Metrics]
"""From parameters to named scalars, arrays of shape ()."""


def l2(rate: Scalar, where: str = ".*", name: str = "l2") -> Penalty:
    """L2: `rate * sum(W**2)`.

    Its gradient is `2 * rate * W`: the lecture's form, without the half that `optim.coupled_weight_decay` has, which
    equals this with `2 * rate`. With adaptive optimizers `optim.adamw` is what most mean by weight decay.

    Source: lecture 7, "Regularization: Add term to loss"; Krogh and Hertz, "A Simple Weight Decay Can Improve
    Generalization", 1991.

    Args:
        rate: lambda, at least 0; may be traced.
        where: which parameters; a regular expression over whole leaf paths, as in `".*/kernel"`.
        name: what it is called in logs.

    Raises:
        InputError: `rate` is known and negative or not finite; or, when called, `where` matches no leaf.

    >>> {name: float(x) for name, x in l2(0.5)({"w": jnp.array([1.0, 2.0])}).items()}
    {'l2': 2.5}
    """
    rate = _rate("rate", rate)
    return _sum(lambda w: rate * w**2, where, name)


def l1(rate: Scalar, where: str = ".*", name: str = "l1") -> Penalty:
    """L1: `rate * sum(|W|)`.

    Its gradient leads weights across 0 and back: for weights that are exactly 0, take `prox_l1` instead.

    Source: lecture 7, "Regularization: Add term to loss"; Tibshirani, "Regression Shrinkage and Selection via the
    Lasso", 1996.

    Args:
        rate: lambda, at least 0; may be traced.
        where: which parameters; a regular expression over whole leaf paths.
        name: what it is called in logs.

    Raises:
        InputError: `rate` is known and negative or not finite; or, when called, `where` matches no leaf.

    >>> float(l1(0.5)({"w": jnp.array([1.0, -2.0])})["l1"])
    1.5
    """
    rate = _rate("rate", rate)
    return _sum(lambda w: rate * jnp.abs(w), where, name)


def elastic_net(l1_rate: Scalar, l2_rate: Scalar, where: str = ".*", name: str = "elastic_net") -> Penalty:
    """Elastic net: `sum(l1_rate * |W| + l2_rate * W**2)`.

    The lecture's `lambda * sum(beta * W**2 + |W|)` is `elastic_net(lambda, lambda * beta)`.

    Source: lecture 7, "Regularization: Add term to loss"; Zou and Hastie, "Regularization and Variable Selection via
    the Elastic Net", 2005.

    Args:
        l1_rate: rate of the magnitudes, at least 0; may be traced.
        l2_rate: rate of the squares, at least 0; may be traced.
        where: which parameters; a regular expression over whole leaf paths.
        name: what it is called in logs.

    Raises:
        InputError: a rate is known and negative or not finite; or, when called, `where` matches no leaf.

    >>> float(elastic_net(1.0, 0.5)({"w": jnp.array([1.0, -2.0])})["elastic_net"])
    5.5
    """
    a, b = _rate("l1_rate", l1_rate), _rate("l2_rate", l2_rate)
    return _sum(lambda w: a * jnp.abs(w) + b * w**2, where, name)


def l2_sp(reference: Params, rate: Scalar, where: str = ".*", name: str = "l2_sp") -> Penalty:
    """L2-SP: `rate * sum((W - W0)**2)`, the squared distance to weights that training started from.

    For fine-tuning: what was learned before is not forgotten without need. New layers, which have no such weights, get
    `l2`: `penalties(l2_sp(pretrained, 0.1, "backbone/.*"), l2(0.01, "head/.*"))`.

    Source: Li, Grandvalet and Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks",
    2018, equation 3, whose alpha and beta are twice the rates.

    Args:
        reference: W0, parameters with at least the leaves that `where` matches.
        rate: at least 0; may be traced.
        where: which parameters; a regular expression over whole leaf paths.
        name: what it is called in logs.

    Raises:
        InputError: `rate` is known and negative or not finite; or, when called, `where` matches no leaf, or one that
            the reference lacks or has in another shape.

    >>> float(l2_sp({"w": jnp.ones(2)}, 0.5)({"w": jnp.array([1.0, 3.0])})["l2_sp"])
    2.0
    """
    rate, start = _rate("rate", rate), tree.named(reference)

    def term(path: str, w: jax.Array) -> jax.Array:
        if path not in start:
            raise InputError(
                f"the reference has no parameter {path!r}{nearest(path, list(start))}; let `where` match those alone "
                "that it has"
            )
        if jnp.shape(start[path]) != w.shape:
            raise InputError(f"the reference has {path!r} of shape {jnp.shape(start[path])}, expected {w.shape}")
        return rate * (w - start[path]) ** 2

    return _sum_named(term, where, name)


def penalties(*several: Penalty) -> Penalty:
    """Several penalties as one.

    Args:
        *several: penalties whose names differ; `l2(..., name="l2_head")` names one.

    Raises:
        InputError: one is none; when called, two have the same name.

    >>> both = penalties(l2(0.1, ".*kernel"), l1(0.01, ".*bias"))
    >>> sorted(both({"kernel": jnp.ones(2), "bias": jnp.ones(2)}))
    ['l1', 'l2']
    """
    for one in several:
        if not callable(one):
            raise InputError(f"{short(one)} is no penalty, expected such as regularize.l2(1e-4)")

    def penalty(params: Params) -> Metrics:
        found: Metrics = {}
        for one in several:
            terms = one(params)
            if twice := found.keys() & terms.keys():
                name = min(twice)
                raise InputError(f"two penalties are called {name!r}; give one another name, as in l2(rate, name=...)")
            found |= terms
        return found

    return penalty


def _rate(name: str, given: Scalar) -> jax.Array:
    return number(name, given, NOT_NEGATIVE, "how much the penalty counts")


def _sum(term: Callable[[jax.Array], jax.Array], where: str, name: str) -> Penalty:
    return _sum_named(lambda path, w: term(w), where, name)


def _sum_named(term: Callable[[str, jax.Array], jax.Array], where: str, name: str) -> Penalty:
    """The penalty that sums a term over all elements of the leaves that `where` matches, in float32 or wider."""

    def penalty(params: Params) -> Metrics:
        chosen = tree.named(tree.select(params, where))
        terms = [jnp.sum(term(path, w.astype(wide(w.dtype)))) for path, w in tree.named(params).items() if chosen[path]]
        return {name: sum(terms[1:], terms[0])}

    return penalty
