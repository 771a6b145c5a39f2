"""`scripts/peers`: that the work is equal, and how the page and the README tell what was found."""

import json
from platform import python_version

import jax
import numpy as np
import pytest
from flax import nnx
from peers import in_jax, in_lec7, in_linen, in_nnx, page, race
from peers.task import Arrays, Task, batches, rows_of


def size(params):
    return sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_all_networks_have_the_same_weights_and_give_the_same_logits(kind):
    images = jax.random.uniform(jax.random.key(0), (2, 28, 28, 1))
    ours, flax = in_lec7.network(kind, nnx.Rngs(0)), in_nnx.network(kind, nnx.Rngs(0))
    np.testing.assert_allclose(ours(images), flax(images), rtol=1e-4, atol=1e-5)
    linen = in_linen.Network(kind)
    params = linen.init(jax.random.key(0), images)["params"]
    assert size(params) == size(nnx.state(ours, nnx.Param)) == size(nnx.state(flax, nnx.Param))
    assert linen.apply({"params": params}, images).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("framework", [in_lec7, in_jax, in_nnx, in_linen])
def test_each_trains(framework):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 64, np.int32)
    arrays = Arrays((labels[:, None, None, None] * 25 + rng.integers(0, 5, (64, 28, 28, 1))).astype(np.uint8), labels)
    call = framework.steps(Task("mlp", 32, 5), arrays)
    first, last = (loss_of(call(times)) for times in (1, 20))
    assert last < 0.8 * first


def loss_of(told):
    return np.mean(told["loss"] if isinstance(told, dict) else told[0])


def test_batches_are_of_each_example_once_an_epoch():
    rows = rows_of(10, 3)
    seen = np.concatenate([next(rows) for _ in range(3)])
    assert len(set(seen.tolist())) == 9
    images, labels = next(batches(Arrays(np.full((4, 28, 28, 1), 255, np.uint8), np.arange(4)), 4))
    assert images.dtype == np.float32
    assert (images == 1).all()
    assert sorted(labels.tolist()) == [0, 1, 2, 3]


def test_a_ratio_is_how_many_times_as_fast_lec7_is():
    row = race.row("a work", "them", "steps", 10, [1.0, 2.0, 1.0], [2.0, 3.0, 2.0], target=2.5)
    assert (row.ours, row.theirs, row.ratio) == (10.0, 5.0, 2.0)
    assert row.missed
    assert not race.row("a work", "them", "steps", 1, [1.0], [2.0], target=2.0).missed
    assert not race.row("a work", "them", "steps", 1, [1.0], [0.5]).missed


def test_the_page_and_the_readme_tell_what_was_found(tmp_path, monkeypatch):
    results, readme = tmp_path / "results", tmp_path / "README.md"
    for name, value in {"ROOT": tmp_path, "RESULTS": results, "PAGE": tmp_path / "page.md", "README": readme}.items():
        monkeypatch.setattr(page, name, value)
    monkeypatch.setattr(race, "RESULTS", results)
    readme.write_text(f"# before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    rows = [
        race.Row("MLP", "them", "steps", 1234.5, 100.0, 12.3, 12.0, 13.0, 2.0),
        race.Row("MLP", "others", "steps", 1234.5, 2000.0, 0.6, 0.5, 0.7, 1.0),
        race.Row("MLP", "nobody", "steps", 1234.5, 2.0, 600.0, 500.0, 700.0),
    ]
    race.save("training", rows, ["numpy"])
    page.write()
    written = page.PAGE.read_text()
    assert "| MLP | 1,234 steps/s | them | 100 | **12.30** (12.00 to 13.00) | 2 |" in written
    assert "|  |  | others | 2,000 | **0.60** (0.50 to 0.70) | 1, missed |" in written
    assert f"numpy {np.__version__}" in written
    assert "Not measured" in written
    assert readme.read_text().startswith(f"# before\n{page.BEGIN}\n| work |")
    assert readme.read_text().endswith(
        f" cores ({race.processor()}), cpu, Python {python_version()}.\n{page.END}\nafter\n"
    )
    assert "old" not in readme.read_text()
    assert "| MLP | **12.30** them, **0.60** others |" in readme.read_text()
    assert "nobody" not in readme.read_text()  # what has no target is for the page


def test_the_committed_page_is_that_of_the_committed_results(tmp_path, monkeypatch):
    before = {path: path.read_text() for path in (page.PAGE, page.README)}
    for name in ("PAGE", "README"):
        monkeypatch.setattr(page, name, tmp_path / name)
    monkeypatch.setattr(page, "ROOT", tmp_path)
    page.README.write_text(before[next(path for path in before if path.name == "README.md")])
    page.write()
    assert [page.PAGE.read_text(), page.README.read_text()] == [*before.values()]
    assert json.loads((page.RESULTS / "training.json").read_text())["rows"]
