"""The lecture's optimizers: a direction, times minus the learning rate.

Where the lecture, PyTorch and Optax mean different things by one name, `convention` says whose is meant; a number
that is left out is the convention's. `docs/optimizers.md` has the table.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import optax

from lec7.errors import InputError, nearest
from lec7.optim.adaptive import scale_by_adagrad, scale_by_adam, scale_by_amsgrad, scale_by_nadam, scale_by_rms
from lec7.optim.decay import decoupled_weight_decay
from lec7.optim.descent import scale_by_momentum, scale_by_nesterov
from lec7.optim.learning_rate import scale_by_learning_rate
from lec7.optim.second_order import bfgs, lbfgs, newton, newton_cg
from lec7.typing import Scalar, Schedule

Convention = Literal["lecture", "torch", "optax"]
"""Whose formula and whose defaults a name means."""
Optimizer = optax.GradientTransformationExtraArgs
Rate = Scalar | Schedule

CONVENTIONS: Mapping[str, Mapping[Convention, Mapping[str, Any]]] = {
    "sgd": {"lecture": {}, "torch": {}, "optax": {}},
    "momentum": {"lecture": {}, "torch": {}, "optax": {}},
    "nesterov": {
        "lecture": {"rate_in_velocity": True},
        "torch": {"rate_in_velocity": False},
        "optax": {"rate_in_velocity": False},
    },
    "adagrad": {
        "lecture": {"eps": 1e-7, "initial": 0.0, "eps_in_root": False},
        "torch": {"eps": 1e-10, "initial": 0.0, "eps_in_root": False},
        "optax": {"eps": 1e-7, "initial": 0.1, "eps_in_root": True},
    },
    "rmsprop": {
        "lecture": {"decay": 0.99, "eps": 1e-7, "eps_in_root": False},
        "torch": {"decay": 0.99, "eps": 1e-8, "eps_in_root": False},
        "optax": {"decay": 0.9, "eps": 1e-8, "eps_in_root": True},
    },
    "adam": {"lecture": {"eps": 1e-7}, "torch": {"eps": 1e-8}, "optax": {"eps": 1e-8}},
    "adamw": {
        "lecture": {"eps": 1e-7, "weight_decay": 1e-2},
        "torch": {"eps": 1e-8, "weight_decay": 1e-2},
        "optax": {"eps": 1e-8, "weight_decay": 1e-4},
    },
    "amsgrad": {
        "lecture": {"eps": 1e-7, "max_of_unbiased": False},
        "torch": {"eps": 1e-8, "max_of_unbiased": False},
        "optax": {"eps": 1e-8, "max_of_unbiased": True},
    },
    "nadam": {
        "lecture": {"eps": 1e-7, "momentum_decay": None},
        "torch": {"eps": 1e-8, "momentum_decay": 4e-3},
        "optax": {"eps": 1e-8, "momentum_decay": None},
    },
}
"""What each convention means by each name: numbers to go without, and where the formula differs."""


def _settings(name: str, convention: Convention, **given: Any) -> dict[str, Any]:
    """The convention's settings of an optimizer, with the numbers that were given in their places."""
    known = CONVENTIONS[name]
    if convention not in known:
        raise InputError(
            f"no convention {convention!r}, expected one of {', '.join(known)}{nearest(convention, list(known))}"
        )
    return {**known[convention], **{key: value for key, value in given.items() if value is not None}}


def sgd(learning_rate: Rate, convention: Convention = "lecture") -> Optimizer:
    """Stochastic gradient descent: `x -= a * g`.

    Source: lecture 7, "Optimization".

    Args:
        learning_rate: `a`, a number or a schedule.
        convention: all three agree.

    >>> import jax.numpy as jnp, optax
    >>> tx = sgd(0.1)
    >>> x = jnp.array(1.0)
    >>> updates, _ = tx.update(2 * x, tx.init(x))
    >>> round(float(optax.apply_updates(x, updates)), 6)
    0.8
    """
    _settings("sgd", convention)
    return scale_by_learning_rate(learning_rate)


