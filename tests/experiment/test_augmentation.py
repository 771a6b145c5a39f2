"""`experiments/augmentation.py`, with all that it can use."""

import sys
import typing
from pathlib import Path

import numpy as np
import pytest
import tyro

from lec7 import experiment, train
from lec7.data.catalogue import FASHION_MNIST
from lec7.errors import InputError

FILE = experiment.load(Path(__file__).parents[2] / "experiments" / "augmentation.py")
MODULE = sys.modules[FILE.build.__module__]


@pytest.mark.slow
def test_all_augmentations_together_take_a_step():
    everything = tuple(name for name in typing.get_args(MODULE.Augmentation) if name != "cutmix")
    made = experiment.instantiate(FILE, FILE.hyperparameters(use=everything, steps=2, batch_size=4))
    _, metrics = train.jit(made.make_step())(made.init(), made.train[:4])
    assert all(np.isfinite(value) for value in metrics.values())


def test_without_any_it_is_the_experiment_without_regularizers():
    assert experiment.instantiate(FILE, FILE.hyperparameters()).augment is None


def test_two_mixtures_are_refused():
    with pytest.raises(InputError, match="choose one"):
        FILE.build(FILE.hyperparameters(use=("mixup", "cutmix")))


@pytest.mark.slow
@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_it_prints_a_row_for_each(capsys, monkeypatch):
    monkeypatch.setattr(train, "device_per_core", lambda: None)  # the tests have eight devices already
    found = list(MODULE.main(MODULE.Options(replicates=1, steps=2, only=("none", "together"))))
    assert len(found) == 4
    said = capsys.readouterr().out
    assert "| none " in said
    assert "| together " in said


def test_rows_are_chosen_by_the_names_of_what_augments(capsys, monkeypatch):
    names = typing.get_args(MODULE.Augmentation)
    assert typing.get_args(MODULE.Row) == ("none", *names, "together")
    used = []

    def accuracies(make, replicates, judge):
        used.append(make.args[0].use)
        return np.ones((2, replicates)), np.ones((2, replicates))

    monkeypatch.setattr(MODULE, "accuracies", accuracies)
    monkeypatch.setattr(train, "device_per_core", lambda: None)
    list(MODULE.main(tyro.cli(MODULE.Options, args=["--only", "none", "random_crop", "cutmix", "together"])))
    assert used == [(), ("random_crop",), ("cutmix",), MODULE.TOGETHER]
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:6]]
    assert rows == ["none", "crop of 4 pixels' padding", "CutMix", "together"]
    with pytest.raises(InputError, match="--only has 'nothing'"):
        list(MODULE.main(MODULE.Options(only=("nothing",))))
