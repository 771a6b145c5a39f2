"""The same experiment with another library's model: one line changes."""

from pathlib import Path

import pytest

from lec7 import experiment

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


class Nobody:
    def begin(self, step, steps): ...
    def row(self, row): ...
    def say(self, text): ...


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
