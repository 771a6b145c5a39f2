"""Batches read ahead by threads and processes: always the same ones, and what goes wrong comes out."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from lec7 import data
from lec7.errors import InputError


class Numbers:
    """Examples that are their own index, with the process that read them; one of them may be broken."""

    def __init__(self, broken=-1, error=InputError):
        self.broken, self.error = broken, error

    def __len__(self):
        return 100

    def __getitem__(self, indices):
        if self.broken in indices:
            raise self.error(f"photographs/{self.broken}.jpg can't be read")
        return {"number": indices.copy(), "process": np.full(len(indices), os.getpid())}


class Unpicklable(Exception):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.lock = threading.Lock()


@pytest.fixture
def order(key):
    return data.HostOrder(key, 100, 8)


def numbers(reading):
    return [batch["number"].tolist() for batch in reading]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("start", [0, 5])
def test_batches_are_those_of_the_order_wherever_one_begins(order, threads, start):
    found = numbers(data.batches(data.stream(Numbers(), threads=threads), order, start, 40))
    assert found == [order.indices(step).tolist() for step in range(start, 40)]


@pytest.mark.parametrize("together", [3, 7, 100])
def test_batches_that_are_read_together_are_the_same(order, together):
    rows = np.array([6, 2, 3])
    found = numbers(data.batches(data.stream(Numbers()), order, 5, 25, rows, together=together))
    assert found == [order.indices(step)[rows].tolist() for step in range(5, 25)]


def test_cheap_examples_are_read_many_batches_at_a_time(order):
    asked = []

    class Counted(Numbers):
        def __getitem__(self, indices):
            asked.append(len(indices))
            return super().__getitem__(indices)

    assert len(list(data.batches(data.stream(Counted()), order, 0, 20, together=8))) == 20
    assert sorted(asked) == [4 * 8, 8 * 8, 8 * 8]


@pytest.mark.slow
def test_workers_read_the_same_batches_and_go_on_when_all_are_asked_to_stop(order):
    rows = np.array([6, 2, 3])
    reading = data.batches(data.stream(Numbers(), threads=2, workers=2), order, 7, 60, rows)
    found = [next(reading)]
    for process in processes(found):
        os.kill(process, signal.SIGINT)
        os.kill(process, signal.SIGTERM)
    found.extend(reading)
    assert numbers(found) == [order.indices(step)[rows].tolist() for step in range(7, 60)]
    assert all(type(batch["number"]) is np.ndarray for batch in found)
    assert len(processes(found)) == 2
    assert os.getpid() not in processes(found)
    assert all(ended(process) for process in processes(found))


def processes(found):
    return {int(batch["process"][0]) for batch in found}


def ended(process, seconds=10.0):
    for _ in range(int(seconds / 0.1)):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_no_steps_are_no_batches(order):
    assert list(data.batches(data.stream(Numbers()), order, 3, 3)) == []


def test_closing_early_ends_the_threads(order):
    before = {thread for thread in threading.enumerate() if thread.name.startswith("grain")}
    reading = data.batches(data.stream(Numbers()), order, 0, 10**9)
    next(reading)
    reading.close()
    for thread in threading.enumerate():
        if thread.name.startswith("grain") and thread not in before:
            thread.join(5)
            assert not thread.is_alive()
    assert list(reading) == []


def test_an_error_comes_out_with_its_file(order):
    with pytest.raises(InputError, match=r"^photographs/7.jpg can't be read"):
        list(data.batches(data.stream(Numbers(broken=7)), order, 0, 20))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "raised"), [(InputError, InputError), (Unpicklable, RuntimeError)])
def test_an_error_of_a_worker_comes_out_with_its_file(order, kind, raised):
    with pytest.raises(raised, match=r"photographs/7.jpg can't be read"):
        list(data.batches(data.stream(Numbers(7, kind), workers=1), order, 0, 20))


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_within_seconds(order):
    reading = data.batches(data.stream(Numbers(), workers=1), order, 0, 10**9)
    os.kill(int(next(reading)["process"][0]), signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"exit code -9, while it read batches.* try fewer workers"):
        list(reading)
    assert time.monotonic() - begin < 10


SCRIPT = """
import os, signal
import jax
import numpy as np
from lec7 import data

class Mine:
    def __len__(self):
        return 100

    def __getitem__(self, indices):
        from jax._src import xla_bridge

        ones = np.ones(len(indices), int)
        return {"process": os.getpid() * ones, "backends": len(xla_bridge._backends) * ones}


if __name__ == "__main__":
    order = data.HostOrder(jax.random.key(0), 100, 8)
    reading = data.batches(data.stream(Mine(), workers=2), order, 0, 10**9)
    first = next(reading)
    print("read by", first["process"][0], "with backends", first["backends"][0], flush=True)
"""


def run(tmp_path, script):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    return subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_script_ends_with_an_open_iterator_and_no_worker_asks_jax_for_devices(tmp_path):
    done = run(tmp_path, SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "with backends 0" in done.stdout
    assert ended(int(done.stdout.split()[2]))


@pytest.mark.slow
def test_workers_end_when_the_script_is_killed(tmp_path):
    done = run(tmp_path, SCRIPT + "    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert done.returncode == -signal.SIGKILL
    assert ended(int(done.stdout.split()[2]))


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"threads": 0}, "threads is 0, expected a whole number from 1 on"),
        ({"workers": -1}, "workers is -1, expected a whole number from 0 on"),
        ({"ahead": 1.5}, "ahead is 1.5, expected a whole number from 1 on"),
    ],
)
def test_knobs_out_of_range_are_refused(knobs, told):
    with pytest.raises(InputError, match=told):
        data.stream(Numbers(), **knobs)


def test_what_lies_on_the_device_or_does_not_pickle_is_refused():
    with pytest.raises(InputError, match=r"ArraySource\(x: .*\) is on the device: hand it over as it is"):
        data.stream(data.ArraySource({"x": np.zeros(3)}))
    locked = Numbers(error=threading.Lock())
    data.stream(locked)
    with pytest.raises(InputError, match=r"can't be pickled \(TypeError: .*lock.*or give workers=0"):
        data.stream(locked, workers=1)


def test_a_stream_is_a_source_and_what_is_taken_of_it_is_one():
    stream = data.stream(Numbers(), threads=2, ahead=3)
    assert len(stream) == 100
    assert stream[np.array([3, 1])]["number"].tolist() == [3, 1]
    taken = data.take(stream, np.array([9, 8, 7]))
    assert isinstance(taken, data.Stream)
    assert (taken.threads, taken.ahead, len(taken)) == (2, 3, 3)
    assert taken[np.array([2, 0])]["number"].tolist() == [7, 9]


def test_the_room_needs_none_of_the_readers_until_they_are_used(tmp_path):
    done = run(
        tmp_path,
        """
        import sys
        for name in ("grain", "tensorflow_datasets", "array_record", "cloudpickle", "absl"):
            sys.modules[name] = None
        from lec7 import data
        print(data.split(data.ArraySource({"x": range(10)}), 3)[1], data.stream(range(3)))
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "ArraySource(x: int32[3]) Stream(source=range(0, 3), threads=4, workers=0, ahead=2)\n",
        "",
    )
