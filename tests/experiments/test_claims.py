"""The experiments of the lecture: each runs in small, and the index is what they found."""

import json
import subprocess
import sys
from pathlib import Path

import as_users
import claims
import numpy as np
import pytest
import run_experiments as script

from lec7.data.catalogue import FASHION_MNIST

ROOT = Path(__file__).parents[2]


def test_the_script_knows_all_experiments():
    helpers = {"claims", "best"}
    assert {path.stem for path in (ROOT / "experiments").glob("*.py")} == {*script.NAMES} | helpers


def test_the_index_is_made_of_what_full_runs_found():
    found = script.kept()
    assert [*found] == [*script.NAMES]
    assert not any(one["quick"] for one in found.values())
    assert (ROOT / "experiments" / "README.md").read_text() == script.index(found)
    for one in found.values():
        assert one["picture"] is None or (ROOT / "docs" / one["picture"]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in script.NAMES if name != "transfer"])
def test_an_experiment_runs_in_small(name, tmp_path):
    """But for transfer learning, which has a test with other images than those of Debian's package."""
    if name in ("augmentation", "regularization", "fashion") and not FASHION_MNIST.is_dir():
        pytest.skip("needs Debian's dataset-fashion-mnist")
    words = [sys.executable, ROOT / "experiments" / f"{name}.py", "--quick", "--results", tmp_path / "found.json"]
    # Of the eight devices that tests have, each would get a program of its own; and convolutions take their time.
    done = subprocess.run(words, cwd=tmp_path, env=as_users.environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["quick"]
    assert found["findings"]
    assert "nothing about the lecture" in done.stdout
    for one in found["findings"]:
        assert f"- {one['answer']}: {one['claim']}: {one['figures']}" in done.stdout
    if found["picture"]:
        assert (tmp_path / found["picture"]).read_bytes()[:4] == b"\x89PNG"


def test_bad_options_are_told_without_a_traceback(capsys, monkeypatch):
    import ensembles

    monkeypatch.setattr(sys, "argv", ["ensembles.py", "--members", "1"])
    with pytest.raises(SystemExit) as ended:
        claims.command(ensembles.main, ensembles.Options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("ensembles.py: --members is 1, expected at least 2, of which half")


@pytest.fixture(scope="module")
def paths():
    import jax.numpy as jnp
    import optimizer_paths

    return optimizer_paths, optimizer_paths.integrate(steps=30, count=2, rates=jnp.array([0.005, 0.01]))


@pytest.mark.slow
def test_paths_are_those_of_the_recurrence(paths):
    module, found = paths
    valley = module.LANDSCAPES["narrow valley"]
    for name, rho in (("SGD", 0.0), ("momentum", 0.9)):
        one = found["narrow valley"][name]
        x, v = one.points[0, 0].astype(float), np.zeros(2)
        for point, height in zip(one.points[0], one.heights[0], strict=True):
            np.testing.assert_allclose(point, x, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(height, valley.height(point), rtol=1e-4, atol=1e-5)
            v = rho * v + np.array([valley.bend, valley.steep]) * x
            x = x - one.rate * v


def test_arrival_is_for_good(paths):
    module, _ = paths
    heights = np.array([[1.0, 0.001, 0.5, 0.001, 0.001], [1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0]])
    assert module.Paths(0.1, np.zeros((3, 5, 2)), heights).arrived.tolist() == [3, 5, 1]


def test_the_lowest_points_are_where_the_slope_is_nothing(paths):
    module, _ = paths
    assert len(module.LANDSCAPES["saddle point"].lowest()[1]) == 2
    for landscape in module.LANDSCAPES.values():
        least, points = landscape.lowest()
        for x, y in points:
            assert landscape.wall * x**3 + landscape.bend * x + landscape.tilt == pytest.approx(0, abs=1e-6)
            assert landscape.height(np.array([x, y])) == pytest.approx(least)
