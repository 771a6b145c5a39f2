"""Iterations a second of methods of second order, with the gradients that they need."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

from lec7 import optim
from lec7.bench.clock import Call, repeated
from lec7.bench.scale import Scale
from lec7.bench.work import Work

ITERATIONS = 20
HISTORY = 10
FLOAT = 4


def solvers(scale: Scale) -> Iterator[Work]:
    """BFGS, which keeps a matrix, and L-BFGS, which keeps pairs, in Rosenbrock's valley of many dimensions."""
    few, many = scale.unknowns
    # What they keep is read once, and BFGS's matrix is written.
    yield _work("BFGS", optim.bfgs(), few, nbytes=2 * FLOAT * few**2)
    yield _work(f"L-BFGS, {HISTORY} pairs", optim.lbfgs(HISTORY), many, nbytes=2 * FLOAT * HISTORY * many)


def valley(x: jax.Array) -> jax.Array:
    """Rosenbrock's: its floor is curved, and a minimum lies at ones."""
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _work(name: str, optimizer: optax.GradientTransformation, unknowns: int, nbytes: float) -> Work:
    title = f"{name}, {unknowns:,} unknowns"
    call = solving(optimizer, unknowns)
    return Work("solver", title, "iterations", call, amount=ITERATIONS, nbytes=ITERATIONS * nbytes)


def solving(optimizer: optax.GradientTransformation, unknowns: int) -> Call:
    """Iterations down the valley, from the start that the literature has."""
    start = jnp.tile(jnp.array([-1.2, 1.0]), unknowns // 2)
    solve = jax.jit(lambda start: optim.minimize(valley, start, optimizer, atol=0.0, max_steps=ITERATIONS).params)
    return repeated(lambda: solve(start).block_until_ready())
