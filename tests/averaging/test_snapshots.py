"""Snapshots are the parameters at the ends of the schedule's cycles, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, optim, schedules
from lec7.errors import InputError

CYCLES = {
    "even": {"period": 7},
    "growing": {"period": 4, "growth": 2.0},
    "of no whole length": {"period": 5.5, "growth": 1.3},
    "after a warm-up": {"period": 7, "start": 6},
}


def ends(rates):
    """The numbers of steps after which the next rate is the higher one: where a cycle has ended."""
    return [t for t in range(1, len(rates)) if rates[t] > rates[t - 1]]


def trained(schedule, tx, steps):
    """The parameters after each step, and the state at the end; all in one program."""
    tx = optax.chain(optim.sgd(schedule), tx)
    x0 = {"w": jnp.array([3.0, -2.0])}

    def step(carry, t):
        x, state = carry
        updates, state = tx.update(jax.tree.map(lambda x: x + jnp.sin(7.0 * t), x), state, x)
        x = optax.apply_updates(x, updates)
        return (x, state), x

    (x, state), rows = jax.jit(lambda: jax.lax.scan(step, (x0, tx.init(x0)), jnp.arange(float(steps))))()
    return rows["w"], x, state


@pytest.mark.parametrize("cycles", CYCLES)
@pytest.mark.parametrize("k", [2, 20])
def test_they_are_the_parameters_at_the_ends_of_the_cycles(cycles, k):
    options = CYCLES[cycles]
    steps, start = 50, options.get("start", 0)
    schedule = schedules.cyclic_cosine(0.5, options["period"], growth=options.get("growth", 1.0))
    if start:
        schedule = schedules.warmup(schedule, start)
    rows, x, state = trained(schedule, averaging.snapshots(k, **options), steps)
    # One rate beyond the last step, for a cycle that ends with it; the rise of the warm-up is not the end of a cycle.
    rates = np.asarray(jax.vmap(schedule)(jnp.arange(steps + 1)))
    expected = [t for t in ends(rates) if t > start]
    assert len(expected) >= 3
    members = averaging.snapshot_members(state, x)
    np.testing.assert_array_equal(members["w"], rows[np.array(expected[-k:]) - 1])


def test_before_the_first_cycle_ends_there_are_none():
    _, x, state = trained(schedules.constant(0.1), averaging.snapshots(3, 100), 10)
    with pytest.raises(InputError, match="the first cycle has not ended"):
        averaging.snapshot_members(state, x)
    with pytest.raises(InputError, match="the optimizer state holds no snapshots"):
        averaging.snapshot_members(optax.sgd(0.1).init(x), x)


def test_of_several_runs_one_is_asked_for():
    x = jnp.ones((4, 3))
    state = jax.vmap(averaging.snapshots(2, 1).init)(x)
    with pytest.raises(InputError, match="'snapshots' is one of members, along an axis of 4, expected that of one run"):
        averaging.snapshot_members(state, x)


def test_of_one_group_the_others_leaves_are_the_same_in_all_members():
    x = {"head": jnp.zeros(2), "stem": jnp.ones(3)}
    tx = optim.groups({"head": optax.chain(optax.sgd(-1.0), averaging.snapshots(4, 1)), ".*": optim.frozen()})
    state = tx.init(x)
    for _ in range(2):
        updates, state = tx.update(jax.tree.map(jnp.ones_like, x), state, x)
        x = optax.apply_updates(x, updates)
    members = averaging.snapshot_members(state, x)
    np.testing.assert_array_equal(members["head"], [[1, 1], [2, 2]])
    np.testing.assert_array_equal(members["stem"], np.ones((2, 3)))


def test_a_cycle_is_told_for_any_step():
    for t in range(40):
        n, start, length = schedules.cycle(t, 4, 2.0)
        begin = [0, 4, 12, 28][int(n)]
        assert (float(start), float(length)) == (begin, 4 * 2 ** int(n))
        assert begin <= t < begin + float(length)
