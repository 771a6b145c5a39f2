"""Two real processes of one run, over loopback: the same numbers, one log, and an end together."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soak

from lec7 import tree

ROOT = Path(__file__).parents[2]
WORDS = (soak.EXPERIMENT, "--steps", "400", "--width", "16", "--mesh", "data=2")


def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start(command, cwd, devices=1):
    """A command in two processes, each of which has its number appended to its words."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'train'}:{ROOT / 'tests'}",
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command), str(i)],
            cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(2)
    ]  # fmt: skip


def finish(processes):
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def run(*words, cwd, devices=1):
    there = ("--distributed", "--coordinator", address(), "--processes", 2, "--process")
    return start(("-m", "lec7", "run", *words, *there), cwd, devices)


SCRIPT = """
import sys
import jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[3]))
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from lec7 import train, tree
from lec7.train.placement import everywhere
from on_host import OnHost
from test_parallel import BATCH, STEPS, begin, source, step

mesh = train.make_mesh("data=2,fsdp=4")
assert jax.process_count() == 2 and len(jax.local_devices()) == 4
ends = {}
for dtype in (jnp.float64, jnp.float32):
    with jax.enable_x64(dtype == jnp.float64):
        state = train.place(begin(dtype), mesh)
        on_mesh = train.sharded(step(True, dtype), mesh)
        run = train.jit(train.scan(on_mesh, STEPS, train.draw(BATCH)))
        state, _ = run(state, everywhere(source(dtype), mesh), STEPS)
        # A sharded array is whole on neither process.
        whole = jax.jit(lambda x: x, out_shardings=jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
        state = state.replace(key=jax.random.key_data(state.key))
        for name, x in tree.named(whole(state)).items():
            ends[f"{np.dtype(dtype).name}:{name}"] = np.asarray(x)
state = train.place(begin(), mesh)
read = OnHost(source())
for state, _ in train.fit(on_mesh, state, read, steps=STEPS, batch_size=BATCH, every=2):
    pass
ends["rows"] = np.array(read.rows)
for name, x in tree.named(whole(state.params)).items():
    ends[f"stream:{name}"] = np.asarray(x)
np.savez(f"{sys.argv[2]}-{sys.argv[3]}.npz", **ends)
"""


@pytest.mark.slow
def test_two_processes_of_four_devices_compute_what_one_device_does(tmp_path):
    sys.path.insert(0, str(ROOT / "tests" / "train"))
    from test_parallel import BATCH, STEPS, alone

    codes, outputs = finish(start(("-c", SCRIPT, address(), tmp_path / "end"), ROOT, devices=4))
    assert codes == [0, 0], outputs
    first, second = (dict(np.load(tmp_path / f"end-{i}.npz")) for i in range(2))
    for dtype, atol in (("float64", 1e-10), ("float32", 1e-5)):
        for name, want in tree.named(alone(np.dtype(dtype).type).replace(key=0)).items():
            if name != "key":
                for end in (first, second):
                    np.testing.assert_allclose(end[f"{dtype}:{name}"], want, atol=atol, rtol=0, err_msg=name)
    # Each reads its half of each batch, and one example for its shape; what it trains on is what the device has.
    for end in (first, second):
        assert end["rows"].tolist() == [1] + [BATCH // 2] * STEPS
        for name in (name for name in end if name.startswith("stream:")):
            want = end[f"float32:params/{name.removeprefix('stream:')}"]
            np.testing.assert_allclose(end[name], want, atol=1e-6, err_msg=name)


def when_logged(folder, step, processes):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        path = folder / "metrics.jsonl"
        if path.exists() and f'"step": {step},' in path.read_text():
            return
        time.sleep(0.01)
    pytest.fail(str(finish(processes)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    # Of the two devices of each process, the mesh takes one.
    codes, outputs = finish(run(*WORDS, "--name", "a", cwd=folder, devices=2))
    assert codes == [0, 0], outputs
    assert "mesh of 2 cpu devices" in outputs[0]
    assert "finished at step 400" in outputs[0]
    assert "step" not in re.sub(r"\[Gloo\].*\n", "", outputs[1])  # the first one alone tells
    return soak.end_of(folder / "runs/a")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_is_killed_the_other_ends_and_all_go_on_exactly(tmp_path, undisturbed, victim):
    folder = tmp_path / "runs/a"
    processes = run(*WORDS, "--name", "a", cwd=tmp_path)
    when_logged(folder, 300, processes)
    processes[victim].kill()
    begin = time.monotonic()
    codes, outputs = finish(processes)
    assert time.monotonic() - begin < 60
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] in (4, -signal.SIGABRT)  # JAX may be the first to see it, and aborts
    told = f"lec7: process {1 - victim} of 2 ends, for another one is gone; start all of them again: lec7 run --resume"
    assert told in outputs[1 - victim]

    codes, outputs = finish(run("--resume", folder, cwd=tmp_path))
    assert codes == [0, 0], outputs
    assert soak.differences(soak.end_of(folder), undisturbed) == []


@pytest.mark.slow
def test_sigterm_to_one_saves_on_all_and_one_process_can_go_on(tmp_path, undisturbed):
    folder = tmp_path / "runs/a"
    processes = run(*WORDS, "--name", "a", cwd=tmp_path)
    when_logged(folder, 300, processes)
    processes[1].terminate()
    codes, outputs = finish(processes)
    assert codes == [143, 143], outputs
    step = json.loads((folder / "result.json").read_text())["step"]
    assert f"stopped at step {step}, saved; go on with: lec7 run --resume runs/a --distributed" in outputs[0]

    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "lec7", "run", "--resume", folder, "--mesh", "data=4"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert f"training from step {step}" in done.stdout
    end = soak.end_of(folder)
    assert [row["step"] for row in end.rows] == [row["step"] for row in undisturbed.rows]
    for name, want in undisturbed.arrays.items():
        np.testing.assert_allclose(end.arrays[name], want, atol=1e-2, err_msg=name)
