"""Solvers of lec7 and of other libraries on the same problems: evaluations, time, and which they solve.

    python -m venv peers && peers/bin/pip install -e .[mnist,peers] -c scripts/constraints/3.11.txt
    peers/bin/python scripts/bench_solvers.py [--quick] [--scaling] [--json FILE] [--figure FILE]

docs/solvers.png is of a run with `--scaling`.

All run in float64 until the gradient's largest entry is at most 1e-6 (autoencoder: 1e-5), for 10,000 evaluations at
most. Optimistix and jaxopt have other rules (how far the last step went; the gradient's Euclidean norm), and SciPy's
Newton-CG too: theirs are replaced by this one. A problem is solved where the gradient, evaluated anew, is that small,
or the value is a known minimum (to 1e-9 of it, or to 1e-10 of zero). A plateau far from all known
minima, where the Hessian vanishes as well, is no solution.

An evaluation is one of value and gradient together. Where Optimistix goes back along a line it needs the value alone,
which is counted as one, too. The pass through the objective by which lec7's Newton-CG prepares a step's products is
counted with the products.

All take turns in one process, and parameters are one vector for all. XLA has all cores, SciPy's BLAS (to which XLA's
triangular solves go, too) `--blas-threads`. Times are of calls after the first, of which a turn makes several if they
are short; the first one compiles, which is told apart.
"""

import dataclasses
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
import tyro
from jax import lax
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from threadpoolctl import threadpool_limits

from lec7 import optim

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from problems import PROBLEMS, autoencoder, logistic_regression, rosenbrock_chain

STEPS = EVALUATIONS = 10_000
MEMORY = 10
TURN = 0.01  # seconds that a turn takes at least
MARGIN = 1.25  # of evaluations or time, from which on lec7 is behind
QUICK = ("Rosenbrock", "Wood", "Biggs EXP6", "Brown-Dennis", "Chebyquad")
FAMILIES = ("L-BFGS", "BFGS", "Newton-CG")
DASHES = {"L-BFGS": "-", "BFGS": (0, (4, 1.5)), "Newton-CG": (0, (1, 1.2))}
# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = {"lec7": "#D55E00", "SciPy": "black", "Optax": "#0072B2", "Optimistix": "#009E73", "jaxopt": "#CC79A7"}
SOFT = "#767676"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    quick: bool = False
    """Five problems."""
    scaling: bool = False
    """Also how time grows with n, what a step at n = 1,000,000 takes, and many starts at once."""
    rounds: int = 9
    """Turns that each takes on a problem, after the first."""
    seconds: float = 3.0
    """Time on a problem after which a solver takes no more turns."""
    most_bfgs: int = 650
    """Parameters up to which BFGS takes part: a step of SciPy's takes O(n^3)."""
    blas_threads: int = 1
    """Threads of SciPy's BLAS."""
    json: Path | None = None
    """Where all figures go."""
    figure: Path | None = None
    """Where the performance profile goes."""


@dataclass(frozen=True)
class Task:
    """A function of a vector, where to start, which gradient is small enough, and the minima if they are known."""

    name: str
    value: Callable[[jax.Array], jax.Array]
    start: np.ndarray
    atol: float
    minima: tuple[float, ...]

    def reaches(self, value: float, rtol: float, atol: float) -> bool:
        return any(abs(value - minimum) <= (rtol * minimum or atol) for minimum in self.minima)


class Ended(NamedTuple):
    """Where a solver ended, what that took, and what it says of it."""

    x: Any
    steps: Any
    evaluations: Any
    products: Any
    says: str


Build = Callable[[Task], tuple[Callable[[], Any], Callable[[Any], Ended]]]
"""From a task to a run, which waits for its result, and to what reads the result."""


def largest(g):
    return jnp.max(jnp.abs(g))


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


def takes_part(family: str, task: Task, options: Options) -> bool:
    return family != "BFGS" or task.start.size <= options.most_bfgs


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = run()
    return time.perf_counter() - begin, result


