"""All local devices, and many runs side by side, give the numbers of one."""

import jax
import numpy as np
import pytest
from small_training import (
    STEPS,
    assert_close,
    batches,
    begin,
    dense,
    exact,
    examples,
    fitted,
    fitted_on_one_device,
    noisy,
    one_by_one,
    optimizer,
    step_of,
)

from lec7 import data, losses, train

pytestmark = pytest.mark.accelerator


@pytest.mark.slow
def test_a_mesh_gives_the_numbers_of_one_device():
    """With dropout and augmentation; the state whole on each device, and dealt out to all."""
    for sizes in ("data=-1", "fsdp=-1"):
        mesh = train.make_mesh(sizes, jax.local_devices())
        state = fitted(train.sharded(noisy(), mesh), data.ArraySource(examples(500)))
        assert len(state.step.devices()) == jax.local_device_count()
        assert_close(state, fitted_on_one_device())


def test_replicas_without_noise_give_the_numbers_of_one_device():
    step = step_of(dense())
    with exact():
        alone, _ = one_by_one(train.jit(step), begin(dense()))
        state, _ = one_by_one(train.pmap(step), begin(dense()))
    assert_close(state, alone)


def test_lanes_side_by_side_on_all_devices_are_lanes_one_at_a_time():
    rates = np.tile(np.float32([0.01, 0.02, 0.05, 0.1]), jax.local_device_count())
    stacked = jax.tree.map(lambda *parts: np.stack(parts)[:, :16], *batches())
    model = dense(0.8)

    def lane(rate, state, batches):
        tx = optimizer(rate)
        step = train.make_step(model, losses.cross_entropy, tx)
        state, metrics = train.scan(step, STEPS)(state.replace(opt_state=tx.init(state.params)), batches)
        return state.params, metrics["loss"]

    ways = train.lanes(lane, chunk=1), train.lanes(lane, devices=jax.local_devices())
    with exact():
        want, got = (jax.device_get(jax.jit(way)(rates, begin(dense()), stacked)) for way in ways)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)
    assert len(np.unique(want[1][:, -1])) == 4
