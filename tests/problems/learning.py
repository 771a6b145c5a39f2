"""Problems of learning in small: parameters in a dict, data from scikit-learn's digits, and a chain of any length."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

from problems.problem import Problem

dot = partial(jnp.matmul, precision="highest")  # a GPU would else round float32 to fewer digits

# The chain's minimum near x = (-1, 1, 1, ...) for n = 4, 5, ..., 12, and last the limit for large n, which n = 13 has
# to 2e-7. By SciPy's trust-exact in float64 from just that x, gradients below 1e-7.
NEAR_MINUS_ONE = (
    *(3.70142861043, 3.93083943413, 3.97394050093, 3.98360053642, 3.98588776960),
    *(3.98644282325, 3.98657911235, 3.98661276945, 3.98662110472, 3.98662385430),
)

# l2: the least value of `logistic_regression(l2)`. By SciPy's L-BFGS-B in float64 and six steps of Newton's method from
# there, gradients below 1e-16; scikit-learn's LogisticRegression(C=1 / (500 l2), solver="newton-cg", tol=1e-12) agrees
# to 14 digits.
LOGISTIC_REGRESSION = {1e-1: 1.60286379158674, 1e-2: 0.651814178114, 1e-3: 0.191211114139295, 1e-4: 0.0456555900883047}


@dataclass(frozen=True)
class Learning:
    """A function of a dict of parameters.

    Attributes:
        name: What it is called in tables.
        value: From parameters to a scalar in their dtype; the data is a constant in it.
        start: The parameters to begin with, in the default dtype of the moment that they were made.
        minimum: The least value where it is known.
    """

    name: str
    value: Callable[[dict], jax.Array]
    start: dict
    minimum: float | None = None


def rosenbrock_chain(n: int) -> Problem:
    """Σᵢ 100 (xᵢ₊₁ - xᵢ²)² + (1 - xᵢ)² over i < n, from x = (-1.2, 1, -1.2, ...).

    The residuals are those of "extended Rosenbrock", for neighbours instead of for pairs. From n = 4 on there is a
    second minimum near x = (-1, 1, 1, ...), of a value of nearly 4 (Kok and Sandrock 2009). Which of the two the start
    leads to is a matter of the solver.

    >>> rosenbrock_chain(4).minima
    (0.0, 3.70142861...)
    """

    def residuals(x):
        return jnp.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])

    other = (NEAR_MINUS_ONE[min(n, 13) - 4],) if n >= 4 else ()
    start = tuple(np.where(np.arange(n) % 2, 1.0, -1.2).tolist())
    return Problem(f"Rosenbrock chain, n = {n}", residuals, start, (0.0, *other))


@cache
def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first digits: images [count, 64] between 0 and 1, labels [count]."""
    images, labels = load_digits(return_X_y=True)
    return images[:count] / 16, labels[:count].astype(np.int32)


def logistic_regression(l2: float = 1e-3) -> Learning:
    """Mean cross-entropy of 500 digits plus l2/2 |W|², from zeros; convex, W = params["kernel"] [64, 10].

    The minimum is known for the values of `l2` in LOGISTIC_REGRESSION. It is one of f alone: a constant added to all of
    params["bias"] [10] changes nothing.
    """
    images, labels = digits(500)

    def value(params):
        kernel, bias = params["kernel"], params["bias"]
        logits = dot(jnp.asarray(images, kernel.dtype), kernel) + bias[None]
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -jnp.mean(log_p) + l2 / 2 * jnp.sum(kernel**2)

    start = {"kernel": jnp.zeros((64, 10)), "bias": jnp.zeros(10)}
    return Learning(f"logistic regression, l2 = {l2:g}", value, start, LOGISTIC_REGRESSION.get(l2))


def autoencoder(seed: int = 0) -> Learning:
    """Mean squared error of 200 digits after 64 → 16 (tanh) → 64 (linear), from a seeded start; not convex."""
    images, _ = digits(200)

    def value(params):
        encoder, decoder = params["encoder"], params["decoder"]
        x = jnp.asarray(images, encoder["kernel"].dtype)
        code = jnp.tanh(dot(x, encoder["kernel"]) + encoder["bias"][None])
        return jnp.mean((dot(code, decoder["kernel"]) + decoder["bias"][None] - x) ** 2)

    rng = np.random.default_rng(seed)

    def layer(inputs, outputs):
        kernel = rng.normal(size=(inputs, outputs)) / inputs**0.5
        return {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(outputs)}

    return Learning("autoencoder", value, {"encoder": layer(64, 16), "decoder": layer(16, 64)})