def calls_of(run: Callable[[], Any]) -> int:
    """How many calls make a turn long enough to be timed."""
    return max(1, round(TURN / timed(run)[0]))


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
        x = jnp.asarray(end.x)
        value, grad = value_and_grad(x)
        by_value = task.reaches(float(value), rtol=1e-9, atol=1e-10)
        elsewhere = task.minima and not task.reaches(float(value), rtol=1e-2, atol=1e-4)
        plateau = elsewhere and largest(jax.hessian(task.value)(x)) <= task.atol
        by_gradient = bool(largest(grad) <= task.atol) and not plateau
        figures[key] = {
            "solved": (by_gradient or by_value) and int(end.evaluations) <= EVALUATIONS,
            "by gradient": by_gradient,
            "by value": by_value,
            "value": float(value),
            "gradient": float(largest(grad)),
            "steps": int(end.steps),
            "evaluations": int(end.evaluations),
            "products": int(end.products),
            "says": end.says,
            "first": first,
            "seconds": [],
        }
        if figures[key]["solved"]:
            runs[key] = run, calls_of(run)
    for turn in range(options.rounds):
        for key, (run, calls) in list(runs.items())[:: 1 if turn % 2 else -1]:
            taken = figures[key]["seconds"]
            if calls * sum(taken) < options.seconds:
                taken.append(timed(lambda run=run, calls=calls: [run() for _ in range(calls)])[0] / calls)
    jax.clear_caches()
    return figures


def time_of(figures: dict) -> float:
    return statistics.median(figures["seconds"])


def time_ratio(figures: dict, other: dict) -> float:
    """Of the turns that both took."""
    return statistics.median(a / b for a, b in zip(figures["seconds"], other["seconds"], strict=False))


def work(figures: dict) -> int:
    """Products of the Hessian with a vector, of which each costs about two gradients, count as one evaluation each."""
    return figures["evaluations"] + figures["products"]


def median(numbers: Iterable[float]) -> float:
    numbers = list(numbers)
    return statistics.median(numbers) if numbers else float("nan")


def table(family: str, results: dict[str, dict]) -> dict[str, dict]:
    """Prints a line for each solver of a family, and gives what is in it."""
    raced = {name: {lib: r for (fam, lib), r in found.items() if fam == family} for name, found in results.items()}
    raced = {name: found for name, found in raced.items() if found}
    common = [found for found in raced.values() if all(r["solved"] for r in found.values())]
    print(f"\n{family}: {len(raced)} problems, of which all solve {len(common)}; medians are of those\n")
    print(f"{'':<12}{'solved':>7}{'by':>10}{'by':>7}{'evalua-':>9}{'prod-':>8}{'evaluations':>14}", end="")
    print(f"{'time':>10}{'time':>10}{'first':>8}")
    print(f"{'':<12}{'':>7}{'gradient':>10}{'value':>7}{'tions':>9}{'ucts':>8}{'/ SciPy':>14}", end="")
    print(f"{'ms':>10}{'/ lec7':>10}{'call s':>8}")
    lines = {}
    for library in next(iter(raced.values())):
        mine = [found[library] for found in raced.values()]
        line = lines[library] = {
            "solved": sum(r["solved"] for r in mine),
            "by gradient": sum(r.get("by gradient", False) for r in mine),
            "by value": sum(r.get("by value", False) for r in mine),
            "evaluations": median(found[library]["evaluations"] for found in common),
            "products": median(found[library]["products"] for found in common),
            "evaluations over SciPy's": median(
                found[library]["evaluations"] / found["SciPy"]["evaluations"] for found in common
            ),
            "milliseconds": 1000 * median(time_of(found[library]) for found in common),
            "time over lec7's": median(time_ratio(found[library], found["lec7"]) for found in common),
            "seconds of the first call": median(r["first"] for r in mine if "first" in r),
        }
        a, b, c, d, e, f, g, h, i = line.values()
        print(f"{library:<12}{a:>7}{b:>10}{c:>7}{d:>9.1f}{e:>8.1f}{f:>14.2f}{g:>10.3f}{h:>10.2f}{i:>8.2f}")
        for error in {r["error"] for r in mine if "error" in r}:
            print(f"{'':<12}failed: {error}")
    return lines


