"""What the README shows runs as it stands there."""

import re
from pathlib import Path

import pytest

from lec7 import experiment

README = (Path(__file__).parents[1] / "README.md").read_text()
LIBRARY, OWN = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
def test_the_library_in_ten_lines(capsys):
    exec(compile(LIBRARY, "README.md", "exec"), {})
    *steps, result = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in steps] == ["100", "200", "300", "400", "500"]
    assert float(re.search(r"'accuracy': Array\(([\d.]+)", result)[1]) > 0.95


def test_an_experiment_of_one_s_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    file = experiment.load(path)
    experiment.instantiate(file, file.hyperparameters(steps=10))
