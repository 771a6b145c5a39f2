"""Who takes part: each library solves a task in the way of its documentation, and stops where all stop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
from jax import lax

from lec7 import optim
from solvers.options import Options
from solvers.task import EVALUATIONS, STEPS, Task, largest

MEMORY = 10


class Ended(NamedTuple):
    """Where a solver ended, what that took, and what it says of it."""

    x: Any
    steps: Any
    evaluations: Any
    products: Any
    says: str


Build = Callable[[Task], tuple[Callable[[], Any], Callable[[Any], Ended]]]
"""From a task to a run, which waits for its result, and to what reads the result."""


def compiled(task: Task, solve: Callable[[jax.Array], Any], says: Callable[..., str] = lambda: ""):
    """A solver that is one program, from a start to a point, steps, evaluations and products, and a code if it has one.

    Each gives two arrays, because a call takes longer with each that it gives.
    """

    @jax.jit
    def program(x):
        x, *counts = solve(x)
        return x, jnp.stack([jnp.asarray(count, int) for count in counts])

    def read(result):
        x, counts = result
        return Ended(x, *counts[:3], says(*counts[3:].tolist()))

    start = jnp.asarray(task.start)
    return lambda: jax.block_until_ready(program(start)), read


def with_lec7(make: Callable[[], optax.GradientTransformation]) -> Build:
    def build(task):
        tx = make()

        def solve(x):
            r = optim.minimize(task.value, x, tx, atol=task.atol, max_steps=STEPS)
            return r.params, r.steps, r.evaluations, r.products, r.status

        return compiled(task, solve, lambda code: optim.Status(code).name)

    return build


def with_scipy(method: str, **options: Any) -> Build:
    def build(task):
        value_and_grad = jax.jit(jax.value_and_grad(task.value))
        product = jax.jit(lambda x, v: jax.jvp(jax.grad(task.value), (x,), (v,))[1])

        def run():
            evaluations, products, latest = 0, 0, (None, None)

            def function(x):
                nonlocal evaluations, latest
                evaluations += 1
                value, grad = value_and_grad(x)
                latest = x.copy(), np.asarray(grad)
                return float(value), latest[1]

            def hessp(x, v):
                nonlocal products
                products += 1
                return np.asarray(product(x, v))

            def small(x):
                grad = latest[1] if np.array_equal(x, latest[0]) else np.asarray(value_and_grad(x)[1])
                if np.max(np.abs(grad)) <= task.atol:
                    raise StopIteration

            own = {"hessp": hessp, "callback": small} if method == "Newton-CG" else {}
            limits = {"maxiter": STEPS} | options | ({} if method == "Newton-CG" else {"gtol": task.atol})
            r = scipy.optimize.minimize(function, task.start, jac=True, method=method, options=limits, **own)
            return r, evaluations, products

        return run, lambda end: Ended(end[0].x, end[0].nit, end[1], end[2], str(end[0].message))

    return build


def with_optax(task):
    """Optax has no loop to a minimum; this is the one of its documentation."""
    tx, value_and_grad = optax.lbfgs(memory_size=MEMORY), optax.value_and_grad_from_state(task.value)

    def step(carry):
        x, state, steps, evaluations = carry
        value, grad = value_and_grad(x, state=state)
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=task.value)
        evaluations += optax.tree.get(state, "info").num_linesearch_steps
        return optax.apply_updates(x, updates), state, steps + 1, evaluations

    def more(carry):
        _, state, steps, evaluations = carry
        far = largest(optax.tree.get(state, "grad")) > task.atol
        return (steps == 0) | (far & (steps < STEPS) & (evaluations < EVALUATIONS))

    def solve(x):
        x, _, steps, evaluations = lax.while_loop(more, step, (x, tx.init(x), 0, 1))
        return x, steps, evaluations, 0

    return compiled(task, solve)


def with_optimistix(name: str) -> Build:
    def build(task):
        import optimistix

        class Solver(getattr(optimistix, name)):
            def terminate(self, fn, y, args, options, state, tags):
                small = ~state.first_step & (largest(state.f_info.grad) <= task.atol)
                return small | (state.num_accepted_steps > STEPS), state.result

        def solve(x):
            solver = Solver(rtol=1e-6, atol=1e-6)
            r = optimistix.minimise(lambda x, _: task.value(x), solver, x, max_steps=EVALUATIONS, throw=False)
            return r.value, r.state.num_accepted_steps, r.stats["num_steps"], 0

        return compiled(task, solve)

    return build


def with_jaxopt(name: str) -> Build:
    def build(task):
        import jaxopt

        class Solver(getattr(jaxopt, name)):
            def _cond_fun(self, inputs):
                _, state = inputs[0]
                return (largest(state.grad) > self.tol) & (state.num_fun_eval < EVALUATIONS)

        solver = Solver(task.value, tol=task.atol, maxiter=STEPS)

        def solve(x):
            r = solver.run(x)
            return r.params, r.state.iter_num, r.state.num_fun_eval, 0

        return compiled(task, solve)

    return build


# Family and library, of which lec7's and SciPy's come first.
SOLVERS: dict[tuple[str, str], Build] = {
    ("L-BFGS", "lec7"): with_lec7(lambda: optim.lbfgs(MEMORY)),
    ("L-BFGS", "SciPy"): with_scipy("L-BFGS-B", maxcor=MEMORY, ftol=0, maxfun=EVALUATIONS),
    ("L-BFGS", "Optax"): with_optax,
    ("L-BFGS", "Optimistix"): with_optimistix("LBFGS"),
    ("L-BFGS", "jaxopt"): with_jaxopt("LBFGS"),
    ("BFGS", "lec7"): with_lec7(optim.bfgs),
    ("BFGS", "SciPy"): with_scipy("BFGS"),
    ("BFGS", "Optimistix"): with_optimistix("BFGS"),
    ("BFGS", "jaxopt"): with_jaxopt("BFGS"),
    ("Newton-CG", "lec7"): with_lec7(optim.newton_cg),
    ("Newton-CG", "SciPy"): with_scipy("Newton-CG", xtol=0),
}
FAMILIES = tuple(dict.fromkeys(family for family, _ in SOLVERS))


def takes_part(family: str, task: Task, options: Options) -> bool:
    return family != "BFGS" or task.start.size <= options.most_bfgs
