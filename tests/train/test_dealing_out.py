"""Many runs in one program: dealt out, in chunks, and each what it is alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import train
from lec7.errors import InputError
from lec7.train.lanes import copy_out, deal_out, mesh_of


def work(x, key, shared):
    """Something with a loop, randomness and a matrix."""
    w = jax.random.normal(key, (4, 4))
    return {"y": jax.lax.fori_loop(0, 3, lambda i, x: jnp.tanh(w @ x + shared), x), "key": key}


def arguments(lanes):
    return jnp.arange(4.0 * lanes).reshape(lanes, 4), jax.random.split(jax.random.key(0), lanes), jnp.float32(0.5)


@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("devices", [0, 1, 8])
@pytest.mark.parametrize("chunk", [None, 1, 2, 50])
def test_each_lane_is_the_function_of_its_arguments(chunk, devices, lanes):
    mapped = train.lanes(work, mapped=2, chunk=chunk, devices=jax.devices()[:devices])
    xs, keys, shared = arguments(lanes)
    got = jax.jit(mapped)(xs, keys, shared)
    for i in range(lanes):
        alone = jax.jit(work)(xs[i], keys[i], shared)
        check = (
            np.testing.assert_array_equal if chunk == 1 else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4)
        )
        check(got["y"][i], alone["y"])
        assert got["key"][i] == keys[i]


@pytest.mark.parametrize(
    ("lanes", "devices", "used"), [(8, 8, 8), (8, 6, 4), (6, 4, 3), (7, 8, 7), (7, 6, 1), (1, 8, 1)]
)
def test_as_many_devices_are_used_as_divide_the_lanes(lanes, devices, used):
    assert mesh_of(lanes, jax.devices()[:devices]).size == used


def test_lanes_stay_where_they_were_dealt_out_to():
    devices = jax.devices()
    xs, keys, shared = arguments(8)
    dealt, copied = deal_out((xs, keys), devices), copy_out(shared, 8, devices)
    got = jax.jit(train.lanes(work, mapped=2, chunk=1, devices=devices))(*dealt, copied)
    for array in (dealt[0], got["y"]):
        assert len(array.sharding.device_set) == 8
        assert {shard.data.shape for shard in array.addressable_shards} == {(1, 4)}
    assert copied.sharding.is_fully_replicated
    assert deal_out(xs, ()) is xs


def test_lanes_on_different_devices_do_not_talk_to_each_other():
    """Not even about when a loop ends."""
    program = jax.jit(train.lanes(work, mapped=2, devices=jax.devices()))
    text = program.lower(*arguments(8)).compile().as_text()
    assert not any(word in text for word in ("all-reduce", "all-gather", "collective-permute", "all-to-all"))


def test_a_chunk_of_none_is_refused():
    with pytest.raises(InputError, match="chunk is 0, expected how many run side by side"):
        train.lanes(work, chunk=0)
