"""`experiments/regularization.py`, with all that it can use."""

import sys
import typing
from pathlib import Path

import numpy as np
import pytest

from lec7 import experiment, train

PATH = Path(__file__).parents[2] / "experiments" / "regularization.py"
FILE = experiment.load(PATH)


@pytest.mark.slow
def test_all_regularizers_together_take_a_step():
    module = sys.modules[FILE.build.__module__]
    everything = typing.get_args(module.Regularizer)
    made = experiment.instantiate(FILE, FILE.hyperparameters(use=everything, steps=2, batch_size=4))
    _, metrics = train.jit(made.make_step())(made.init(), made.train[:4])
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"l1", "l2", "nll", "loss"} <= metrics.keys()


def test_the_images_to_train_on_choose_by_and_test_with_are_different_ones_of_all_classes():
    module = sys.modules[FILE.build.__module__]
    parts = module.images("mnist")
    assert [len(part) for part in parts] == [1000, 1000, 3000]
    rows = np.concatenate([np.asarray(part.arrays["image"]).reshape(len(part), -1) for part in parts])
    assert len(np.unique(rows, axis=0)) == len(rows)
    for part in parts:
        assert np.bincount(part.arrays["label"], minlength=10).min() > 50
