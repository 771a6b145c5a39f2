"""Several processes of `jax.distributed`, each with lanes of its own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lec7 import sweep
from lec7.sweep.processes import everywhere, share
from lec7.sweep.results import Row
from lec7.sweep.store import read_rows
from lec7.train.processes import gathered

HERE = Path(__file__).parent
SPACE = {"learning_rate": [0.2, 1e-4, 0.1, 1e-3], "seed": [0, 1]}
SCRIPT = """
import json, sys
import jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
from pathlib import Path
from lec7 import sweep
from lec7.train.processes import on_first
from test_processes import SPACE, swept
folder = Path(on_first(lambda: sys.argv[3]))
results = swept(folder)
assert jax.process_count() == 2 and len(jax.local_devices()) == 2
print(json.dumps([[row.lane, row.status, row.step, row.metrics["test/loss"]] for row in results.rows]))
"""


def swept(folder=None, devices=None):
    from test_sweep import HP, light

    machine = sweep.Machine(lanes=1, devices=devices)
    return sweep.run(light, SPACE, HP, halving=sweep.Halving(eta=2), machine=machine, folder=folder)


def test_each_lane_is_one_process_s():
    parts = [share(range(11), process, 4) for process in range(4)]
    assert sorted(lane for part in parts for lane in part) == list(range(11))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_process_that_is_alone_hears_itself():
    row = Row(3, {"seed": 0}, "finished", 1, {}, {})
    assert gathered([1, "a"]) == [[1, "a"]]
    assert everywhere([row, Row(1, {"seed": 1}, "finished", 1, {}, {})])[1] is row


@pytest.mark.slow
def test_two_processes_find_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {
        "PYTHONPATH": f"{HERE}:{HERE.parent}:{HERE.parents[1]}",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, address, str(i), str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    one, other = (json.loads(output.splitlines()[-1]) for output, _ in outputs)
    assert one == other
    alone = swept().rows
    assert [row[:3] for row in one] == [[row.lane, row.status, row.step] for row in alone]
    assert [row[3] for row in one] == pytest.approx([row.metrics["test/loss"] for row in alone], rel=1e-5)
    assert {row.step for row in alone} == {5, 10, 20}
    assert [row.lane for row in read_rows(tmp_path)] == list(range(8))
    assert (tmp_path / "results-1.jsonl").stat().st_size
