"""The command as a person meets it: in a process of its own, by its exit code and its words."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lec7.cli import doctor
from lec7.cli.tables import show

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "experiments" / "digits.py")
QUICK = ("--steps", "20", "--width", "8")


def lec7(*words, cwd, **options):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-m", "lec7", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with one finished run, "runs/a"."""
    folder = tmp_path_factory.mktemp("finished")
    done = lec7("run", DIGITS, "--name", "a", *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "finished at step 20" in done.stdout
    return folder


def test_help_lists_the_commands_and_imports_no_jax(tmp_path):
    done = lec7("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("run", "eval", "runs", "doctor"):
        assert f"  {command} " in done.stdout
    code = "import sys, lec7.cli; lec7.cli.main(['--help']); sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.slow
def test_the_folder_of_a_run(finished):
    folder = finished / "runs" / "a"
    names = {path.name for path in folder.iterdir()} - {".lock"}
    assert names == {"config.json", "metrics.jsonl", "result.json", "checkpoints", "curves.png", "events"}
    config = json.loads((folder / "config.json").read_text())
    assert config["hyperparameters"]["width"] == 8
    assert config["versions"]["jax"]
    assert config["device"]["platform"] == "cpu"
    assert len(config["git_commit"].split("+")[0]) == 40


@pytest.mark.slow
def test_eval_prints_what_the_run_ended_with(finished):
    done = lec7("eval", "runs/a", cwd=finished)
    result = json.loads((finished / "runs/a/result.json").read_text())
    assert done.returncode == 0, done.stderr
    assert f"{result['metrics']['test/accuracy']:.4f}" in done.stdout
    assert f"{result['metrics']['test_raw/loss']:.4f}" in done.stdout
    best = lec7("eval", "runs/a", "--checkpoint", "best", cwd=finished)
    assert "step 20" in best.stdout


def test_runs_lists_it(finished, here):
    done = here("runs", cwd=finished)
    assert "digits" in done.stdout
    assert "finished" in done.stdout


@pytest.fixture(scope="module")
def many(finished):
    """In the same folder an ensemble of three, "runs/many"; its first member is the run "a"."""
    done = lec7("run", DIGITS, "--name", "many", "--members", "3", *QUICK, cwd=finished)
    assert done.returncode == 0, done.stderr
    return finished, done


@pytest.mark.slow
def test_an_ensemble_is_a_run_whose_figures_are_those_of_all_together(many):
    folder, done = many
    result = json.loads((folder / "runs/many/result.json").read_text())
    assert f"accuracy {result['metrics']['test/accuracy']:.4f} (raw " in done.stdout
    assert "members" in done.stdout
    assert json.loads((folder / "runs/many/config.json").read_text())["members"] == 3
    assert (folder / "runs/many/curves.png").exists()
    listed = lec7("runs", cwd=folder).stdout
    assert "digits x 3" in listed


@pytest.mark.slow
def test_eval_has_a_line_for_all_members_together_and_for_each_averaged_and_raw(many):
    folder, _ = many
    done = lec7("eval", "runs/many", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if " ema " in line or " raw " in line]
    assert [" ".join(line[:3]) for line in lines] == [
        *("3 together ema", "seed 0 ema", "seed 1 ema", "seed 2 ema"),
        *("3 together raw", "seed 0 raw", "seed 1 raw", "seed 2 raw"),
    ]
    for name in ("accuracy", "nll", "brier", "ece", "disagreement"):
        assert name in done.stdout
    alone = lec7("eval", "runs/a", cwd=folder)
    assert alone.returncode == 0, alone.stderr
    for kind, line in (("ema", lines[1]), ("raw", lines[5])):
        (single,) = [row.split() for row in alone.stdout.splitlines() if row.split()[:1] == [kind]]
        assert single == line[2:]  # the run of seed 0, to each digit


@pytest.mark.slow
def test_a_stopped_ensemble_goes_on_with_new_averages(many):
    """Stopped as a kill would: its last checkpoint is gone."""
    folder, _ = many
    lec7("run", DIGITS, "--name", "stopped", "--members", "3", "--steps", "300", "--width", "8", cwd=folder)
    stopped = folder / "runs/stopped"
    end = json.loads((stopped / "result.json").read_text())["metrics"]
    shutil.rmtree(stopped / "checkpoints/300")
    (stopped / "result.json").unlink()
    done = lec7("run", "--resume", "runs/stopped", "--new-averages", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "averages and snapshots begin anew at step 250" in done.stdout
    assert "training from step 250 to 300" in done.stdout
    again = json.loads((stopped / "result.json").read_text())["metrics"]
    assert again["test_raw/loss"] == end["test_raw/loss"]
    assert again["test/loss"] != end["test/loss"]


def test_a_finished_run_needs_no_resuming(finished, here):
    done = here("run", "--resume", "runs/a", cwd=finished)
    assert done.returncode == 0
    assert "is finished" in done.stdout


def test_a_finished_run_begins_no_new_averages(finished, here):
    done = here("run", "--resume", "runs/a", "--new-averages", cwd=finished)
    assert done.returncode == 0
    assert "is finished, at step 20; no new averages were begun; lec7 eval runs/a" in done.stdout


@pytest.mark.parametrize("emptied", ["checkpoints", "checkpoints/20"])
def test_without_a_checkpoint_eval_says_how_to_go_on(finished, here, tmp_path, emptied):
    shutil.copytree(finished / "runs/a", tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / emptied)
    done = here("eval", "a", cwd=tmp_path)
    assert done.returncode == 2
    assert "a has no checkpoint yet; go on with: lec7 run --resume a" in done.stderr


LATE = """
from dataclasses import dataclass, replace
import optax
from lec7 import averaging, data, experiment, losses, models, optim

@dataclass(frozen=True)
class Late:
    steps: int = 10

def build(hp: Late) -> experiment.Experiment:
    train, test = data.digits()
    averages = averaging.swa(5000), averaging.polyak_ruppert(), averaging.snapshots(3, 1000)
    model = models.from_nnx(lambda rngs: models.MLP(64, (), 10, rngs=rngs))
    tx = optax.chain(optim.sgd(0.1), *averages)
    return experiment.Experiment(model=model, loss=losses.cross_entropy, optimizer=tx, train=train, test=test,
                                 steps=hp.steps, batch_size=64)
"""


@pytest.mark.slow
def test_averages_that_have_not_begun_are_named_and_have_no_figures(here, tmp_path):
    (tmp_path / "late.py").write_text(LATE)
    done = here("run", "late.py", "--name", "a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "averages that will not begin before the end, step 10: swa, snapshots" in done.stdout
    assert "averages that have not begun at step 10: swa, snapshots" in done.stdout
    assert "swa" not in json.dumps(json.loads((tmp_path / "runs/a/result.json").read_text()))
    done = here("eval", "runs/a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kinds = [line.split()[0] for line in done.stdout.splitlines() if re.search(r"\d\.\d{4} ", line)]
    assert kinds == ["polyak_ruppert", "raw"]
    assert "averages that have not begun at step 10: swa, snapshots" in done.stdout


def test_a_table_cuts_no_word_however_narrow_the_place(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    words = ("4 together", "polyak_ruppert", *["0.1234"] * 4, "0.5678")
    show("title", ("model", "parameters", "accuracy#", "nll#", "brier#", "ece#", "disagreement#"), [words])
    _, heading, rule, row, *_ = capsys.readouterr().out.splitlines()
    assert heading.split() == ["model", "parameters", "accuracy", "nll", "brier", "ece", "disagreement"]
    assert row.split() == ["4", "together", "polyak_ruppert", "0.1234", "0.1234", "0.1234", "0.1234", "0.5678"]
    assert len(rule) == 80


@pytest.mark.slow
@pytest.mark.parametrize("name", ["members", "replicates", "masks", "steps"])
def test_the_comparison_of_ensembles_names_the_option_that_it_cannot_use(name):
    command = [sys.executable, str(ROOT / "experiments/ensembles.py"), f"--{name}", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ensembles.py: --{name} is 0, expected at least ")
    assert done.stderr.count("\n") == 1


def test_an_existing_run_is_not_written_over_unasked(finished, here):
    done = here("run", DIGITS, "--name", "a", *QUICK, cwd=finished)
    assert done.returncode == 2
    assert "exists; give another --name" in done.stderr


def test_doctor_tells_versions_devices_and_parts(tmp_path):
    done = lec7("doctor", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("jax", "optax", "cpu", "fashion_mnist"):
        assert word in done.stdout


@pytest.mark.parametrize(("set", "state"), [("", "export GLIBC_TUNABLES="), ("glibc.malloc.hugetlb=1", "asked for")])
def test_doctor_tells_where_huge_pages_have_to_be_asked_for(here, tmp_path, monkeypatch, set, state):
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    monkeypatch.setattr(doctor, "HUGE_PAGES", tmp_path / "enabled")
    monkeypatch.setenv("GLIBC_TUNABLES", set)
    (line,) = [line for line in here("doctor", cwd=tmp_path).stdout.splitlines() if "huge pages" in line]
    assert state in line
    (tmp_path / "enabled").write_text("[always] madvise never\n")
    assert "huge pages" not in here("doctor", cwd=tmp_path).stdout


def test_help_of_an_experiment_shows_its_hyperparameters(here, tmp_path):
    done = here("run", DIGITS, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--learning-rate FLOAT" in done.stdout
    assert "Chance to drop a hidden unit." in done.stdout
    assert "(default: 0.003)" in done.stdout


BAD = {
    "no command": ((), "usage"),
    "an unknown command": (("rnu",), "no command 'rnu'; did you mean 'run'"),
    "no experiment": (("run",), ""),
    "a missing experiment": (("run", "nothing.py"), "no file nothing.py"),
    "an unknown option": (("run", DIGITS, "--learning-rat", "1"), "learning-rat"),
    "a wrong type": (("run", DIGITS, "--steps", "many"), "many"),
    "a batch larger than the data": (("run", DIGITS, "--batch-size", "2000"), "expected 1 to 1437"),
    "a chance out of range": (("run", DIGITS, "--dropout", "1.5"), "give the chance to keep, which is 1 - p to drop p"),
    "a decay out of range": (("run", DIGITS, "--ema-decay", "1"), "decay is 1.0"),
    "no steps": (("run", DIGITS, "--steps", "0"), "steps is 0"),
    "a missing data folder": (("run", ROOT / "experiments/fashion.py", "--directory", "nowhere"), "no folder nowhere"),
    "a folder that is no run": (("eval", "nowhere"), "nowhere is no run"),
    "resuming what is no run": (("run", "--resume", "nowhere"), "nowhere is no run"),
    "no runs": (("runs", "--workdir", "nowhere"), "no folder nowhere"),
    "a name that is a path": (("run", DIGITS, "--name", "../a"), "expected one folder's name"),
    "no members": (("run", DIGITS, "--members", "0"), "--members is 0, expected at least 1"),
    "a chunk of one model": (("run", DIGITS, "--chunk", "2"), "--chunk 2 is for an ensemble: give --members too"),
    "a chunk of none": (
        ("run", DIGITS, "--members", "2", "--chunk", "0"),
        "chunk is 0, expected how many run side by side",
    ),
    "new averages of a new run": (
        ("run", DIGITS, "--new-averages"),
        f"--new-averages is to go on with a run, and {DIGITS} begins one",
    ),
    "a new run that goes on": (("run", DIGITS, "--resume=runs/a"), "--resume is to go on with a run, and "),
    "new averages of nothing": (("run", "--new-averages"), "--new-averages is for --resume RUN"),
    "seeds out of range": (
        ("run", DIGITS, "--seed", "-1", "--members", "40"),
        "--seed -1 with --members 40 gives seeds from -1 to 38, expected all from 0 to 2147483647",
    ),
    "no cycles": (("run", ROOT / "experiments/ensembles.py", "--cycles", "0", "--steps", "20"), "--cycles is 0"),
    "a folder that can't be written": (("run", DIGITS, "--workdir", "/proc/runs"), "give another --workdir"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_a_message_and_exit_code_2(here, tmp_path, what):
    words, message = BAD[what]
    done = here(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.slow
def test_a_changed_experiment_is_not_resumed(here, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(Path(DIGITS).read_text())
    assert here("run", mine, *QUICK, "--name", "a", cwd=tmp_path).returncode == 0
    mine.write_text(mine.read_text() + "# changed\n")
    (tmp_path / "runs/a/result.json").unlink()
    done = here("run", "--resume", "runs/a", cwd=tmp_path)
    assert done.returncode == 2
    assert "has changed since" in done.stderr


def test_a_finished_run_that_has_no_picture_gets_one(finished, here):
    (finished / "runs/a/curves.png").unlink()
    assert "is finished" in here("run", "--resume", "runs/a", cwd=finished).stdout
    assert (finished / "runs/a/curves.png").stat().st_size > 10_000
