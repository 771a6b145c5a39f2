"""Erasing and the policies: what they draw, and that they do one thing of the table and no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lec7 import augment
from lec7.augment import colour, policies
from lec7.augment.warp import Frame
from lec7.errors import InputError

SIZE = 16
FRAME = Frame(SIZE, SIZE)
IMAGE = jnp.asarray(np.random.default_rng(0).uniform(size=(SIZE, SIZE, 3)).astype(np.float32))


def drawn(operation, key, count=2000):
    return jax.jit(jax.vmap(lambda k: operation.draw(k, FRAME)))(jax.random.split(key, count))


def test_erase_paints_one_rectangle_within_the_image(key):
    images = jnp.ones((300, SIZE, SIZE, 1))
    gone = np.asarray(augment.pipeline(augment.erase())(jax.random.split(key, 300), images))[..., 0] == 0
    for image in gone:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    # To rounding to whole pixels.
    assert gone.mean((1, 2)).mean() == pytest.approx((0.02 + 0.33) / 2, abs=0.02)


def test_erase_draws_area_and_ratio_as_it_says(key):
    of_all = drawn(augment.erase(scale=(0.1, 0.2), ratio=(0.5, 2.0)), key)
    assert stats.kstest(of_all["area"], stats.uniform(0.1, 0.1).cdf).pvalue > 1e-3
    assert stats.kstest(np.log2(of_all["ratio"]), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    for place in ("top", "left"):
        assert stats.kstest(of_all[place], "uniform").pvalue > 1e-3


def test_erase_with_noise_draws_each_pixel(key):
    noisy = augment.pipeline(augment.erase(scale=(0.99, 1.0), ratio=(1.0, 1.0), fill=None))(key, jnp.zeros((64, 64, 3)))
    assert stats.kstest(np.asarray(noisy).ravel(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("operation", "most"), [(augment.randaugment()[0], 14), (augment.trivialaugment()[0], 14)])
def test_each_of_fourteen_operations_has_the_same_chance_to_either_side(operation, most, key):
    of_all = drawn(operation, key)
    counts = np.bincount(of_all["which"], minlength=most)
    assert len(counts) == most
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.binomtest(int((of_all["sign"] > 0).sum()), len(of_all["sign"])).pvalue > 1e-3


def test_magnitudes_are_the_one_that_is_given_or_any_of_thirty_one(key):
    np.testing.assert_allclose(drawn(augment.randaugment(1, 9)[0], key)["magnitude"], 9 / 30)
    bins = np.round(np.asarray(drawn(augment.trivialaugment()[0], key)["magnitude"]) * 30).astype(int)
    assert stats.chisquare(np.bincount(bins, minlength=31)).pvalue > 1e-3


def one(which, sign=1.0, magnitude=0.5):
    """RandAugment's operation of that place in its table, at half of its strength."""
    operation = augment.randaugment(1)[0]
    own = {"which": jnp.int32(which), "sign": jnp.float32(sign), "magnitude": jnp.float32(magnitude)}
    return operation.leg(own, FRAME), jax.jit(operation.paint)(own, IMAGE)


@pytest.mark.parametrize("name", ["nothing", *policies._MOVES])
def test_an_operation_that_moves_pixels_paints_nothing(name):
    place = ["nothing", *policies._MOVES].index(name)
    affine, painted = one(place, sign=-1.0)
    np.testing.assert_array_equal(painted, IMAGE)
    angle = np.radians(-15) if name == "rotate" else 0
    expected = {"yy": np.cos(angle), "yx": np.sin(angle), "xy": -np.sin(angle), "xx": np.cos(angle), "y0": 0, "x0": 0}
    moved = {"shear_x": ("xy", 0.15), "shear_y": ("yx", 0.15)}
    moved |= {f"translate_{axis}": (f"{axis}0", 150 / 331 / 2 * SIZE) for axis in "xy"}
    if name in moved:
        field, value = moved[name]
        expected[field] = value
    for field, value in expected.items():
        assert float(getattr(affine, field)) == pytest.approx(value, abs=1e-5), field


def test_an_operation_that_paints_moves_nothing_and_does_what_it_is_called():
    wanted = {
        "posterize": colour.posterized(IMAGE, 6),
        "solarize": colour.solarized(IMAGE, 0.5),
        "autocontrast": colour.stretched(IMAGE),
        "equalize": colour.equalized(IMAGE),
        "brightness": jnp.clip(IMAGE * 1.45, 0, 1),
        "saturation": colour.blended(IMAGE, jnp.broadcast_to(colour.luma(IMAGE), IMAGE.shape), 1.45),
        "contrast": jnp.clip(colour.mean_luma(IMAGE) + 1.45 * (IMAGE - colour.mean_luma(IMAGE)), 0, 1),
        "sharpness": colour.blended(IMAGE, colour.blurred(IMAGE), 1.45),
    }
    assert list(wanted) == list(policies._PAINTS)
    for i, (name, expected) in enumerate(wanted.items()):
        affine, painted = one(6 + i)
        np.testing.assert_allclose(painted, expected, atol=1e-6, err_msg=name)
        assert [float(x) for x in affine] == [1, 0, 0, 0, 1, 0], name


def test_augmix_mixes_chains_and_the_image(key):
    operation = augment.augmix(width=2, depth=3)
    of_all = drawn(operation, key, 1000)
    np.testing.assert_allclose(of_all["weights"].sum(1), 1, atol=1e-5)
    assert stats.kstest(of_all["weights"][:, 0], "uniform").pvalue > 1e-3
    assert stats.kstest(of_all["original"], "uniform").pvalue > 1e-3
    which = np.asarray(of_all["chains"]["which"])
    # Nothing is drawn as often as any of the nine, besides what lies beyond a chain's end.
    assert which.max() == 9
    assert (which[..., 2] > 0).mean() == pytest.approx(1 / 3 * 9 / 10, abs=0.05)


def test_augmix_of_the_image_alone_is_the_image(key):
    operation = augment.augmix()
    own = operation.draw(key, FRAME) | {"original": jnp.float32(1)}
    np.testing.assert_allclose(operation.paint(own, IMAGE), IMAGE, atol=1e-6)
    nothing = jax.tree.map(jnp.zeros_like, own["chains"])
    np.testing.assert_allclose(
        operation.paint(own | {"original": jnp.float32(0), "chains": nothing}, IMAGE), IMAGE, atol=1e-6
    )


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: augment.erase(scale=(0.5, 0.1)), "scale is .* expected \\(least, most\\)"),
        (lambda: augment.randaugment(0), "layers is 0"),
        (lambda: augment.randaugment(2, -1.0), "magnitude is -1.0"),
        (lambda: augment.augmix(alpha=0.0), "alpha is 0.0"),
        (lambda: augment.augmix(depth=0), "depth is 0"),
    ],
)
def test_bad_numbers_are_refused(attempt, words):
    with pytest.raises(InputError, match=words):
        attempt()
