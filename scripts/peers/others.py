"""What other issues measured, in small: augmentation, solvers and sweeps, by the scripts that measure them in full."""

import statistics
from collections.abc import Iterable

import bench_augment
import bench_solvers
import bench_sweep
import jax
import numpy as np
from threadpoolctl import threadpool_limits

from lec7.bench.clock import repeated
from peers.race import LEC7, Effort, Row, race, row

KINDS = ("crop + mirror + normalize", "rotation", "geometry + colour", "random_resized_crop")
AUGMENT_TARGETS = {"rotation": {"augmax": 2.0}}


def augmentation(effort: Effort) -> Iterable[Row]:
    """Batches of floats and of bytes; `scripts/bench_augment.py` has all kinds."""
    options = bench_augment.Options()
    shape = (options.batch_size, options.size, options.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for given in ((images / np.float32(255)).astype(np.float32), images):
        racers = bench_augment.racers(options, given)
        for kind in KINDS:
            calls = {name: repeated(run) for name, run in racers[kind].items() if " " not in name}
            calls.pop(bench_augment.COPY)
            title = f"{kind}, {options.batch_size} of {options.size} px, {given.dtype}"
            yield from race(title, "images", options.batch_size, calls, effort, AUGMENT_TARGETS.get(kind, {}))


def solvers(effort: Effort) -> Iterable[Row]:
    """Problems that all of a family solve; `scripts/bench_solvers.py` has all problems and what fails."""
    options = bench_solvers.Options(rounds=effort.rounds)
    with jax.enable_x64(True), threadpool_limits(options.blas_threads, "blas"):
        found = [bench_solvers.race(task, options) for task in bench_solvers.tasks(quick=True)]
    for family in bench_solvers.FAMILIES:
        libraries = dict.fromkeys(library for one in found for (of, library) in one if of == family)
        solved = [one for one in found if all(one.get((family, library), {}).get("solved") for library in libraries)]
        for library in libraries:
            if library != LEC7 and solved:
                ours, theirs = (
                    [statistics.median(one[family, who]["seconds"]) for one in solved] for who in (LEC7, library)
                )
                yield row(f"{family}, {len(solved)} problems", library, "solutions", 1, ours, theirs)


def sweeps(effort: Effort) -> Iterable[Row]:
    """64 learning rates with their compilation; `scripts/bench_sweep.py` has the rest."""
    taken = bench_sweep.rates_taken(bench_sweep.Options())
    ours = taken.pop(bench_sweep.SWEPT)
    for name, theirs in taken.items():
        yield row("64 learning rates, MLP 32-32, 500 steps", name, "sweeps", 1, ours, theirs)
