import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7 import averaging, losses, optim, train
from lec7.errors import InputError
from lec7.train.checkpoints import Checkpoints, checksum


@pytest.fixture
def trained(small):
    """States after 1 to 5 steps."""
    states, state, step = [], small.init(), train.jit(small.step)
    for t in range(5):
        state, _ = step(state, small.batch(t))
        states.append(jax.tree.map(jnp.copy, state))
    return states


def largest_file(folder: Path) -> Path:
    """Of those that hold arrays; without some others, such as that of shardings, a checkpoint can be read."""
    return max(folder.rglob("d/*"), key=lambda path: path.stat().st_size * ("ocdbt.process_0" not in path.parts))


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif how == "a bit flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()


def test_what_is_saved_comes_back_bit_for_bit(tmp_path, trained, small, same):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(trained[0], 0.5)
        checkpoints.wait()
        restored = checkpoints.restore(jax.eval_shape(small.init))
    assert (restored.step, restored.damaged) == (1, {})
    same(restored.state, trained[0])


@pytest.mark.slow
def test_saving_goes_on_while_the_memory_is_handed_on(tmp_path, trained, small, same):
    kept = jax.tree.map(jnp.copy, trained[0])
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(trained[0], 0.5)
        step, state = train.jit(small.step), trained[0]
        for t in range(20):
            state, _ = step(state, small.batch(t))
    with Checkpoints(tmp_path / "c") as checkpoints:
        same(checkpoints.restore(small.init()).state, kept)


def test_the_latest_two_and_the_best_stay(tmp_path, trained):
    with Checkpoints(tmp_path / "c") as checkpoints:
        for state, score in zip(trained, (0.5, 0.9, 0.6, 0.7, 0.8), strict=True):
            checkpoints.save(state, score)
        checkpoints.wait()
        assert checkpoints.steps == [2, 4, 5]
        assert checkpoints.best == 2


@pytest.mark.parametrize("how", ["cut short", "a bit flipped", "missing"])
def test_a_damaged_newest_one_falls_back_to_the_one_before(tmp_path, trained, small, same, how):
    with Checkpoints(tmp_path / "c") as checkpoints:
        for state in trained[:2]:
            checkpoints.save(state, 0.5)
    damage(largest_file(tmp_path / "c" / "2"), how)
    with Checkpoints(tmp_path / "c") as checkpoints:
        restored = checkpoints.restore(small.init())
        assert restored.step == 1
        assert list(restored.damaged) == [2]
        same(restored.state, trained[0])


def test_none_that_can_be_read_is_an_error_with_all_reasons(tmp_path, trained, small):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(trained[0], 0.5)
    damage(largest_file(tmp_path / "c" / "1"), "cut short")
    with Checkpoints(tmp_path / "c") as checkpoints, pytest.raises(InputError, match=r"can be read: step 1: "):
        checkpoints.restore(small.init())


def test_a_step_that_was_not_saved_is_named_with_those_that_were(tmp_path, trained, small):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(trained[2])
        checkpoints.wait()
        with pytest.raises(InputError, match=r"no checkpoint of step 7; it has steps \[3\]"):
            checkpoints.restore(small.init(), 7)


def test_the_checksum_sees_every_bit_of_every_type():
    leaves = {
        "f32": jnp.arange(7.0),
        "bf16": jnp.arange(7.0, dtype=jnp.bfloat16),
        "i8": jnp.arange(7, dtype=jnp.int8),
        "bool": jnp.arange(7) % 2 == 0,
        "c64": jnp.arange(7.0) * 1j,
        "key": jax.random.split(jax.random.key(0), 7),
        "empty": jnp.zeros((0, 3)),
        "scalar": jnp.float32(2),
    }
    sums = {int(checksum(leaves))}
    changed = {
        "f32": leaves["f32"].at[3].multiply(1 + 2**-23),
        "bf16": leaves["bf16"].at[3].set(3.015625),
        "i8": leaves["i8"].at[6].set(7),
        "bool": leaves["bool"].at[1].set(True),
        "c64": leaves["c64"].at[0].set(1e-30),
        "key": jax.random.split(jax.random.key(1), 7),
        "scalar": jnp.float32(-2),
    }
    for name, leaf in changed.items():
        sums.add(int(checksum({**leaves, name: leaf})))
    sums.add(int(checksum({**leaves, "f32": leaves["f32"][::-1]})))
    assert len(sums) == len(changed) + 2


