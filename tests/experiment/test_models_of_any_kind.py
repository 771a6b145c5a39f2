"""The same experiment with another library's model: one line changes."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import data, experiment, models

DIGITS = (Path(__file__).parents[2] / "experiments" / "digits.py").read_text()
NNX = "models.from_nnx(lambda rngs: models.MLP(64, (hp.width, hp.width), 10, keep=1 - hp.dropout, rngs=rngs))"
OTHERS = '''
import flax.linen as nn
import jax, jax.numpy as jnp
from lec7 import random, regularize

class Linen(nn.Module):
    """Linen's own layers, but for a dropout whose chance may be traced."""

    width: int
    keep: float

    @nn.compact
    def __call__(self, x, train):
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Dense(self.width, use_bias=False)(x)))
            x = regularize.dropout(self.make_rng("dropout"), x, self.keep) if train else x
        return nn.Dense(10)(x)

def init(key, inputs):
    return models.Variables({"w": jnp.zeros((64, 10)), "b": jnp.zeros((1, 10))}, {})

def apply(variables, inputs, *, train, key=None):
    return inputs.reshape(-1, 64) @ variables.params["w"] + variables.params["b"], variables.state
'''
MODELS = {
    "nnx": NNX,
    "linen": "models.from_linen(Linen(hp.width, 1 - hp.dropout))",
    "functions": "models.Model(init, apply)",
}


def test_the_check_traces_the_model_in_training_once():
    """The step's own trace tells what the model and the loss give."""
    one, modes = made(np.zeros(2, np.float32), 1), []

    def apply(own, x, *, train, key=None):
        modes.append(train)
        return one.model.apply(own, x)

    experiment.check(dataclasses.replace(one, model=models.Model(one.model.init, apply)))
    assert modes.count(True) == 1


def made(outputs, label):
    """An experiment whose model gives these outputs for any number of examples, which have this label each."""
    source = data.ArraySource({"image": np.zeros((3, 2), np.float32), "label": np.asarray([label] * 3)})
    apply = lambda own, x, **mode: (jax.tree.map(lambda row: jnp.stack([row] * len(x)), outputs), own.state)  # noqa: E731
    return experiment.Experiment(
        model=models.Model(lambda key, x: models.Variables({}, {}), apply),
        loss=lambda outputs, batch: {"loss": batch["image"].sum(-1)},
        optimizer=optax.sgd(0.1),
        train=source,
        test=source,
        steps=1,
        batch_size=1,
    )


KINDS = {
    "a logit for each class": (jnp.zeros(4), np.int32(3), "probabilities"),
    "labels that are no whole numbers": (jnp.zeros(4), np.float32(0.5), "outputs"),
    "labels for each pixel": (jnp.zeros((5, 4)), np.zeros(5, np.int32), "outputs"),
    "logits for each place": (jnp.zeros((5, 4)), np.int32(3), "outputs"),
    "one logit": (jnp.zeros(1), np.int32(1), "outputs"),
    "one number": (jnp.zeros(()), np.int32(3), "outputs"),
    "several outputs": ({"logits": jnp.zeros(4)}, np.int32(3), "outputs"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_has_whole_numbers_as_labels_and_a_logit_for_each_class(kind):
    outputs, label, how = KINDS[kind]
    built = made(outputs, label)
    experiment.check(built)
    assert (built.classifies, built.how) == (how == "probabilities", how)


class Nobody:
    def begin(self, step, steps): ...
    def row(self, row): ...
    def say(self, text): ...


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_the_digits_experiment_runs_with_a_model_of_any_library(kind, tmp_path):
    assert DIGITS.count(NNX) == 1
    path = tmp_path / f"digits_{kind}.py"
    path.write_text(DIGITS.replace(NNX, MODELS[kind]).replace("\n\n\n@dataclass", OTHERS + "\n\n@dataclass", 1))
    file = experiment.load(path)
    built = experiment.instantiate(file, file.hyperparameters(steps=300, width=32, learning_rate=1e-2))
    folder = experiment.RunFolder.create(tmp_path, kind, "x", overwrite=False, needed=0)
    outcome = experiment.run(built, folder, Nobody())
    assert outcome.status == "finished"
    assert outcome.metrics["test/accuracy"] > 0.9
