"""Examples on the host, brought to the device while it computes: the numbers are those of examples that are there."""

import sys
import threading
import time

import jax
import numpy as np
import pytest
from on_host import OnHost

from lec7 import data, losses, train, tree
from lec7.errors import InputError
from lec7.train import feed
from lec7.train.evaluate import drawn, mean_over
from lec7.train.feed import Ahead, own_rows, put_rows
from lec7.train.fit import WAITING, trace


def end(small, step, source, start=0, steps=30, every=8, state=None):
    state = small.init() if state is None else state
    windows = list(train.fit(step, state, source, steps=steps, batch_size=16, every=every))
    losses = np.concatenate([metrics["loss"] for _, metrics in windows])
    return windows[-1][0], losses, [len(metrics["loss"]) for _, metrics in windows]


@pytest.fixture(scope="module")
def resident(small):
    return end(small, small.step, small.source)


@pytest.mark.parametrize("knobs", [{}, {"threads": 1, "ahead": 1}, {"threads": 3, "ahead": 4}])
def test_streaming_changes_no_bit(small, same, resident, knobs):
    state, losses, windows = end(small, small.step, data.stream(OnHost(small.source), **knobs))
    same(state, resident[0])
    np.testing.assert_array_equal(losses, resident[1])
    assert windows == resident[2] == [8, 8, 8, 6]


def test_batches_that_weigh_much_go_a_few_at_a_time(small, same, resident, monkeypatch):
    batch = 16 * (6 + 1) * 4
    monkeypatch.setattr(sys.modules["lec7.train.fit"], "CHUNK_BYTES", 3 * batch)
    state, losses, windows = end(small, small.step, OnHost(small.source))
    same(state, resident[0])
    np.testing.assert_array_equal(losses, resident[1])
    assert windows == resident[2]


@pytest.mark.slow
def test_what_is_traced_ahead_has_the_examples_dtypes_and_is_not_traced_again(small):
    """With as many steps a dispatch where nothing is said."""
    seen = []

    def step(state, batch):
        seen.append({name: x.dtype for name, x in batch.items()})
        return small.step(state, batch)

    for source in (OnHost(small.source), small.source):
        trace(step, small.init(), source, batch_size=16)
        assert seen
        assert all(one == {"image": np.float32, "label": np.int32} for one in seen)
        traced = len(seen)
        for _ in train.fit(step, small.init(), source, steps=3, batch_size=16):
            pass
        assert len(seen) == traced


def test_it_goes_on_at_any_step(small, same, resident):
    source = OnHost(small.source)
    state, *_ = end(small, small.step, source, steps=13)
    source.rows.clear()
    state, losses, windows = end(small, small.step, source, state=state)
    same(state, resident[0])
    np.testing.assert_array_equal(losses, resident[1][13:])
    assert windows == [3, 8, 6]
    assert sum(source.rows) == 17 * 16 + 1  # and one example, for its shape


@pytest.mark.slow
def test_on_a_mesh_as_well(small, resident):
    mesh = train.make_mesh("data=4,fsdp=2")
    state, losses, _ = end(small, train.sharded(small.step, mesh), OnHost(small.source))
    np.testing.assert_allclose(losses, resident[1], atol=1e-5)
    assert state.params["head"]["kernel"].sharding.mesh == mesh


def test_the_device_waits_for_slow_examples_and_tells(small):
    source = data.stream(OnHost(small.source, seconds=0.03), threads=1)
    for _ in range(2):  # the first time it compiles
        told = [
            metrics[WAITING]
            for _, metrics in train.fit(small.step, small.init(), source, steps=24, batch_size=16, every=8)
        ]
    assert all(share.shape == (8,) and 0 <= share[0] <= 1 for share in told)
    assert told[-1][0] > 0.5


def test_what_a_source_raises_comes_out(small):
    with pytest.raises(InputError, match=r"cat7.jpg can't be read"):
        end(small, small.step, OnHost(small.source, broken=7))