def with_averages(small, *averages):
    """A state after five steps of `chain(adam, *averages)`."""
    optimizer = optax.chain(optim.adam(0.01), *averages)
    state = train.init(jax.random.key(0), small.model, optimizer, jnp.zeros((1, 6)))
    step = train.jit(train.make_step(small.model, losses.cross_entropy, optimizer))
    for t in range(5):
        state, _ = step(state, small.batch(t))
    return optimizer, state


OTHERS = {
    "the same": lambda: (averaging.ema(0.9),),
    "none": lambda: (),
    "another": lambda: (averaging.swa(1), averaging.snapshots(2, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("saved", OTHERS)
def test_a_run_goes_on_with_other_averages_than_were_saved(tmp_path, small, same, saved, other):
    """They begin at the parameters that were saved; all else is what was saved, bit for bit."""
    _, before = with_averages(small, *OTHERS[saved]())
    optimizer, after = with_averages(small, *OTHERS[other]())
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(before)
        checkpoints.wait()
        got = checkpoints.restore(after, averages=False).state
    same((got.params, got.model_state, got.key), (before.params, before.model_state, before.key))
    begun = averaging.take_out(optimizer.init(got.params))[1]
    state = got.replace(opt_state=averaging.put_in(got.opt_state, begun))
    assert jax.tree.structure(state) == jax.tree.structure(after)
    same(averaging.take_out(state.opt_state)[0][0], averaging.take_out(before.opt_state)[0][0])
    train.jit(train.make_step(small.model, losses.cross_entropy, optimizer))(
        jax.tree.map(jnp.copy, state), small.batch(5)
    )


def test_averages_that_were_not_saved_are_missed(tmp_path, small):
    _, before = with_averages(small)
    _, after = with_averages(small, averaging.ema(0.9))
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(before)
        checkpoints.wait()
        with pytest.raises(InputError, match="step 5: it has no averages, and can be read without"):
            checkpoints.restore(after)


@pytest.mark.parametrize("item", ["state", "averages"])
def test_a_bit_of_either_item_is_missed(tmp_path, trained, small, item):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(trained[0])
    damage(largest_file(tmp_path / "c" / "1" / item), "a bit flipped")
    with Checkpoints(tmp_path / "c") as checkpoints, pytest.raises(InputError, match="can be read: step 1: "):
        checkpoints.restore(small.init())


READ = """
import sys, jax, jax.numpy as jnp, numpy as np
from lec7.train import TrainState
from lec7.train.checkpoints import Checkpoints
like = jax.eval_shape(lambda: TrainState(jnp.int32(3), jax.random.key(0), {"w": jnp.zeros((8, 4))}, {}, ()))
with Checkpoints(__import__("pathlib").Path(sys.argv[1])) as checkpoints:
    state = checkpoints.restore(like).state
assert len(jax.devices()) == int(sys.argv[2])
assert np.array_equal(state.params["w"], np.arange(32.0).reshape(8, 4)) and state.key == jax.random.key(7)
"""


@pytest.fixture
def dealt_out(tmp_path):
    """A state that lies on all eight devices, and the folder of its checkpoint."""
    rows = NamedSharding(Mesh(jax.devices(), ("lane",)), P("lane"))
    everywhere = NamedSharding(rows.mesh, P())
    w = jax.device_put(jnp.arange(32.0).reshape(8, 4), rows)
    step, key = jax.device_put((jnp.int32(3), jax.random.key(7)), everywhere)
    state = train.TrainState(step, key, {"w": w}, {}, ())
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state)
    return state, tmp_path / "c"


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_what_was_saved_from_many_devices_is_read_where_there_are_fewer(dealt_out, devices):
    _, folder = dealt_out
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-c", READ, str(folder), str(devices)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_what_is_read_lies_where_the_state_that_it_is_like_does(dealt_out, same):
    state, folder = dealt_out
    with Checkpoints(folder) as checkpoints:
        as_it_was, anywhere = (checkpoints.restore(like).state for like in (state, jax.eval_shape(lambda: state)))
    same(as_it_was, state)
    same(anywhere, state)
    assert as_it_was.params["w"].sharding == state.params["w"].sharding
    assert anywhere.params["w"].devices() == {jax.devices()[0]}
