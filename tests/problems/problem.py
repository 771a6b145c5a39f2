"""What a least-squares problem is: residuals, a start, and the minima that are known."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


@dataclass(frozen=True)
class Problem:
    """f(x) = Σ rᵢ(x)², without a factor of a half.

    Attributes:
        name: As the literature calls it.
        residuals: From x [n] to r [M], in x's dtype.
        start: The standard start [n].
        minima: The least value of f first, then the values of other minima that are known, those included that are only
            approached as x goes to infinity.

    >>> from problems import PROBLEMS
    >>> rosenbrock = PROBLEMS["Rosenbrock"]
    >>> rosenbrock.residuals(jnp.asarray(rosenbrock.start))
    Array([-4.4...,  2.2...], dtype=float32)
    >>> rosenbrock.reaches(24.2), rosenbrock.reaches(1e-12)
    (False, True)
    """

    name: str
    residuals: Callable[[jax.Array], jax.Array]
    start: tuple[float, ...]
    minima: tuple[float, ...]

    def value(self, x: ArrayLike) -> jax.Array:
        """f(x) = Σ rᵢ(x)², a scalar."""
        return jnp.sum(self.residuals(jnp.asarray(x)) ** 2)

    def reaches(self, value: float, rtol: float = 1e-5, atol: float = 1e-10) -> bool:
        """Whether `value` is one of the minima: to `rtol` of it, and to `atol` where the minimum is zero."""
        return any(abs(value - minimum) <= (rtol * minimum or atol) for minimum in self.minima)


def upto(n: int) -> np.ndarray:
    """1, 2, ..., n in double precision: constants are worked out in it, and only then rounded to x's dtype."""
    return np.arange(1.0, n + 1)


def like(x: jax.Array, *constants: ArrayLike) -> list[jax.Array]:
    """Constants in x's dtype, so that x keeps its own."""
    return [jnp.asarray(c, x.dtype) for c in constants]
