"""The lecture's optimizers: a direction, times minus the learning rate."""

import optax

from lec7.optim.transforms import scale_by_adam, scale_by_learning_rate, scale_by_momentum
from lec7.typing import Scalar, Schedule


def sgd(learning_rate: Scalar | Schedule) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient descent: `x -= a * g`.

    Source: lecture 7, "Optimization".

    >>> import jax.numpy as jnp, optax
    >>> tx = sgd(0.1)
    >>> x = jnp.array(1.0)
    >>> updates, _ = tx.update(2 * x, tx.init(x))
    >>> round(float(optax.apply_updates(x, updates)), 6)
    0.8
    """
    return scale_by_learning_rate(learning_rate)


def momentum(learning_rate: Scalar | Schedule, rho: Scalar = 0.9) -> optax.GradientTransformationExtraArgs:
    """SGD with momentum: `v = rho * v + g; x -= a * v`.

    Source: lecture 7, "SGD + Momentum".

    Args:
        learning_rate: `a`, a number or a schedule.
        rho: friction, typically 0.9 or 0.99.

    >>> tx = momentum(0.01, rho=0.99)
    """
    return optax.chain(scale_by_momentum(rho), scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: Scalar | Schedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-7
) -> optax.GradientTransformationExtraArgs:
    """Adam: momentum over a root-mean-square of the gradient, both corrected for their start at 0.

    Source: lecture 7, "Adam (full form)", where `b1 = 0.9, b2 = 0.999` and a learning rate of 1e-3 or
    5e-4 are called a great starting point; Kingma and Ba, 2015.

    Args:
        learning_rate: `a`, a number or a schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: keeps the quotient finite; added outside of the root.

    >>> tx = adam(1e-3)
    """
    return optax.chain(scale_by_adam(b1, b2, eps), scale_by_learning_rate(learning_rate))
