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

import json
import platform
import sys
from importlib import metadata
from typing import Any

import jax
import tyro
from solvers.growth import bfgs_growth, lbfgs_large, many_starts
from solvers.libraries import FAMILIES
from solvers.options import Options
from solvers.picture import draw
from solvers.race import race
from solvers.task import tasks
from solvers.words import MARGIN, shortfalls, table
from threadpoolctl import threadpool_limits


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
