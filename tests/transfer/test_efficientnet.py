"""EfficientNet-Lite0 with its published weights gives what PyTorch gives."""

import jax.numpy as jnp
import numpy as np
import pytest
from every_stage import assert_close, every_stage
from random_weights import DATA, efficientnet_inputs, figures

from lec7 import transfer

LITE = transfer.FAMILIES["efficientnet-lite0"]
LOGITS = np.load(DATA / "efficientnet_lite0.npz")
STAGES = np.load(DATA / "efficientnet_lite0_stages.npz")


@pytest.fixture(scope="module")
def published():
    return transfer.load(LITE.source)


@pytest.mark.slow
def test_every_stage_gives_what_pytorch_gives(published):
    names = ("ramp", "chelsea_crop", "astronaut")
    images = np.concatenate([efficientnet_inputs(name) for name in names])
    features = every_stage("efficientnet-lite0", published, images)
    logits = features.pop("logits")
    for i, name in enumerate(names):
        assert_close(logits[i], LOGITS[f"{name}/logits"], 1e-5, f"logits of {name}")
    for stage, x in features.items():
        for i, name in enumerate(names[:2]):
            assert_close(figures(x[i]), STAGES[f"{name}/{stage}"], 1e-5, f"{stage} of {name}")


def test_a_photograph_is_prepared_as_for_pytorch():
    pixels = LOGITS["chelsea_crop/x8"]
    # Of 256 x 256 pixels the middle 224 x 224 is cut out, and needs no resizing.
    whole = jnp.asarray(np.pad(pixels, ((16, 16), (16, 16), (0, 0))))
    np.testing.assert_allclose(LITE.preprocessing(whole), efficientnet_inputs("chelsea_crop")[0], atol=1e-6)