def momentum(learning_rate: Rate, rho: Scalar = 0.9, convention: Convention = "lecture") -> Optimizer:
    """SGD with momentum: `v = rho * v + g; x -= a * v`.

    Source: lecture 7, "SGD + Momentum".

    Args:
        learning_rate: `a`, a number or a schedule.
        rho: friction, typically 0.9 or 0.99.
        convention: all three agree.

    >>> tx = momentum(0.01, rho=0.99)
    """
    _settings("momentum", convention)
    return optax.chain(scale_by_momentum(rho), scale_by_learning_rate(learning_rate))


def nesterov(learning_rate: Rate, rho: Scalar = 0.9, convention: Convention = "lecture") -> Optimizer:
    """Nesterov's momentum: `u = rho * v - a * g; x += -rho * v + (1 + rho) * u; v = u`.

    PyTorch and Optax keep the rate out of the velocity, which is the same as long as the rate is constant.

    Source: lecture 7, "Nesterov Momentum"; Nesterov, 1983; Sutskever et al., 2013.

    Args:
        learning_rate: `a`, a number or a schedule.
        rho: friction, typically 0.9 or 0.99.
        convention: whose order of velocity and rate.

    >>> tx = nesterov(0.01, rho=0.99)
    """
    velocity, rate = scale_by_nesterov(rho), scale_by_learning_rate(learning_rate)
    if _settings("nesterov", convention)["rate_in_velocity"]:
        return optax.chain(rate, velocity)
    return optax.chain(velocity, rate)


def adagrad(
    learning_rate: Rate, eps: Scalar | None = None, initial: Scalar | None = None, convention: Convention = "lecture"
) -> Optimizer:
    """AdaGrad: `s += g * g; x -= a * g / (sqrt(s) + eps)`.

    Source: lecture 7, "AdaGrad"; Duchi, Hazan and Singer, 2011.

    Args:
        learning_rate: `a`, a number or a schedule.
        eps: keeps the quotient finite.
        initial: what `s` starts from.
        convention: Optax starts `s` from 0.1 and has `eps` in the root.

    >>> tx = adagrad(0.1)
    """
    settings = _settings("adagrad", convention, eps=eps, initial=initial)
    return optax.chain(scale_by_adagrad(**settings), scale_by_learning_rate(learning_rate))


def rmsprop(
    learning_rate: Rate, decay: Scalar | None = None, eps: Scalar | None = None, convention: Convention = "lecture"
) -> Optimizer:
    """RMSProp: `s = decay * s + (1 - decay) * g * g; x -= a * g / (sqrt(s) + eps)`.

    With momentum it is a chain: PyTorch has `scale_by_momentum` between `scale_by_rms` and the learning rate, Optax
    after both.

    Source: lecture 7, "RMSProp"; Tieleman and Hinton, 2012.

    Args:
        learning_rate: `a`, a number or a schedule.
        decay: part of the mean square that is kept.
        eps: keeps the quotient finite.
        convention: Optax has `eps` in the root.

    >>> tx = rmsprop(1e-3, decay=0.9)
    """
    settings = _settings("rmsprop", convention, decay=decay, eps=eps)
    return optax.chain(scale_by_rms(**settings), scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: Rate,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar | None = None,
    convention: Convention = "lecture",
) -> Optimizer:
    """Adam: momentum over a root-mean-square of the gradient, both corrected for their start at 0.

    Source: lecture 7, "Adam (full form)", where `b1 = 0.9, b2 = 0.999` and a learning rate of 1e-3 or
    5e-4 are called a great starting point; Kingma and Ba, 2015.

    Args:
        learning_rate: `a`, a number or a schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.
        convention: all three agree but for `eps`.

    >>> tx = adam(1e-3)
    """
    settings = _settings("adam", convention, eps=eps)
    return optax.chain(scale_by_adam(b1, b2, **settings), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Rate,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar | None = None,
    weight_decay: Rate | None = None,
    where: str = ".*",
    convention: Convention = "lecture",
) -> Optimizer:
    """Adam with decoupled weight decay: `x -= a * (adam(g) + weight_decay * x)`.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.

    Args:
        learning_rate: `a`, a number or a schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.
        weight_decay: a number or a schedule.
        where: which parameters decay; a regular expression over whole leaf paths, as in `".*/kernel"`.
        convention: all three agree but for `eps` and the decay to go without (PyTorch 1e-2, Optax 1e-4).

    Raises:
        InputError: a number is known and out of range; there is no such convention; in `init`, a pattern that matches
            nothing.

    >>> tx = adamw(1e-3, weight_decay=0.05, where=".*kernel")
    """
    settings = _settings("adamw", convention, eps=eps, weight_decay=weight_decay)
    return optax.chain(
        scale_by_adam(b1, b2, settings["eps"]),
        decoupled_weight_decay(settings["weight_decay"], where),
        scale_by_learning_rate(learning_rate),
    )


