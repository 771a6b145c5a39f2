"""Real processes, killed and resumed: the end is the undisturbed run's, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from lec7 import experiment
from lec7.train.checkpoints import Checkpoints

FILE = Path(__file__).parents[2] / "experiments" / "digits.py"
WORDS = ("--steps", "1500", "--width", "64")
CHECKPOINT_EVERY = 250


def start(*words, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, "-m", "lec7", "run", *map(str, words)],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process):
    output = process.communicate(timeout=240)[0]
    return process.returncode, output


def when(condition, process):
    """Waits until something is seen on disk; False where the process ended first."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.001)
    return False


def end_state(folder):
    """The last checkpoint's arrays, and the log without its clock."""
    run = experiment.RunFolder(folder)
    file = experiment.load(FILE)
    built = experiment.instantiate(file, file.restore(run.config["hyperparameters"]))
    with Checkpoints(run.checkpoints_path) as checkpoints:
        state = checkpoints.restore(jax.eval_shape(built.init), built.steps).state
    clock = ("seconds", "examples_per_second")
    rows = [{k: v for k, v in row.items() if k not in clock} for row in run.metrics()]
    return state, rows, run.result["metrics"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = finish(start(FILE, *WORDS, "--name", "a", cwd=folder))
    assert code == 0, output
    return end_state(folder / "runs/a")


def assert_same_end(folder, undisturbed):
    state, rows, metrics = end_state(folder)
    assert rows == undisturbed[1]
    assert metrics == undisturbed[2]
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(undisturbed[0]), strict=True):
        if jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def logged(folder, step):
    path = folder / "metrics.jsonl"
    return lambda: path.exists() and f'"step": {step},' in path.read_text()


def writing(folder, step):
    """While Orbax writes a step: its folder has a temporary name until all of it is there."""
    checkpoints = folder / "checkpoints"
    return lambda: checkpoints.is_dir() and any(p.name.startswith(f"{step}.orbax") for p in checkpoints.iterdir())


MOMENTS = {
    "before the first checkpoint": lambda folder: logged(folder, 100),
    "between checkpoints": lambda folder: logged(folder, 850),
    "while a checkpoint is being written": lambda folder: writing(folder, 750),
    "near the end": lambda folder: logged(folder, 1450),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_sigkill_and_resume_end_bit_for_bit_as_undisturbed(tmp_path, undisturbed, moment):
    folder = tmp_path / "runs/a"
    process = start(FILE, *WORDS, "--name", "a", cwd=tmp_path)
    assert when(MOMENTS[moment](folder), process), finish(process)[1]
    process.kill()
    process.wait()
    if "being written" in moment:
        assert writing(folder, 750)()
    code, output = finish(start("--resume", folder, cwd=tmp_path))
    assert code == 0, output
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_says_how_to_go_on_and_has_a_code_of_its_own(tmp_path, undisturbed, number, code):
    folder = tmp_path / "runs/a"
    process = start(FILE, *WORDS, "--name", "a", cwd=tmp_path)
    assert when(logged(folder, 300), process), finish(process)[1]
    process.send_signal(number)
    got, output = finish(process)
    assert got == code, output
    step = json.loads((folder / "result.json").read_text())["step"]
    assert f"stopped at step {step}, saved; go on with: lec7 run --resume runs/a" in output
    assert (folder / "checkpoints" / str(step)).is_dir()
    code, output = finish(start("--resume", folder, cwd=tmp_path))
    assert code == 0, output
    assert f"training from step {step}" in output
    assert_same_end(folder, undisturbed)


@pytest.mark.slow
def test_a_diverging_run_has_a_code_of_its_own(tmp_path):
    code, output = finish(start(FILE, *WORDS, "--learning-rate", "1e38", cwd=tmp_path))
    assert code == 3, output
    assert "the loss became" in output
    assert "learning_rate" in output
