"""`lec7 compare` and `lec7 runs`: what a person reads of runs that are there."""

import json
import os
import re
import shutil

import pytest
from test_cli import DIGITS, QUICK

from lec7.cli import main

pytestmark = pytest.mark.slow  # whole runs in fixtures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs "a", "b" of another learning rate, "killed" and "damaged", whose result is cut off, in this order."""
    root = tmp_path_factory.mktemp("compare")
    for name, more in (("a", ()), ("b", ("--learning-rate", "0.1"))):
        assert main(["run", DIGITS, "--workdir", str(root / "runs"), "--name", name, *QUICK, *more]) == 0
    for name in ("killed", "damaged"):
        shutil.copytree(root / "runs/a", root / "runs" / name)
    (root / "runs/killed/result.json").unlink()
    (root / "runs/damaged/result.json").write_text('{"status": ')
    for i, name in enumerate(("a", "b", "killed", "damaged")):
        os.utime(root / "runs" / name / "config.json", (i, i))
    return root


def test_two_runs_side_by_side(folder, here):
    done = here("compare", "runs/a", "runs/b", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["hyperparameter", "learning_rate", "0.003", "0.1"] in lines
    assert not any("width" in line for line in lines)
    ends = [json.loads((folder / "runs" / name / "result.json").read_text())["metrics"] for name in ("a", "b")]
    for name in ("test/loss", "test/accuracy", "test_raw/loss", "test_raw/accuracy"):
        first, second = (end[name] for end in ends)
        change = "0" if first == second else f"{second - first:+.4f}"
        assert [name, f"{first:.4f}", f"{second:.4f}", change] in lines


def test_the_data_that_a_run_saw_are_in_its_configuration(folder):
    config = json.loads((folder / "runs/a/config.json").read_text())
    assert config["data"]["test"].startswith("360 examples of image float32[8, 8, 1], label int32[]; checksum ")
    assert config["data"]["train"].startswith("1,437 examples")


def test_settings_are_told_in_few_words(folder, here, tmp_path):
    for name, change in (("x", {}), ("y", {"git_commit": "d" * 40 + "+changes", "precision": ""})):
        shutil.copytree(folder / "runs/a", tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text()) | {"git_commit": "c" * 40, **change}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    path = tmp_path / "y/config.json"
    path.write_text(path.read_text().replace("360 examples", "370 examples"))
    done = here("compare", "x", "y", cwd=tmp_path)
    lines = [re.split("  +", line.strip()) for line in done.stdout.splitlines()]
    assert ["run", "commit", "cccccccccccc", "dddddddddddd+changes"] in lines
    assert ["run", "precision", "float32", '""'] in lines
    checksum = re.search("test.*checksum ([0-9a-f]{8})", json.dumps(json.loads(path.read_text())["data"]))[1]
    assert ["data", "test", f"360 examples, checksum {checksum}", f"370 examples, checksum {checksum}"] in lines
    assert "- y was tested with other examples: 370 examples of image" in done.stdout


def test_equal_runs_have_no_table_of_differences(folder, here):
    done = here("compare", "runs/a", "runs/killed", "runs/damaged", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "there is no difference" in done.stdout
    assert "- runs/killed is not finished, at step 20 of 20" in done.stdout
    assert "- runs/damaged is damaged, and has no figures here" in done.stdout
    assert done.stderr == ""


def listed(done):
    """The names of runs in the order of the table."""
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()[3:] if line]


def test_runs_come_by_age_or_by_a_column(folder, here):
    assert listed(here("runs", cwd=folder)) == ["a", "b", "killed", "damaged"]
    assert listed(here("runs", "--descending", cwd=folder)) == ["damaged", "killed", "b", "a"]
    a, b = (json.loads((folder / "runs" / n / "result.json").read_text())["metrics"]["test/loss"] for n in ("a", "b"))
    ascending = ["b", "a", "killed"] if b < a else ["a", "killed", "b"]
    assert listed(here("runs", "--sort", "loss", cwd=folder)) == [*ascending, "damaged"]
    descending = ["a", "killed", "b"] if b < a else ["b", "a", "killed"]
    assert listed(here("runs", "--sort", "loss", "--descending", cwd=folder)) == [*descending, "damaged"]
    assert listed(here("runs", "--sort", "status", cwd=folder)) == ["damaged", "a", "b", "killed"]
    assert listed(here("runs", "--sort", "run", cwd=folder)) == ["a", "b", "damaged", "killed"]


BAD = {
    "no runs": (("compare",), "expected two runs or more, as in lec7 compare runs/digits-1 runs/digits-2; none given"),
    "one run": (("compare", "runs/a"), "expected two runs or more"),
    "no such run": (("compare", "runs/a", "runs/z"), "runs/z is no run"),
    "an unknown option": (("compare", "runs/a", "runs/b", "--all"), "--all"),
    "an unknown column": (
        ("runs", "--sort", "acuracy"),
        "expected a column; did you mean 'accuracy'?; the columns ",
    ),
    "a column of another kind": (("runs", "--sort", "7"), "the columns are run, experiment, status, step, accuracy"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_a_message_and_exit_code_2(folder, here, what):
    words, message = BAD[what]
    done = here(*words, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_is_no_run_to_compare(folder, here, tmp_path):
    shutil.copytree(folder / "runs/a", tmp_path / "swept")
    config = json.loads((tmp_path / "swept/config.json").read_text())
    (tmp_path / "swept/config.json").write_text(json.dumps(config | {"sweep": {}}))
    done = here("compare", tmp_path / "swept", folder / "runs/a", cwd=tmp_path)
    assert done.returncode == 2
    assert "is a sweep, and no run" in done.stderr
