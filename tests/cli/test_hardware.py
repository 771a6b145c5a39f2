"""The options of `lec7 run` about devices, precision and examples."""

import json
from pathlib import Path

import pytest

DIGITS = Path(__file__).parents[2] / "experiments" / "digits.py"
QUICK = (DIGITS, "--steps", "20", "--width", "8")

HOST = '''
"""Digits that are read from the host."""
from dataclasses import dataclass

from on_host import OnHost

from lec7 import data, losses, models, optim
from lec7.experiment import Experiment


@dataclass(frozen=True)
class Hyperparameters:
    steps: int = 4
    """Number of training steps."""
    seed: int = 0
    """What all randomness comes from."""
    streams: bool = False
    """Whether the examples say that they stream."""


def build(hp: Hyperparameters) -> Experiment:
    train, test = map(OnHost, data.digits())
    model = models.from_nnx(lambda rngs: models.MLP(64, (8,), 10, rngs=rngs))
    return Experiment(
        model=model, loss=losses.cross_entropy, optimizer=optim.adam(1e-2),
        train=data.stream(train) if hp.streams else train, test=test,
        steps=hp.steps, batch_size=16, seed=hp.seed, log_every=2, evaluate_every=4,
    )
'''  # fmt: skip


@pytest.fixture
def host(tmp_path):
    path = tmp_path / "host.py"
    path.write_text(HOST)
    return path


@pytest.mark.slow
def test_a_mesh_is_told_kept_and_may_be_another_one_later(tmp_path, here):
    done = here("run", *QUICK, "--mesh", "data=2,fsdp=4", "--name", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mesh of 8 cpu devices, data=2, fsdp=4: the state has 0.0 MB, of which a device keeps 0.0" in done.stdout
    config = json.loads((tmp_path / "runs/a/config.json").read_text())
    assert (config["mesh"], config["precision"], config["examples"]) == ("data=2,fsdp=4", "float32", "auto")
    assert here("eval", "runs/a", cwd=tmp_path).returncode == 0
    done = here("run", "--resume", "runs/a", "--mesh", "data=8", cwd=tmp_path)
    assert "runs/a is finished, at step 20" in done.stdout


@pytest.mark.slow
def test_bfloat16_is_kept(tmp_path, here):
    done = here("run", *QUICK, "--precision", "bf16", "--name", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    logged = json.loads((tmp_path / "runs/a/result.json").read_text())["metrics"]["test/loss"]
    assert json.loads((tmp_path / "runs/a/config.json").read_text())["precision"] == "bf16"
    assert f"{logged:.4f}" in here("eval", "runs/a", cwd=tmp_path).stdout


@pytest.mark.slow
def test_members_have_a_precision_as_well(tmp_path, here):
    done = here("run", *QUICK, "--precision", "bf16", "--members", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), ["1,437 examples to train with, 0 MB, are on the device"]),
        (("--streams",), ["train with, 0 MB, are read from the host as they are needed: as asked", "on the device"]),
        (("--examples", "host"), ["train with, 0 MB, are read", "test with, 0 MB, are read"]),
        (("--streams", "--examples", "device"), ["train with, 0 MB, are on", "test with, 0 MB, are on"]),
    ],
)
def test_where_examples_live_is_told(tmp_path, here, host, words, told):
    done = here("run", host, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in told:
        assert text in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "runs/host-1/metrics.jsonl").read_text().splitlines()]
    assert ("waiting_for_data" in rows[0]) == ("train with, 0 MB, are read" in done.stdout)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*QUICK, "--mesh", "data=3"), "batch_size is 128, expected a multiple of 3: data=3 x fsdp=1 devices"),
        ((*QUICK, "--mesh", "data=16"), "a mesh of data=16, fsdp=1, model=1 does not fit 8 devices"),
        ((*QUICK, "--mesh", "dat=2"), "the mesh has an axis 'dat'; did you mean 'data'?"),
        ((*QUICK, "--mesh", "8"), "the mesh is '8', expected sizes by axis, each once, such as data=4,fsdp=2"),
        ((*QUICK, "--mesh", "data=2", "--members", "2"), "--mesh data=2 is for one model"),
        ((*QUICK, "--processes", "2"), "--coordinator, --processes and --process are for --distributed"),
        ((*QUICK, "--distributed", "--processes", "2"), "expected all three, or none where SLURM, MPI or Kubernetes"),
        (("--resume", "runs/a", "--precision", "bf16"), "goes on with that run as it is and where it is"),
    ],
)
def test_what_can_t_be_is_refused(tmp_path, here, words, told):
    done = here("run", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert not list(tmp_path.glob("runs/*/metrics.jsonl"))


def test_nothing_tells_which_process_this_is(tmp_path, here, monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "KUBERNETES_SERVICE_HOST", "JAX_COORDINATOR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    done = here("run", *QUICK, "--distributed", cwd=tmp_path)
    assert done.returncode == 2
    assert "--distributed could not join the other processes" in done.stderr
    assert "give --coordinator HOST:PORT --processes N --process I" in done.stderr


def test_ensembles_say_what_they_need(tmp_path, here, host):
    done = here("run", host, "--members", 2, cwd=tmp_path)
    assert done.returncode == 2
    assert "ensembles take examples on the device" in done.stderr