def shortfalls(results: dict[str, dict]) -> list[str]:
    """Where another library solves what lec7 does not, or does so with fewer evaluations or in less time."""
    lines = []
    for family in FAMILIES:
        for name, found in results.items():
            own = found.get((family, "lec7"))
            peers = {lib: r for (fam, lib), r in found.items() if fam == family and lib != "lec7" and r["solved"]}
            if own is None or not peers:
                continue
            if not own["solved"]:
                says = f"lec7 says {own['says']} at |g| {own['gradient']:.1e}"
                lines.append(f"{family}, {name}: {says}; {', '.join(peers)} solve it")
                continue
            least = min(peers, key=lambda lib: work(peers[lib]))
            if work(own) > MARGIN * work(peers[least]):
                same = np.isclose(own["value"], peers[least]["value"], rtol=1e-3, atol=1e-6)
                note = "" if same else " (another minimum)"
                lines.append(f"{family}, {name}: {work(own)} evaluations, {least} {work(peers[least])}{note}")
            fastest = min(peers, key=lambda lib: time_of(peers[lib]))
            if time_ratio(own, peers[fastest]) > MARGIN:
                mine, theirs = 1000 * time_of(own), 1000 * time_of(peers[fastest])
                lines.append(f"{family}, {name}: {mine:.3f} ms, {fastest} {theirs:.3f} ms")
    return lines


def width_of(library: str) -> float:
    return 2.6 if library == "lec7" else 1.5


def profile(axes: Any, results: dict[str, dict], cost: Callable[[dict], float], most: float) -> None:
    """Of each solver, the part of the problems that it solves at no more than t times the least cost."""
    of = {key: [cost(r[key]) if r[key]["solved"] else np.inf for r in results.values()] for key in SOLVERS}
    best = np.min(list(of.values()), axis=0)
    for (family, library), costs in of.items():
        ratios = np.sort(np.asarray(costs)[np.isfinite(best)] / best[np.isfinite(best)])
        ratios = ratios[np.isfinite(ratios)]
        parts = np.arange(1, len(ratios) + 1) / len(results)
        x, y = np.concatenate([[1], ratios, [most]]), np.concatenate([[0], parts, parts[-1:] if len(parts) else [0]])
        style = {"color": COLOURS[library], "linestyle": DASHES[family], "linewidth": width_of(library)}
        axes.step(x, y, where="post", zorder=3 if library == "lec7" else 2, **style)
    ticks = [t for t in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if t <= most]
    axes.set(xscale="log", xlim=(1, most), ylim=(0, 1.02), ylabel="part of the problems that is solved")
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set_xticks([], minor=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=SOFT, labelsize=8, color="#bbbbbb")
    axes.grid(color="#eeeeee", linewidth=0.8)


def draw(target: Path, results: dict[str, dict]) -> None:
    """The performance profiles of Dolan and Moré (2002)."""
    of_all = {name: found for name, found in results.items() if len(found) == len(SOLVERS)}
    figure = Figure(figsize=(11, 5.6), layout="constrained", facecolor="white")
    work_axes, time_axes = figure.subplots(1, 2)
    profile(work_axes, of_all, work, 32)
    profile(time_axes, of_all, time_of, 512)
    work_axes.set_xlabel("evaluations (and products with the Hessian), as a multiple of the fewest")
    time_axes.set_xlabel("time after compilation, as a multiple of the shortest")
    title = f"Performance profiles: {len(of_all)} problems in float64, gradients to 1e-6"
    work_axes.set_title(title, loc="left", fontsize=11)
    lines, none = [], Line2D([], [], color="none", label=" ")
    for family in FAMILIES:  # a column each
        own = [library for fam, library in SOLVERS if fam == family]
        for library in own:
            style = {"color": COLOURS[library], "linestyle": DASHES[family], "linewidth": width_of(library)}
            lines.append(Line2D([], [], label=f"{library}, {family}", **style))
        lines += [none] * (len(COLOURS) - len(own))
    figure.legend(handles=lines, loc="outside lower center", ncols=3, frameon=False, fontsize=9, handlelength=4)
    figure.savefig(target, dpi=110)


