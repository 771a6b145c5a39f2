"""What an operation says of itself, its defaults included, and that doubles change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import BASIS, COLOURS, GEOMETRY, HEIGHT, SIZES, WIDTH, photograph

from lec7 import augment
from lec7.augment.warp import Frame

FRAME = Frame(HEIGHT, WIDTH)
EVERY = GEOMETRY | SIZES | COLOURS
EVERY |= {"scale_jitter": augment.scale_jitter((20, 30)), "erase": augment.erase(), "augmix": augment.augmix()}
EVERY |= {"randaugment": augment.randaugment()[0], "trivialaugment": augment.trivialaugment()[0]}


@pytest.mark.parametrize("name", EVERY)
def test_it_is_called_as_the_function_that_makes_it(name):
    assert EVERY[name].name == name.split()[0]


@pytest.mark.parametrize("name", COLOURS)
def test_it_says_whether_a_pixel_s_value_hangs_on_others(name, key):
    operation, image = COLOURS[name], 0.25 + jnp.asarray(photograph(dtype=np.float32)) / 2
    drawn = operation.draw(key, FRAME)
    before, after = (operation.paint(drawn, x) for x in (image, image.at[0, 0].set(1.0)))
    elsewhere = jnp.abs(after - before).at[0, 0].set(0)
    assert operation.whole_image == bool(elsewhere.max() > 0)


LEFT_OUT = {
    "mirror": (augment.mirror(), augment.mirror(0.5)),
    "random_crop": (augment.random_crop(16), augment.random_crop((16, 16), pad=0)),
    # torchvision's
    "random_resized_crop": (
        augment.random_resized_crop(16),
        augment.random_resized_crop((16, 16), (0.08, 1.0), (3 / 4, 4 / 3)),
    ),
    "translate": (augment.translate(), augment.translate((-0.1, 0.1))),
    "rotate": (augment.rotate(), augment.rotate((-15.0, 15.0))),
    "stretch": (augment.stretch(), augment.stretch(1.25)),
    "shear": (augment.shear(), augment.shear((-0.2, 0.2))),
    "lens": (augment.lens(), augment.lens((-0.2, 0.2))),
    "brightness": (augment.brightness(), augment.brightness((0.6, 1.4))),
    "contrast": (augment.contrast(), augment.contrast((0.6, 1.4))),
    "saturation": (augment.saturation(), augment.saturation((0.6, 1.4))),
    "hue": (augment.hue(), augment.hue((-0.1, 0.1))),
    "pca_colour": (augment.pca_colour(BASIS), augment.pca_colour(BASIS, 0.1)),  # Krizhevsky's
    "solarize": (augment.solarize(), augment.solarize((0.0, 1.0))),
    "posterize": (augment.posterize(), augment.posterize((4, 8))),
    "sharpness": (augment.sharpness(), augment.sharpness((0.5, 1.5))),
    "augmix": (augment.augmix(), augment.augmix(3.0, 3, 3, 1.0)),  # the paper's
    "randaugment": (augment.randaugment(), augment.randaugment(2, 9)),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_what_its_page_says(name):
    """To be seen in what is drawn."""

    def drawn(made):
        draw = augment.pipeline(*(made if isinstance(made, list) else [made])).draw
        return jax.vmap(lambda key: draw(key, (HEIGHT, WIDTH, 3)))(jax.random.split(jax.random.key(0), 8))

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *map(drawn, LEFT_OUT[name]))


def test_preprocessing_gives_float32_where_doubles_are_on(x64):
    for image in (photograph(), photograph(dtype=np.float32)):
        assert augment.Preprocessing(size=16)(image).dtype == jnp.float32
