"""Iterations a second of methods of second order, with the gradients that they need."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from lec7 import optim
from lec7.bench.clock import Call
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


def _work(name: str, optimizer: optim.Optimizer, unknowns: int, nbytes: float) -> Work:
    start = jnp.tile(jnp.array([-1.2, 1.0]), unknowns // 2)
    solve = jax.jit(lambda start: optim.minimize(valley, start, optimizer, atol=0.0, max_steps=ITERATIONS).params)
    title = f"{name}, {unknowns:,} unknowns"
    return Work("solver", title, "iterations", _call(solve, start), amount=ITERATIONS, nbytes=ITERATIONS * nbytes)


def _call(solve: Callable[..., jax.Array], start: jax.Array) -> Call:
    def call(times: int) -> jax.Array:
        for _ in range(times):
            end = solve(start)
            end.block_until_ready()
        return end

    return call
