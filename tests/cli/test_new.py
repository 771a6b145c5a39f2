"""`lec7 new`: what it writes runs as it is, by the commands that it prints."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from lec7 import augment, data, experiment, models, optim, transfer
from lec7.cli import new
from lec7.cli.new import TOLD

SCORES = {"mlp": 0.75, "cnn": 0.4, "transfer": 0.7}
"""Test accuracy that each is above after a few steps; guessing gives 0.1, or 0.2 where there are five classes."""


@pytest.fixture(autouse=True)
def no_experiments_of_other_tests(monkeypatch):
    """The folder of each experiment that this process has read is on the path, and one may have a `mine.py`."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "pytest-of" not in path])


def template(kind):
    return (Path(new.__file__).parent / "templates" / f"{kind}.py").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("new")


@pytest.fixture(params=TOLD)
def kind(request):
    return request.param


def test_it_prints_commands_that_name_the_file(here, tmp_path, kind):
    done = here("new", f"in a folder/my_{kind}", "--kind", kind, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = f"in a folder/my_{kind}.py"
    assert f"wrote {path}: {TOLD[kind]}" in done.stdout
    commands = [shlex.split(line, comments=True) for line in done.stdout.splitlines() if line.startswith("lec7 ")]
    assert [words[1] for words in commands] == ["run", "run", "sweep", "runs"]
    assert all(words[2] == path for words in commands[:3])
    for words in (commands[1][1:], [*commands[2][1:], "--help"]):
        assert here(*words, cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_it_passes_the_checks_and_trains(here, folder, kind):
    assert here("new", f"new_{kind}", "--kind", kind, cwd=folder).returncode == 0
    file = experiment.load(folder / f"new_{kind}.py")
    assert isinstance(experiment.instantiate(file, file.hyperparameters()), experiment.Experiment)

    done = here("run", f"new_{kind}.py", "--name", kind, "--steps", "50", cwd=folder)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "runs" / kind / "result.json").read_text())["metrics"]
    assert max(metrics["test/accuracy"], metrics["test_raw/accuracy"]) > SCORES[kind]
    assert {"test/loss", "test_raw/loss"} < metrics.keys()  # it has an average


@pytest.mark.slow
def test_it_is_swept_over_a_float_and_the_seed_in_one_program(here, tmp_path, kind):
    here("new", f"swept_{kind}", "--kind", kind, cwd=tmp_path)
    swept = ("--steps", "10", "--learning-rate", "0.001,0.01", "--seed", "0:2", "--programs", "1", "--lanes", "2")
    done = here("sweep", f"swept_{kind}.py", *swept, cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # a second program would be one too many
    assert "4 lanes, 2 settings: 4 finished" in done.stdout


def test_its_help_tells_each_hyperparameter(here, folder, kind):
    (folder / f"told_{kind}.py").write_text(template(kind))
    file = experiment.load(folder / f"told_{kind}.py")
    done = here("run", f"told_{kind}.py", "--help", cwd=folder)
    for name in file.hyperparameters.__dataclass_fields__:
        assert f"--{name.replace('_', '-')} " in done.stdout


def test_what_its_comments_name_is_there(kind):
    """Calls that comments recommend are of functions that there are."""
    rooms = {"data": data, "models": models, "optim": optim, "augment": augment, "transfer": transfer}
    comments = "\n".join(line for line in template(kind).splitlines() if line.strip().startswith("#"))
    named = re.findall(rf"\b({'|'.join(rooms)})\.(\w+)", comments)
    assert named
    for room, name in named:
        assert hasattr(rooms[room], name), f"{room}.{name}"
    root = Path(__file__).parents[2]
    for page in re.findall(r"docs/\w+\.md", template(kind)):
        assert (root / page).is_file()


def test_an_mlp_is_what_one_begins_with(here, tmp_path):
    here("new", "mine", cwd=tmp_path)
    assert (tmp_path / "mine.py").read_text() == template("mlp")


def test_the_ending_may_be_given(here, tmp_path):
    assert "wrote mine.py" in here("new", "mine.py", cwd=tmp_path).stdout


BAD = {
    "no name": ((), "NAME"),
    "a name that is no word": (("my-first",), "the experiment's name is 'my-first', expected a word such as mine"),
    "a keyword": (("class",), "the experiment's name is 'class', expected a word"),
    "a folder": (("experiments/..",), "the experiment's name is '..', expected a word"),
    "nothing": (("",), "the experiment's name is '', expected a word"),
    "two endings": (("mine.txt",), "the experiment's name is 'mine.txt', expected a word"),
    "a module of Python's": (("statistics",), "statistics is a Python module, which statistics.py would stand in for"),
    "a package": (("experiments/jax",), "jax is a Python module, which jax.py would stand in for; give another name"),
    "an unknown kind": (("mine", "--kind", "rnn"), "rnn"),
    "a folder that can't be made": (("/proc/mine/a",), "No such file or directory: /proc/mine"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_a_message_and_exit_code_2(here, tmp_path, what):
    words, message = BAD[what]
    done = here("new", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_as_it_is(here, tmp_path):
    (tmp_path / "mine.py").write_text("# my work\n")
    done = here("new", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine.py exists, and is not overwritten; give another name" in done.stderr
    assert (tmp_path / "mine.py").read_text() == "# my work\n"
