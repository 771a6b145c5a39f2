"""`build(hp)` under a trace: lanes of one program are single runs."""

import dataclasses
from pathlib import Path

import as_users
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import experiment, train

FILE = experiment.load(Path(__file__).parents[2] / "experiments" / "digits.py")
FLOATS = {"learning_rate": [3e-3, 3e-2, 1e-3], "dropout": [0.3, 0.5, 0.0], "ema_decay": [0.99, 0.9, 0.995]}


def trained(steps, fields):
    """Parameters, averages and losses after all steps, in one dispatch."""
    hp = FILE.hyperparameters(width=32, steps=300, batch_size=32)
    built = FILE.build(dataclasses.replace(hp, **fields))
    run = train.scan(built.make_step(), steps, train.draw(built.batch_size))
    state, metrics = run(built.init(), built.train)
    return state.params, state.averaged.params, metrics["loss"]


def lanes_and_single_runs(steps, grid):
    """Pairs of leaves: lane i of one program, and the program of the single run i."""
    lanes = jax.jit(jax.vmap(lambda fields: trained(steps, fields)))({k: jnp.array(row) for k, row in grid.items()})
    for i in range(3):
        # As `instantiate` hands them over: floats as float32 numbers that the program knows.
        fields = {k: row[i] if k == "seed" else np.float32(row[i]) for k, row in grid.items()}
        single = jax.jit(lambda fields=fields: trained(steps, fields))()
        for lane, leaf in zip(jax.tree.leaves(lanes), jax.tree.leaves(single), strict=True):
            yield np.asarray(lane)[i], np.asarray(leaf)


def compare_lanes_and_single_runs(*seeds):
    """Prints how many leaves agree bit for bit."""
    pairs = list(lanes_and_single_runs(300, {**FLOATS, "seed": list(map(int, seeds))}))
    for lane, single in pairs:
        np.testing.assert_array_equal(lane, single)
    print(len(pairs))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [[0, 0, 0], [0, 1, 2]], ids=str)
def test_lanes_over_floats_and_seeds_are_single_runs_bit_for_bit(seeds):
    assert int(as_users.printed(compare_lanes_and_single_runs, *seeds)) > 3


@pytest.mark.slow
def test_lanes_over_floats_alone_are_single_runs_to_rounding():
    """One batch serves all lanes, and XLA makes one matrix product of theirs, which sums in another order."""
    for lane, single in lanes_and_single_runs(20, FLOATS):
        np.testing.assert_allclose(lane, single, rtol=1e-4, atol=1e-5)
