"""A pretrained network's features at each stage, all of one call."""

import jax
import numpy as np

from lec7 import models
from lec7.transfer import FAMILIES, cut, graft
from lec7.transfer.surgery import _module, _wrap_call


def every_stage(family, loaded, images):
    """Grafts loaded weights, with nothing missing or unexpected, and gives features by stage; the head's are logits.

    A model that is cut in the middle gives what the whole one has there.
    """
    found = {}

    def build(rngs):
        network = FAMILIES[family].build(rngs=rngs)
        for at in (stage for stage in network.stages if stage != "pool"):  # whose figures are the neck's or the head's

            def keep(call, self, x, at=at, **options):
                found[at] = call(self, x, **options)
                return found[at]

            _wrap_call(_module(network, at), keep)
        return network

    model = models.from_nnx(build)
    like = jax.eval_shape(model.init, jax.random.key(0), images)
    variables, report = graft(like, loaded, FAMILIES[family].rules)
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())

    @jax.jit
    def features(variables, images):
        logits, _ = model.apply(variables, images, train=False)
        return {**found, "logits": logits}

    stages = features(variables, images)
    middle = "blocks/5"
    alone, _ = jax.jit(lambda v, x: cut(model, middle).apply(v, x, train=False))(variables, images)
    assert_close(alone, stages[middle], 1e-5, "cut")
    return stages


def assert_close(new, old, rtol, name=""):
    """The difference is within `rtol` of the largest figure."""
    new, old = np.asarray(new, np.float64), np.asarray(old, np.float64)
    assert new.shape == old.shape, name
    error = np.abs(new - old).max() / np.abs(old).max()
    assert error < rtol, f"{name}: {error:.1e}"