def amsgrad(
    learning_rate: Rate,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar | None = None,
    convention: Convention = "lecture",
) -> Optimizer:
    """AMSGrad: Adam with the greatest second moment yet.

    Source: Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", 2018.

    Args:
        learning_rate: `a`, a number or a schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.
        convention: Optax takes the maximum after the bias correction, the paper and PyTorch ahead of it.

    >>> tx = amsgrad(1e-3)
    """
    settings = _settings("amsgrad", convention, eps=eps)
    return optax.chain(scale_by_amsgrad(b1, b2, **settings), scale_by_learning_rate(learning_rate))


def nadam(
    learning_rate: Rate,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar | None = None,
    momentum_decay: Scalar | None = None,
    convention: Convention = "lecture",
) -> Optimizer:
    """NAdam: Adam with Nesterov's look ahead.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.

    Args:
        learning_rate: `a`, a number or a schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.
        momentum_decay: `psi` of Dozat's `mu(t) = b1 * (1 - 0.5 * 0.96**(psi * t))`; without it `mu(t) = b1`.
        convention: PyTorch has a momentum decay of 4e-3, Optax none, nor has the paper's algorithm.

    >>> tx = nadam(1e-3)
    """
    settings = _settings("nadam", convention, eps=eps, momentum_decay=momentum_decay)
    psi = settings["momentum_decay"]
    mu = None if psi is None else lambda t: b1 * (1 - 0.5 * 0.96 ** (psi * t))
    return optax.chain(scale_by_nadam(b1, b2, settings["eps"], mu), scale_by_learning_rate(learning_rate))


Name = Literal[
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adam",
    "adamw",
    "amsgrad",
    "nadam",
    "newton",
    "newton_cg",
    "bfgs",
    "lbfgs",
]
"""What `by_name` knows; as the type of a hyperparameter, its choices on the command line."""

OPTIMIZERS: Mapping[Name, Callable[..., Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
    "amsgrad": amsgrad,
    "nadam": nadam,
}
"""The optimizers of first order, from a learning rate."""

SECOND_ORDER: Mapping[Name, Callable[..., Optimizer]] = {
    "newton": newton,
    "newton_cg": newton_cg,
    "bfgs": bfgs,
    "lbfgs": lbfgs,
}
"""The optimizers of second order, which find the length of a step by themselves."""


def by_name(name: Name, learning_rate: Rate, **settings: Any) -> Optimizer:
    """An optimizer by its name, for hyperparameters that choose one.

    Those of second order search for the length of each step: the learning rate is not for them.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: a number or a schedule.
        **settings: what else the optimizer of that name takes.

    Raises:
        InputError: there is no such optimizer.

    >>> tx = by_name("nesterov", 0.01, rho=0.99)
    >>> by_name("nestrov", 0.01)
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: no optimizer 'nestrov'; did you mean 'nesterov'?
    """
    if name in SECOND_ORDER:
        return SECOND_ORDER[name](**settings)
    if name not in OPTIMIZERS:
        raise InputError(f"no optimizer {name!r}{nearest(name, [*OPTIMIZERS, *SECOND_ORDER])}")
    return OPTIMIZERS[name](learning_rate, **settings)
