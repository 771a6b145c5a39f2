"""How lec7's solvers grow: BFGS with n, L-BFGS to a million parameters, and both to many starts at once."""

import dataclasses
import statistics
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from problems import PROBLEMS, rosenbrock_chain

from lec7 import optim
from solvers.clock import timed, turns
from solvers.costs import median
from solvers.libraries import MEMORY
from solvers.task import STEPS, largest


def bfgs_growth() -> dict:
    """Time of a step of BFGS on the Rosenbrock chain by n, and the exponent of n that fits it."""
    runs, seconds = {}, {}
    for n in (64, 128, 256, 512, 1024):
        task, tx = rosenbrock_chain(n), optim.bfgs()
        solve = partial(optim.minimize, task.value, jnp.asarray(task.start), tx, atol=0.0)

        def run(solve=solve):
            return [timed(partial(solve, max_steps=k)) for k in (20, 60)]

        run()  # compiles
        runs[n], seconds[n] = run, []
    for n, run in turns(runs, 7):
        (few, _), (many, end) = run()
        seconds[n].append((many - few) / (int(end.steps) - 20))
    steps = {n: statistics.median(taken) for n, taken in seconds.items()}
    exponent = float(np.polyfit(np.log(list(steps)), np.log(list(steps.values())), 1)[0])
    last = float(np.log2(steps[1024] / steps[512]))
    print("\nBFGS on the Rosenbrock chain in float64, a step:")
    print("  ".join(f"n = {n}: {1e6 * t:,.0f} µs" for n, t in steps.items()))
    print(f"grows as n^{exponent:.2f}, from 512 to 1024 as n^{last:.2f}")
    return {"seconds": steps, "exponent": exponent, "exponent of the last": last}


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
    evaluation = statistics.median(timed(evaluate, x)[0] for _ in range(15))
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
        seconds, (x, state) = timed(compiled, x, state)
        if i >= 15:  # the memory is full
            steps.append(seconds)
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


def bandwidth(size: int) -> float:
    """Bytes a second that `y += a x` moves in place: two arrays are read and one is written."""
    x, y = jnp.ones(size, jnp.float32), jnp.ones(size, jnp.float32)
    add = jax.jit(lambda a, x, y: a * x + y, donate_argnums=2)
    taken = []
    for _ in range(15):
        seconds, y = timed(add, 1e-3, x, y)
        taken.append(seconds)
    return 3 * x.nbytes / statistics.median(taken[3:])


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
                seconds, result = timed(run)
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
        print(f"({shared / one:.2f} times), of one each {own:.2f} s ({own / one:.1f} times); ", end="")
        print(f"{converged} converge; largest difference {difference:.1e}, ", end="")
        print(f"steps and evaluations {'equal' if steps else 'DIFFER'}")
        figures[name] = {
            "seconds of one vmap": one,
            "seconds of singles that share": shared,
            "seconds of singles that compile each": own,
            "largest difference": difference,
            "same steps": steps,
        }
    return figures
