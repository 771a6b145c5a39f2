"""Who solves a task, with how much work, and in what time: those that solve it take turns."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lec7.bench.clock import once, repeated
from solvers.clock import calls_of, timed, turns
from solvers.libraries import SOLVERS, Ended, takes_part
from solvers.options import Options
from solvers.task import EVALUATIONS, Task, largest


def race(task: Task, options: Options) -> dict[tuple[str, str], dict]:
    """What each solver makes of a task; those that solve it take turns."""
    runs, figures = {}, {}
    value_and_grad = jax.jit(jax.value_and_grad(task.value))
    for key, build in SOLVERS.items():
        if not takes_part(key[0], task, options):
            continue
        try:
            run, read = build(task)
            first, result = timed(run)
            end = read(result)
        except Exception as error:  # whatever a peer stumbles over is a result of it
            if key[1] == "lec7":
                raise
            figures[key] = {"solved": False, "error": f"{type(error).__name__}: {error}"[:300], "seconds": []}
            continue
        figures[key] = {**judged(task, value_and_grad, end), "first": first, "seconds": []}
        if figures[key]["solved"]:
            runs[key] = run, calls_of(run)
    for key, (run, calls) in turns(runs, options.rounds):
        taken = figures[key]["seconds"]
        if calls * sum(taken) < options.seconds:
            taken.append(once(repeated(run), calls))
    jax.clear_caches()
    return figures


def judged(task: Task, value_and_grad: Callable[[jax.Array], Any], end: Ended) -> dict:
    """Whether that is a solution, by the gradient or by a known minimum, and what it took."""
    x = jnp.asarray(end.x)
    value, grad = value_and_grad(x)
    by_value = task.reaches(float(value), rtol=1e-9, atol=1e-10)
    elsewhere = task.minima and not task.reaches(float(value), rtol=1e-2, atol=1e-4)
    plateau = elsewhere and largest(jax.hessian(task.value)(x)) <= task.atol
    by_gradient = bool(largest(grad) <= task.atol) and not plateau
    return {
        "solved": (by_gradient or by_value) and int(end.evaluations) <= EVALUATIONS,
        "by gradient": by_gradient,
        "by value": by_value,
        "value": float(value),
        "gradient": float(largest(grad)),
        "steps": int(end.steps),
        "evaluations": int(end.evaluations),
        "products": int(end.products),
        "says": end.says,
    }