def test_no_thread_stays(small):
    for _, _ in train.fit(small.step, small.init(), OnHost(small.source), steps=1000, batch_size=16, every=8):
        break
    deadline = time.monotonic() + 10
    while any(thread.name == "lec7 feed" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread.name for thread in threading.enumerate() if thread.name == "lec7 feed"]


def test_waiting_counts_only_where_nothing_else_is_under_way():
    def slow():
        for i in range(3):
            time.sleep(0.05)
            yield i

    with Ahead(slow(), 1) as items:
        assert items.next(is_idle=lambda: False) == 0
        assert items.waited == 0
        assert items.next() == 1
        assert 0.01 < items.waited < 1
        assert items.next() == 2
        with pytest.raises(RuntimeError, match="no more items"):
            items.next()


def test_a_process_reads_the_rows_of_its_devices(monkeypatch):
    mesh = train.make_mesh("data=4,fsdp=2")
    assert own_rows(16, mesh).tolist() == list(range(16))
    devices = set(mesh.devices[1].ravel())  # as if another process had the others
    wanted = {device: (slice(2 * i, 2 * i + 2),) for i, device in enumerate(mesh.devices.ravel())}
    monkeypatch.setattr(
        jax.sharding.NamedSharding,
        "addressable_devices_indices_map",
        lambda self, shape: {device: index for device, index in wanted.items() if device in devices},
    )
    assert own_rows(16, mesh).tolist() == [4, 5, 6, 7]


def test_rows_come_to_their_devices():
    mesh = train.make_mesh("data=2,fsdp=2,model=2")
    x = np.arange(3 * 8 * 2).reshape(3, 8, 2)
    put = put_rows({"x": x}, np.arange(8), 8, mesh, axis=1)["x"]
    np.testing.assert_array_equal(put, x)
    assert {shard.data.shape for shard in put.addressable_shards} == {(3, 2, 2)}


def test_a_mean_over_parts_is_the_mean(small, monkeypatch):
    variables = small.init().variables
    evaluate = jax.jit(train.make_evaluate(small.model, losses.cross_entropy))
    whole = mean_over(small.source, lambda source: evaluate(variables, source))
    monkeypatch.setattr("lec7.train.evaluate.CHUNK_BYTES", 32 * 7 * 4)
    sizes = []

    def measure(source):
        sizes.append(len(source))
        return evaluate(variables, source)

    for mesh in (None, train.make_mesh("data=8")):
        parts = mean_over(OnHost(small.source), measure, mesh)
        for name, value in whole.items():
            np.testing.assert_allclose(parts[name], value, rtol=1e-6)
    assert sizes == [32, 32, 32, 4] * 2


def test_statistics_are_of_the_same_batches(small, key):
    refresh = jax.jit(train.make_refresh(small.model, batch_size=10))
    variables = small.init().variables
    there = refresh(variables, small.source, key)
    read = refresh(variables, drawn(OnHost(small.source), key, 10), key)
    for a, b in zip(jax.tree.leaves(there), jax.tree.leaves(read), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_statistics_of_heavy_examples_are_of_fewer_batches(small, key, monkeypatch):
    monkeypatch.setattr("lec7.train.evaluate.STATISTICS_BYTES", 3 * 10 * 7 * 4)
    assert drawn(OnHost(small.source), key, 10).batches["label"].shape == (3, 10)


def test_shapes_are_those_of_the_device():
    source = OnHost(data.ArraySource({"image": np.zeros((3, 2), np.uint8), "label": np.zeros(3, np.int32)}))
    source.arrays["label"] = source.arrays["label"].astype(np.int64)
    shapes = feed.like(source, 5)
    assert {name: (x.shape, x.dtype.name) for name, x in shapes.items()} == {
        "image": ((5, 2), "uint8"),
        "label": ((5,), "int32"),
    }
    assert tree.nbytes(shapes) == 5 * 2 + 5 * 4
