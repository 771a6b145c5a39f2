"""`experiments/transfer.py`, whole and in small."""

import importlib.util
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lec7 import data
from lec7.errors import InputError

FILE = Path(__file__).parents[2] / "experiments" / "transfer.py"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("experiments_transfer", FILE)
    loaded = sys.modules["experiments_transfer"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    del sys.modules["experiments_transfer"]


def garments(folder):
    """A folder like Fashion-MNIST's, of noise."""
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 100), ("t10k", 50)):
        images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, n, 28, 28) + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, n) + labels.tobytes())
    return folder


@pytest.mark.slow
def test_a_quick_run_prints_all_of_the_table(tmp_path):
    folder = garments(tmp_path)
    command = [sys.executable, str(FILE), "--quick", "--directory", str(folder), "--cache", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    assert table[0][2:6] == ["from scratch [%]", "head features [%]", "earlier stage [%]", "fine-tuned [%]"]
    assert [row[:2] for row in table[2:]] == [["similar", "2"], ["different", "2"]]
    assert all(0 <= float(figure) <= 100 for row in table[2:] for figure in row[2:6])
    assert "nothing about the lecture" in done.stdout
    assert list((tmp_path / "cache" / "features").glob("*.npy"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"few": 1}, "--few is 1, expected at least 2"),
        ({"scratch_steps": 0}, "--scratch-steps is 0, expected at least 1"),
        ({"size": 16}, "--size is 16, expected at least 32"),
        ({"few": 5, "many": 5}, "--few is 5 and --many 5"),
        ({"few": 2}, "--batch-size is 32, expected at most the 20 examples"),
    ],
)
def test_numbers_that_can_not_be_are_refused(module, given, told):
    with pytest.raises(InputError, match=told):
        module.Options(**given).settled()


def test_classes_take_turns_and_each_seed_has_examples_of_its_own(module):
    labels = np.repeat(np.arange(10), 20)
    source = data.ArraySource({"image": np.arange(200), "label": labels})
    one, other = (module.in_turn(source, 3, seed) for seed in (0, 1))
    np.testing.assert_array_equal(one.arrays["label"], np.tile(np.arange(10), 3))
    np.testing.assert_array_equal(labels[np.asarray(one.arrays["image"])], one.arrays["label"])
    assert not np.array_equal(one.arrays["image"], other.arrays["image"])
    with pytest.raises(InputError, match="there are 20 garments of a class, expected at least the 21"):
        module.in_turn(source, 21, 0)


def test_the_verdict_compares_runs_of_the_same_seed(module):
    def verdict(head, tuned):
        others = {"scratch": (0.1, 0.2, 0.3), "earlier": (0.2, 0.3, 0.4)}
        return module.verdict(module.Row("similar", "few", {"head": head, "tuned": tuned, **others}))

    sure = verdict((0.5, 0.6, 0.7), (0.45, 0.55, 0.65))
    assert sure.holds
    assert sure.claim == "similar images, few: head features is best"
    assert "+5.0 ± 0.0 against fine-tuned" in sure.figures
    wrong = verdict((0.5, 0.6, 0.7), (0.6, 0.7, 0.8))
    assert wrong.holds is False
    assert wrong.figures.startswith("better: fine-tuned (")
    undecided = verdict((0.5, 0.6, 0.7), (0.6, 0.5, 0.7))
    assert undecided.holds is None
    assert undecided.figures.startswith("within the spread: fine-tuned (")


def test_the_lecture_chooses_as_its_table_does(module):
    chosen = {
        (kind, amount): module.Row(kind, amount, {}).choice
        for kind in ("similar", "different")
        for amount in ("few", "many")
    }
    assert chosen == {
        ("similar", "few"): "head",
        ("similar", "many"): "tuned",
        ("different", "few"): "earlier",
        ("different", "many"): "tuned",
    }
