"""Magnitudes that only the compiled program knows, as in a sweep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import augment

MAKE = {
    "mirror": augment.mirror,
    "translate": augment.translate,
    "rotate": lambda v: augment.rotate(60 * v),
    "stretch": lambda v: augment.stretch(1 + v),
    "shear": augment.shear,
    "lens": augment.lens,
    "elastic": augment.elastic,
    "brightness": augment.brightness,
    "hue": augment.hue,
    "solarize": augment.solarize,
    "pca_colour": lambda v: augment.pca_colour(np.eye(3), v),
    "randaugment": lambda v: augment.randaugment(1, 30 * v),
    "sometimes": lambda v: augment.sometimes(augment.erase(), v),
}


@pytest.mark.parametrize("name", list(MAKE))
def test_a_magnitude_may_be_traced_and_differ_from_lane_to_lane(name, key):
    image = jax.random.uniform(key, (8, 8, 3))
    of_each = jax.jit(jax.vmap(lambda v: augment.pipeline(MAKE[name](v))(key, image)))
    lanes = of_each(jnp.array([0.2, 0.3]))
    for lane, v in zip(lanes, (0.2, 0.3), strict=True):
        np.testing.assert_allclose(lane, augment.pipeline(MAKE[name](v))(key, image), atol=2e-5)
