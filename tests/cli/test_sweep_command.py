"""`lec7 sweep` and `lec7 report`."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from lec7 import sweep
from lec7.sweep.store import read_rows

TINY = '''
"""A linear classifier of digits."""

from dataclasses import dataclass

from lec7 import data, losses, models, optim
from lec7.experiment import Experiment


@dataclass(frozen=True)
class Tiny:
    learning_rate: float = 0.1
    """Of SGD."""
    optimizer: optim.Name = "sgd"
    """Which."""
    steps: int = 20
    """How many."""
    seed: int = 0
    """Of all."""


def build(hp: Tiny) -> Experiment:
    train, test = data.digits()
    return Experiment(
        model=models.from_nnx(lambda rngs: models.MLP(64, (), 10, rngs=rngs)),
        loss=losses.cross_entropy,
        optimizer=optim.by_name(hp.optimizer, hp.learning_rate),
        train=train,
        test=test,
        steps=hp.steps,
        batch_size=16,
        seed=hp.seed,
        log_every=10,
        evaluate_every=10,
    )
'''


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path


@pytest.mark.slow
def test_a_sweep_trains_reports_and_is_finished(tiny, here):
    words = ["--learning-rate", "log:1e-3:1e-1:3", "--seed", "0:2", "--steps", "10", "--lanes", "2"]
    ended = here("sweep", "tiny.py", *words, cwd=tiny)
    assert ended.returncode == 0, ended.stderr
    folder = tiny / "runs" / "tiny-sweep-1"
    rows = read_rows(folder)
    assert [(row.hyperparameters["seed"], row.step) for row in rows] == [(0, 10), (1, 10)] * 3
    best = sweep.read(folder).results.best
    assert f"lec7 run tiny.py --steps 10 {best.options}" in ended.stdout
    assert json.loads((folder / "result.json").read_text())["lanes"] == 6
    assert {"curves.png", "fields.png", "report.md"} <= {path.name for path in folder.iterdir()}

    shown = here("report", "runs/tiny-sweep-1", "--metric", "test/loss", "--top", "1", cwd=tiny)
    assert shown.returncode == 0
    assert "2 more are not shown" in shown.stdout
    assert "is finished" in here("sweep", "--resume", "runs/tiny-sweep-1", cwd=tiny).stdout
    listed = here("runs", cwd=tiny).stdout
    assert "tiny x 6 lanes" in listed
    assert "is a sweep" in here("eval", "runs/tiny-sweep-1", cwd=tiny).stderr
    assert "is a sweep" in here("run", "--resume", "runs/tiny-sweep-1", cwd=tiny).stderr
    assert "nowhere is no run and no sweep" in here("report", "nowhere", cwd=tiny).stderr


@pytest.mark.slow
def test_several_kinds_are_several_programs(tiny, here):
    ended = here(
        "sweep", "tiny.py", "--optimizer=sgd,adam", "--steps", "10", "--lanes", "1", "--name", "both", cwd=tiny
    )
    assert ended.returncode == 0, ended.stderr
    rows = read_rows(tiny / "runs" / "both")
    assert [row.hyperparameters for row in rows] == [{"optimizer": "sgd"}, {"optimizer": "adam"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lerning-rate", "log:1e-3:1e-1:3"], "no hyperparameter --lerning-rate .* did you mean 'learning_rate'"),
        (["--learning-rate", "log:0:1:3"], "goes through zero"),
        (["--seed", "3:3"], "is empty"),
        (["--steps", "1:1001"], "1000 programs, more than 32.*--programs 1000"),
        (["--learning-rate", "0.1"], "nothing is swept"),
        (["--seed", "0:2", "--sampler", "tpe"], "expected how many: --random N"),
        (["--seed", "0:2", "--metric", "test/los"], "did you mean 'test/loss'"),
        (["--seed", "0:2", "--seed", "2:4"], "is given twice"),
        (["--seed", "0:2", "--resume", "x"], "give one or the other"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_leaves_nothing(words, message, tiny, here):
    ended = here("sweep", "tiny.py", *words, cwd=tiny)
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert re.search(message, ended.stderr)
    assert not (tiny / "runs").exists()


def test_an_unknown_value_of_a_choice_is_refused(tiny, here):
    ended = here("sweep", "tiny.py", "--optimizer", "sgd,adamm", cwd=tiny)
    assert ended.returncode == 2
    assert "adamm" in ended.stderr + ended.stdout


@pytest.mark.slow
def test_a_sweep_killed_by_the_system_goes_on_without_what_it_has(tiny, here):
    words = ["--learning-rate", "log:1e-3:1e-1:40", "--seed", "0:5", "--lanes", "1", "--name", "killed"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "lec7", "sweep", "tiny.py", *words]
    process = subprocess.Popen(command, cwd=tiny, env=environment, stdout=subprocess.DEVNULL)
    results = tiny / "runs" / "killed" / "results.jsonl"
    deadline = time.monotonic() + 120
    while not (results.exists() and results.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    had = results.read_bytes()
    had = had[: had.rfind(b"\n") + 1]
    count = len(had.splitlines())
    assert 0 < count < 200
    ended = here("sweep", "--resume", "runs/killed", cwd=tiny)
    assert ended.returncode == 0, ended.stderr
    assert results.read_bytes().startswith(had)
    assert [row.lane for row in read_rows(results.parent)] == list(range(200))
    assert len(results.read_text().splitlines()) == 200


def test_the_help_tells_how_values_are_written(tiny, here):
    ended = here("sweep", "tiny.py", "--help", cwd=tiny)
    assert ended.returncode == 0
    assert "log:1e-4:1e-1:16" in ended.stdout
    assert "--halving" in ended.stdout
