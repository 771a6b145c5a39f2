"""What the README shows runs as it stands there, and each optimizer on a page of docs/ takes a step."""

import re

import jax.numpy as jnp
import pytest
from fences import DOCS, ROOT, python

from lec7 import experiment

LIBRARY, SOLVE, OWN = python(ROOT / "README.md")
PLATEAU, AVERAGES = python(DOCS / "schedules.md")[0], python(DOCS / "ensembles.md")[0]
PARAMS = {
    "head": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)},
    "blocks": [{"kernel": jnp.ones((4, 4))} for _ in range(12)],
    "stem": jnp.ones(7),
}


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


def test_solving(capsys):
    exec(compile(SOLVE, "README.md", "exec"), {})
    assert "The gradient is as small as was asked for." in capsys.readouterr().out


OPTIMIZERS = [*python(DOCS / "optimizers.md"), PLATEAU, AVERAGES]


@pytest.mark.parametrize("block", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
def test_each_optimizer_on_a_page_takes_a_step(block):
    names = {}
    exec(compile(block, "docs", "exec"), names)
    tx = names["tx"]
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=jnp.array(1.0))
    assert jnp.isfinite(updates["head"]["kernel"]).all()
