"""What differs between runs, as their folders tell it; the oracle is what was written into them."""

import json

import pytest

from lec7.errors import InputError
from lec7.experiment import RunFolder
from lec7.report.differences import caveats, differences, figures, labels

CONFIG = {
    "experiment": "/here/digits.py",
    "sha256": "a" * 64,
    "hyperparameters": {"learning_rate": 0.003, "width": 256, "steps": 100},
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
    "git_commit": "c" * 40,
    "device": {"kind": "cpu", "platform": "cpu", "count": 1},
    "host": "one",
    "created": "2026-01-01",
    "command": ["lec7"],
    "members": 1,
    "data": {"train": "80 examples", "test": "20 examples"},
}
ROWS = [
    {"step": 50, "train/loss": 1.0, "examples_per_second": 10.0},
    {"step": 50, "test/loss": 0.5, "test/accuracy": 0.75, "test_raw/loss": 0.6},
    {"step": 75, "train/loss": 0.8, "examples_per_second": 300.0},
    {"step": 100, "train/loss": 0.5, "examples_per_second": 200.0},
    {"step": 100, "test/loss": 0.25, "test/accuracy": 0.5, "test_raw/loss": 0.7},
]
RESULT = {
    "status": "finished",
    "step": 100,
    "metrics": {"test/loss": 0.25, "test/accuracy": 0.5, "test_raw/loss": 0.7},
    "seconds": 3.5,
    "message": "",
}


@pytest.fixture
def make(tmp_path):
    """Writes the folder of a run: each part as above, but for what is given; a part that is None is not there."""

    def make(name, config=None, result=RESULT, rows=ROWS):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(parents=True)
        folder.write("config.json", CONFIG | (config or {}))
        if result is not None:
            folder.write("result.json", result)
        folder.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


def test_runs_that_differ_in_nothing_but_their_time_differ_in_nothing(make):
    runs = [make("a"), make("b", {"created": "2026-02-02", "command": ["lec7", "run"], "wandb": {"id": "x"}})]
    assert differences(runs) == []
    assert caveats(runs) == []


def test_each_setting_that_differs_is_told_once_with_all_values(make):
    other = {
        "hyperparameters": {"learning_rate": 0.01, "width": 256, "steps": 100, "dropout": 0.3},
        "versions": {"python": "3.13.1", "jax": "0.10.2"},
        "git_commit": "d" * 40 + "+changes",
        "members": 3,
    }
    assert differences([make("a"), make("b"), make("c", other)]) == [
        ("run", "commit", ("c" * 40, "c" * 40, "d" * 40 + "+changes")),
        ("run", "members", (1, 1, 3)),
        ("hyperparameter", "learning_rate", (0.003, 0.003, 0.01)),
        ("hyperparameter", "dropout", (None, None, 0.3)),
        ("version", "python", ("3.11.7", "3.11.7", "3.13.1")),
    ]


def test_figures_are_the_last_the_best_and_the_usual_speed(make):
    unlike = make("b", result=RESULT | {"metrics": {"test/loss": float("nan"), "test_swa/loss": 0.1}}, rows=ROWS[:1])
    assert {figure.name: figure.values for figure in figures([make("a"), unlike])} == {
        "test/loss": (0.25, None),
        "test/accuracy": (0.5, None),
        "test_raw/loss": (0.7, None),
        "test_swa/loss": (None, 0.1),
        "best test/accuracy": (0.75, None),
        "best test/loss": (0.25, None),
        "step": (100, 100),
        "seconds": (3.5, 3.5),
        "examples_per_second": (200.0, 10.0),
    }


def test_a_run_that_was_killed_has_the_figures_of_its_last_evaluation(make):
    runs = [make("a"), make("b", result=None, rows=ROWS[:3])]
    found = {figure.name: figure.values for figure in figures(runs)}
    assert found["test/loss"] == (0.25, 0.5)
    assert found["step"] == (100, 75)
    assert found["seconds"] == (3.5, None)
    (told,) = caveats(runs)
    assert told == f"{runs[1].path} is not finished, at step 75 of 100: it is being trained, or was killed"


def test_a_run_that_ended_otherwise_is_told_with_its_message(make):
    runs = [make("a", result=RESULT | {"status": "diverged", "step": 60, "message": "the loss became nan"}), make("b")]
    assert caveats(runs) == [f"{runs[0].path}: diverged at step 60 of 100: the loss became nan"]


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl"])
def test_a_damaged_file_is_told_and_the_other_runs_keep_their_figures(make, name):
    runs = [make("a"), make("b")]
    (runs[1].path / name).write_text("{\n")
    (told,) = caveats(runs)
    assert told.startswith(f"{runs[1].path} is damaged, and has no figures here: {runs[1].path / name} is damaged")
    assert all(figure.values[0] is not None and figure.values[1] is None for figure in figures(runs))


def test_a_damaged_configuration_is_refused(make):
    runs = [make("a"), make("b")]
    (runs[1].path / "config.json").write_text("{")
    for ask in (differences, caveats):
        with pytest.raises(InputError, match=r"config\.json is damaged"):
            ask(runs)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"experiment": "/here/fashion.py", "sha256": "b"}, "is of another experiment: fashion.py, and not digits.py"),
        ({"experiment": "/there/digits.py", "sha256": "b"}, "another experiment: /there/digits.py, and not /here/digi"),
        ({"sha256": "b"}, "/here/digits.py was changed between "),
        ({"data": {"train": "80 examples", "test": "30"}}, "was tested with other examples: 30, and not 20 examples"),
        ({"data": {"train": "90", "test": "20 examples"}}, "was trained on other examples: 90, and not 80 examples"),
        ({"host": "two"}, "ran on another machine or device"),
        ({"device": {"kind": "TPU v6", "platform": "tpu", "count": 8}}, "ran on another machine or device"),
    ],
)
def test_what_stands_against_comparing_is_said(make, config, words):
    (told,) = caveats([make("a"), make("b", config)])
    assert words in told


def test_a_copy_of_the_file_is_the_same_experiment_and_older_runs_tell_no_data(make):
    older = {key: value for key, value in CONFIG.items() if key not in ("data", "experiment")}
    copy = make("b", {"experiment": "/copy/of.py"})
    (copy.path / "config.json").write_text(json.dumps(older | {"experiment": "/copy/of.py"}))
    assert caveats([make("a"), copy]) == []


def test_figures_of_an_average_beside_those_of_none_are_told(make):
    plain = RESULT | {"metrics": {"test/loss": 0.25}}
    runs = [make("a", result=plain), make("b")]
    (told,) = caveats(runs)
    assert told == (
        f"the figures test/ are those of averaged parameters in {runs[1].path}, and of the parameters as they are in "
        f"{runs[0].path}"
    )


def test_runs_of_one_name_are_called_by_their_paths(make):
    assert labels([make("x/a"), make("x/b")]) == ["a", "b"]
    first, second = labels([make("y/a"), make("z/a")])
    assert first.endswith("y/a")
    assert second.endswith("z/a")
