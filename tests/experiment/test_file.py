"""Reading experiment files; what is wrong with one is said in words."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lec7 import experiment
from lec7.errors import InputError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
HEAD = "from dataclasses import dataclass\nfrom lec7.experiment import Experiment\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(HEAD + text)
    return path


def test_the_digits_file_is_read():
    file = experiment.load(EXPERIMENTS / "digits.py")
    assert file.hyperparameters().steps == 2000
    assert isinstance(experiment.instantiate(file, file.hyperparameters()), experiment.Experiment)


def test_hyperparameters_survive_json(tmp_path):
    file = experiment.load(
        write(
            tmp_path,
            "@dataclass(frozen=True)\nclass Hp:\n    rate: float = 1e-3\n    widths: tuple[int, ...] = (3, 4)\n"
            "    name: str | None = None\ndef build(hp: Hp) -> Experiment: ...\n",
        )
    )
    hp = file.hyperparameters(rate=2e-4, widths=(5,))
    assert file.restore(json.loads(json.dumps(dataclasses.asdict(hp)))) == hp


def test_floats_reach_build_as_float32(tmp_path):
    file = experiment.load(
        write(tmp_path, "seen = []\n@dataclass(frozen=True)\nclass Hp:\n    drop: float = 0.3\n    n: int = 3\n"
              "def build(hp: Hp) -> Experiment:\n    seen.append(hp)\n")
    )  # fmt: skip
    with pytest.raises(InputError, match="gave a NoneType, expected a lec7"):
        experiment.instantiate(file, file.hyperparameters())
    hp = file.build.__globals__["seen"][0]
    assert 1 - hp.drop == np.float32(1) - np.float32(0.3)
    assert isinstance(hp.drop, np.float32)
    assert isinstance(hp.n, int)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no function build"),
        ("build = 3\n", "has no function build"),
        ("def build(hp): ...\n", "expected one dataclass"),
        ("def build(hp: int): ...\n", "expected one dataclass"),
        ("def build(hp: Missing): ...\n", "Missing"),
        ("@dataclass\nclass Hp:\n    a: float\ndef build(hp: Hp): ...\n", "hyperparameter a in .* has no default"),
        ("@dataclass\nclass Hp:\n    a: object = print\ndef build(hp: Hp): ...\n", "hyperparameter a"),
        ("def build(hp:\n", r"mine\.py, line 3: '\(' was never closed"),
        ("x = 1 / 0\n", r"mine\.py, line 3: ZeroDivisionError"),
        ("import no_such_module\n", "ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        experiment.load(write(tmp_path, text))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(InputError, match="no file"):
        experiment.load(tmp_path / "nothing.py")


def test_a_renamed_hyperparameter_is_named_with_the_nearest():
    file = experiment.load(EXPERIMENTS / "digits.py")
    with pytest.raises(InputError, match="no hyperparameter 'learning_rat'; did you mean 'learning_rate'"):
        file.restore({"learning_rat": 0.1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"batch_size": 2000}, "batch_size is 2000, expected 1 to 1437"),
        ({"loss": lambda logits, batch: logits}, 'expected a dict of arrays with one called "loss"'),
        ({"loss": lambda logits, batch: {"loss": logits}}, r"loss of shape \(128, 10\), expected one value an example"),
    ],
)
def test_an_experiment_that_cannot_be_run_is_refused_before_it_is(change, words):
    file = experiment.load(EXPERIMENTS / "digits.py")
    built = dataclasses.replace(file.build(file.hyperparameters()), **change)
    with pytest.raises(InputError, match=words):
        experiment.check(built)


def test_labels_beyond_the_models_outputs_are_refused():
    from lec7 import models

    file = experiment.load(EXPERIMENTS / "digits.py")
    narrow = models.from_nnx(lambda rngs: models.MLP(64, (8,), 9, rngs=rngs))
    with pytest.raises(InputError, match="labels go from 0 to 9, expected 0 to 8 for 9 classes"):
        experiment.check(dataclasses.replace(file.build(file.hyperparameters()), model=narrow))
