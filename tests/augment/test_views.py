"""Views in testing, and what pretrained networks expect: against explicit loops and Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from lec7 import augment
from lec7.errors import InputError

PHOTOGRAPHS = load_sample_images().images


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(1), (3, 12, 10, 3))


def answer(x):
    """A network that hangs on places: random weights for the pixels, then a nonlinearity."""
    weights = jax.random.normal(jax.random.key(2), (x[0].size, 5))
    return jnp.tanh(x.reshape(len(x), -1) @ weights)


def test_ten_crops_are_corners_middle_and_their_mirror_images(images):
    views = augment.ten_crop((8, 6))
    crops = [np.asarray(view.there(images)) for view in views]
    x = np.asarray(images)
    expected = [x[:, :8, :6], x[:, :8, 4:], x[:, 4:, :6], x[:, 4:, 4:], x[:, 2:10, 2:8]]
    for crop, wanted in zip(crops, [*expected, *(e[:, :, ::-1] for e in expected)], strict=True):
        np.testing.assert_array_equal(crop, wanted)


@pytest.mark.parametrize("how", ["probabilities", "logits", "outputs"])
@pytest.mark.parametrize("views", [augment.ten_crop(8), augment.multi_scale((9, 14), augment.ten_crop(8))])
def test_one_jitted_call_is_the_explicit_loop(views, how, images):
    together = jax.jit(augment.test_time(answer, views, how))(images)
    answers = np.stack([np.asarray(answer(view.there(images)), np.float64) for view in views])

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    ways = {
        "probabilities": lambda: softmax(answers).mean(0),
        "logits": lambda: softmax(answers.mean(0)),
        "outputs": lambda: answers.mean(0),
    }
    np.testing.assert_allclose(together, ways[how](), atol=1e-6)


def test_the_lecture_s_recipe_asks_about_fifty_views_in_one_call():
    seen = []

    def model(x):
        seen.append(x.shape)
        return x.mean((1, 2))

    views = augment.multi_scale((224, 256, 384, 480, 640), augment.ten_crop(224))
    shape = jax.eval_shape(augment.test_time(model, views), jax.ShapeDtypeStruct((2, 300, 400, 3), jnp.float32))
    assert shape.shape == (2, 3)
    assert seen == [(100, 224, 224, 3)]


def test_dense_answers_come_back_to_where_they_belong(images):
    """Of the brightness of each pixel: mirrored views see it elsewhere, and the mean is as if they had not."""
    together = jax.jit(augment.test_time(lambda x: 2 * x, augment.mirrored(), "dense"))(images)
    np.testing.assert_allclose(together, 2 * images, atol=1e-6)
    smooth = jnp.broadcast_to(jnp.linspace(0, 1, 12).reshape(1, 12, 1, 1), (1, 12, 12, 1))
    scaled = augment.test_time(lambda x: 2 * x, augment.multi_scale((12, 24), augment.mirrored()), "dense")(smooth)
    assert scaled.shape == smooth.shape
    np.testing.assert_allclose(scaled[:, 2:-2], 2 * smooth[:, 2:-2], atol=1e-3)


def test_what_can_not_be_viewed_is_refused(images):
    with pytest.raises(InputError, match="no way back"):
        augment.test_time(answer, augment.ten_crop(4), "dense")
    with pytest.raises(InputError, match="'probabilities'"):
        augment.test_time(answer, augment.mirrored(), "mean")
    with pytest.raises(InputError, match="no views"):
        augment.test_time(answer, [])
    with pytest.raises(InputError, match="11 x 11 pixels of images of 12 x 10"):
        augment.test_time(answer, augment.ten_crop(11))(images)


def test_what_is_no_batch_and_what_is_no_answer_is_told(images):
    """A single image, a model's outputs with its state, and answers without a row for each."""
    mean = augment.test_time(lambda x: x.mean((1, 2)), augment.mirrored())
    with pytest.raises(InputError, match=r"shape \(12, 10, 3\), expected .*; a single one is images\[None\]"):
        mean(images[0])
    with pytest.raises(InputError, match="images is a list, expected an array"):
        mean(list(images))
    with pytest.raises(InputError, match=r"the answer is a tuple, expected an array; .*train=False\)\[0\]"):
        augment.test_time(lambda x: (x.mean((1, 2)), {}), augment.mirrored())(images)
    with pytest.raises(InputError, match=r"about 6 images is float32\[\], expected \[n, ...\]"):
        augment.test_time(lambda x: x.mean(), augment.mirrored())(images)
    with pytest.raises(InputError, match=r"is float32\[6, 3\], expected \[n, height, width, k\]"):
        augment.test_time(lambda x: x.mean((1, 2)), augment.mirrored(), "dense")(images)


def raw(**options):
    """Preprocessing that leaves values from 0 to 255."""
    return augment.Preprocessing(mean=(0.0,) * 3, std=(1 / 255,) * 3, **options)


@pytest.mark.parametrize("way", ["bicubic", "bilinear"])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=["china", "flower"])
def test_cropping_then_resizing_is_pillow_s_within_a_grey_level(photograph, way):
    height, width = photograph.shape[:2]
    side = int(224 / 256 * min(height, width))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    middle = Image.fromarray(photograph[top : top + side, left : left + side])
    expected = np.asarray(middle.resize((224, 224), getattr(Image.Resampling, way.upper())), float)
    given = np.asarray(raw(first="crop", interpolation=way)(photograph))
    assert np.abs(given - expected).max() <= 1
    assert (given != expected).mean() < 0.03


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=["china", "flower"])
def test_resizing_then_cropping_is_torchvision_s_on_pillow(photograph):
    height, width = photograph.shape[:2]
    resized = Image.fromarray(photograph).resize((int(width * 256 / height), 256), Image.Resampling.BICUBIC)
    left = round((resized.width - 224) / 2)
    expected = np.asarray(resized, float)[16:240, left : left + 224]
    given = np.asarray(raw()(photograph))
    assert np.abs(given - expected).max() <= 1


def test_preprocessing_works_on_batches_and_normalizes():
    x = np.asarray(PHOTOGRAPHS[0])
    own = augment.Preprocessing(size=32)
    batch = jax.jit(own)(jnp.stack([x, x]))
    assert batch.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(batch[1], own(x), atol=1e-5)
    white = own(jnp.ones((40, 40, 3)))
    np.testing.assert_allclose(white[0, 0], (1 - np.array(own.mean)) / np.array(own.std), rtol=1e-5)
    gray = jnp.asarray(x[..., :1])
    np.testing.assert_allclose(own(gray), own(jnp.repeat(gray, 3, -1)), atol=1e-5)
    with pytest.raises(InputError, match=r"expected \[..., height, width, 3\]"):
        own(jnp.zeros((40, 40, 2)))