def bfgs_growth() -> dict:
    """Time of a step of BFGS on the Rosenbrock chain by n, and the exponent of n that fits it."""
    runs, seconds = {}, {}
    for n in (64, 128, 256, 512, 1024):
        task, tx = rosenbrock_chain(n), optim.bfgs()
        solve = partial(optim.minimize, task.value, jnp.asarray(task.start), tx, atol=0.0)

        def run(solve=solve):
            return [timed(lambda k=k: jax.block_until_ready(solve(max_steps=k))) for k in (20, 60)]

        run()  # compiles
        runs[n], seconds[n] = run, []
    for turn in range(7):
        for n, run in list(runs.items())[:: 1 if turn % 2 else -1]:
            (few, _), (many, end) = run()
            seconds[n].append((many - few) / (int(end.steps) - 20))
    steps = {n: statistics.median(taken) for n, taken in seconds.items()}
    exponent = float(np.polyfit(np.log(list(steps)), np.log(list(steps.values())), 1)[0])
    last = float(np.log2(steps[1024] / steps[512]))
    print("\nBFGS on the Rosenbrock chain in float64, a step:")
    print("  ".join(f"n = {n}: {1e6 * t:,.0f} µs" for n, t in steps.items()))
    print(f"grows as n^{exponent:.2f}, from 512 to 1024 as n^{last:.2f}")
    return {"seconds": steps, "exponent": exponent, "exponent of the last": last}


def bandwidth(size: int) -> float:
    """Bytes a second that `y += a x` moves in place: two arrays are read and one is written."""
    x, y = jnp.ones(size, jnp.float32), jnp.ones(size, jnp.float32)
    add = jax.jit(lambda a, x, y: a * x + y, donate_argnums=2)
    taken = []
    for _ in range(15):
        begin = time.perf_counter()
        y = jax.block_until_ready(add(1e-3, x, y))
        taken.append(time.perf_counter() - begin)
    return 3 * x.nbytes / statistics.median(taken[3:])


def lbfgs_large(n: int = 1_000_000, m: int = MEMORY) -> dict:
    """Memory of a compiled step of L-BFGS in float32, and its time next to that of the memory that it must touch."""
    chain, tx = rosenbrock_chain(4), optim.lbfgs(m)  # of any length: the start tells
    x = jnp.asarray(np.where(np.arange(n) % 2, 1.0, -1.2), jnp.float32)

    def step(x, state):
        known = {"value": state.found.value, "grad": state.found.grad, "value_fn": chain.value}
        updates, state = tx.update(state.found.grad, state, x, **known)
        return optax.apply_updates(x, updates), state

    evaluate = jax.jit(jax.value_and_grad(chain.value))
    value, grad = evaluate(x)
    evaluation = statistics.median(timed(lambda: jax.block_until_ready(evaluate(x)))[0] for _ in range(15))
    state = tx.init(x)
    state = dataclasses.replace(state, found=state.found._replace(value=value, grad=grad))
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(x, state).compile()
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    vectors = (held + memory.temp_size_in_bytes) / x.nbytes
    steps, rates, evaluations = [], [], []
    for i in range(45):
        if i % 5 == 0:
            rates.append(bandwidth(m * n))
        begin = time.perf_counter()
        x, state = jax.block_until_ready(compiled(x, state))
        if i >= 15:  # the memory is full
            steps.append(time.perf_counter() - begin)
            evaluations.append(int(state.found.evaluations))
    rate = statistics.median(rates)
    # Of the steps that evaluate once.
    once = median(t for t, e in zip(steps, evaluations, strict=True) if e == 1)
    floor = (5 * m + 20) * x.nbytes / rate
    print(f"\nL-BFGS with {m} pairs in float32, n = {n:,}")
    temporary, most = memory.temp_size_in_bytes / x.nbytes, 2.2 * m + 12
    holds = "holds" if vectors < most else "DOES NOT HOLD"
    print(f"memory of a compiled step: {vectors:.1f} vectors ({temporary:.1f} temporary); less than {most:.0f} {holds}")
    print(f"a step of one evaluation: {1e3 * once:.1f} ms (the evaluation alone {1e3 * evaluation:.1f} ms)", end="")
    print(f", {once / floor:.2f} times {5 * m + 20} vectors at {rate / 1e9:.1f} GB/s", end="")
    print(f"; {statistics.mean(evaluations):.2f} evaluations a step")
    return {
        "vectors": vectors,
        "temporary vectors": temporary,
        "seconds of a step": once,
        "seconds of an evaluation": evaluation,
        "bytes a second": rate,
        "over traffic": once / floor,
        "evaluations a step": statistics.mean(evaluations),
    }


