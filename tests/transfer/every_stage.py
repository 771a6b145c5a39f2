"""A pretrained network's features at each stage, as one program computes them that is cut at each."""

import jax
import numpy as np
from flax import nnx

from lec7 import models
from lec7.transfer import FAMILIES, cut, graft


def every_stage(family, loaded, images):
    """Grafts loaded weights, with nothing missing or unexpected, and gives features by stage; the head's are logits."""
    build = FAMILIES[family].build
    model = models.from_nnx(lambda rngs: build(rngs=rngs))
    variables, report = graft(jax.eval_shape(model.init, jax.random.key(0), images), loaded, FAMILIES[family].rules)
    assert not (report.missing or report.unexpected or report.mismatched)
    stages = nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))).stages

    @jax.jit
    def features(variables, images):
        return {at: cut(model, at).apply(variables, images, train=False)[0] for at in stages}

    return features(variables, images)


def assert_close(new, old, rtol, name=""):
    """The difference is within `rtol` of the largest figure."""
    new, old = np.asarray(new, np.float64), np.asarray(old, np.float64)
    assert new.shape == old.shape, name
    error = np.abs(new - old).max() / np.abs(old).max()
    assert error < rtol, f"{name}: {error:.1e}"
