"""What all solve: functions of a vector in float64, each from its start until its gradient is small enough."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from problems import PROBLEMS, Problem, autoencoder, logistic_regression, rosenbrock_chain

STEPS = EVALUATIONS = 10_000
QUICK = ("Rosenbrock", "Wood", "Biggs EXP6", "Brown-Dennis", "Chebyquad")


@dataclass(frozen=True)
class Task:
    """A function of a vector, where to start, which gradient is small enough, and the minima if they are known."""

    name: str
    value: Callable[[jax.Array], jax.Array]
    start: np.ndarray
    atol: float
    minima: tuple[float, ...]

    reaches = Problem.reaches  # reads the minima alone


def tasks(quick: bool) -> list[Task]:
    chains = [rosenbrock_chain(n) for n in (10, 100, 1024)]  # of two it is the Rosenbrock of the literature
    problems = [PROBLEMS[name] for name in QUICK] if quick else [*PROBLEMS.values(), *chains]
    found = [Task(p.name, p.value, np.array(p.start), 1e-6, p.minima) for p in problems]
    for p, atol in [] if quick else [(logistic_regression(1e-3), 1e-6), (autoencoder(), 1e-5)]:
        x, tree_of = ravel_pytree(p.start)

        def value(x, p=p, tree_of=tree_of):
            return p.value(tree_of(x))

        found.append(Task(p.name, value, np.asarray(x), atol, () if p.minimum is None else (p.minimum,)))
    return found


def largest(g):
    """How large a gradient is: its largest entry, which is what has to be small."""
    return jnp.max(jnp.abs(g))