def many_starts(count: int = 64) -> dict:
    """Many starts on Rosenbrock's function under one `vmap`, and one after the other."""
    rosenbrock = PROBLEMS["Rosenbrock"]
    starts = jnp.asarray(np.random.default_rng(0).uniform(-2, 2, (count, 2)))
    figures = {}
    print(f"\n{count} starts on Rosenbrock's function in float64, compilations included")
    for name, tx in {"L-BFGS": optim.lbfgs(MEMORY), "BFGS": optim.bfgs()}.items():

        def solver(tx=tx):
            """With a new function, which is compiled anew."""
            return lambda x, f=lambda x: rosenbrock.value(x): optim.minimize(f, x, tx, atol=1e-6, max_steps=STEPS)

        def cold(run, times=3):
            taken = []
            for _ in range(times):
                jax.clear_caches()
                seconds, result = timed(lambda: jax.block_until_ready(run()))
                taken.append(seconds)
            return statistics.median(taken), result

        one, together = cold(lambda: jax.vmap(solver())(starts))
        shared, single = cold(lambda: [solve(x) for solve in [solver()] for x in starts])
        own, _ = cold(lambda: [solver()(x) for x in starts], times=1)
        apart = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
        difference = float(largest(together.params - apart.params))
        steps = bool((together.steps == apart.steps).all() & (together.evaluations == apart.evaluations).all())
        converged = int((together.status == optim.Status.CONVERGED).sum())
        print(f"{name:<7} one vmap {one:.2f} s; singles of one compilation {shared:.2f} s ", end="")
        print(
            f"({shared / one:.2f} times), of one each {own:.2f} s ({own / one:.1f} times); {converged} converge", end=""
        )
        print(f"; largest difference {difference:.1e}, steps and evaluations {'equal' if steps else 'DIFFER'}")
        figures[name] = {
            "seconds of one vmap": one,
            "seconds of singles that share": shared,
            "seconds of singles that compile each": own,
            "largest difference": difference,
            "same steps": steps,
        }
    return figures


def main(options: Options) -> None:
    """Prints the tables, and keeps the figures."""
    versions = {name: metadata.version(name) for name in ("jax", "scipy", "optax", "numpy")}
    for name in ("optimistix", "jaxopt"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "is not here: pip install -e .[peers]"
    print(f"{jax.devices()[0].device_kind}, {platform.machine()}, Python {platform.python_version()}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    kept: dict[str, Any] = {"versions": versions, "options": {k: str(v) for k, v in vars(options).items()}}
    results: dict[str, dict] = {}
    with jax.enable_x64(True), threadpool_limits(options.blas_threads, "blas"):
        for task in tasks(options.quick):
            results[task.name] = race(task, options)
            kept.setdefault("problems", {})[task.name] = {
                "n": task.start.size,
                "tolerance": task.atol,
                "solvers": {f"{lib}, {family}": r for (family, lib), r in results[task.name].items()},
            }
            print(f"{task.name}, n = {task.start.size}", file=sys.stderr)
        kept["tables"] = {family: table(family, results) for family in FAMILIES}
        short = shortfalls(results)
        print(f"\nWhere lec7 is behind another library, by more than {MARGIN - 1:.0%}: {'' if short else 'nowhere'}")
        print("\n".join(short))
        if options.scaling:
            kept["scaling"] = {"BFGS": bfgs_growth(), "many starts": many_starts()}
    if options.scaling:
        kept["scaling"]["L-BFGS"] = lbfgs_large()
    if options.json is not None:
        options.json.write_text(json.dumps(kept, indent=1, default=float) + "\n")
    if options.figure is not None:
        draw(options.figure, results)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
