import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import DATA, weight

from lec7 import models
from lec7.errors import InputError
from lec7.models.vit import vit
from lec7.transfer import resize_position_embedding

GOLDENS = np.load(DATA / "timm.npz")
PARAMS = {"stem": {"positions": jnp.asarray(weight("pos_embed", (1, 50, 4)))}, "head": {"bias": jnp.zeros(3)}}


@pytest.mark.parametrize("grid", [(3, 3), (6, 5), (24, 24), (14, 14)])
def test_positions_are_resized_as_by_timm(grid):
    new = resize_position_embedding(PARAMS, grid)
    np.testing.assert_allclose(
        new["stem"]["positions"], GOLDENS[f"positions/{grid[0]}x{grid[1]}"], rtol=1e-5, atol=1e-6
    )
    assert new["head"]["bias"] is PARAMS["head"]["bias"]
    assert PARAMS["stem"]["positions"].shape == (1, 50, 4)


def test_the_same_grid_changes_nothing():
    new = resize_position_embedding(PARAMS, 7)["stem"]["positions"]
    np.testing.assert_allclose(new, PARAMS["stem"]["positions"], rtol=1e-6, atol=1e-7)


def test_positions_keep_their_dtype():
    half = {"positions": PARAMS["stem"]["positions"].astype(jnp.bfloat16)}
    assert resize_position_embedding(half, 3, at="positions")["positions"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("params", "grid", "at", "message"),
    [
        (PARAMS, 0, "stem/positions", "grid is 0 x 0, expected at least one row"),
        (PARAMS, 3, "stem/position", "no positions 'stem/position'; did you mean 'stem/positions'"),
        (PARAMS, 3, "head/bias", r"'head/bias' has shape \(3,\), expected \[1, 1 \+ side"),
        ({"positions": jnp.zeros((1, 49, 4))}, 3, "positions", r"has shape \(1, 49, 4\), expected"),
    ],
)
def test_what_are_no_positions_is_refused(params, grid, at, message):
    with pytest.raises(InputError, match=message):
        resize_position_embedding(params, grid, at)


@pytest.mark.slow
def test_a_transformer_takes_images_of_another_size_with_positions_of_their_grid(key):
    model = models.from_nnx(lambda rngs: vit(16, 2, 3, size=32, rngs=rngs))
    variables, large = jax.jit(model.init)(key, None), jnp.zeros((2, 48, 32, 3))

    def logits(variables):
        return jax.eval_shape(lambda: model.apply(variables, large, train=False)[0])

    with pytest.raises(InputError, match="the images are 48 x 32 pixels, expected 4 patches of 16 x 16; resize"):
        logits(variables)
    resized = resize_position_embedding(variables.params, (3, 2))
    assert logits(variables._replace(params=resized)).shape == (2, 3)
