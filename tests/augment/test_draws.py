"""What is drawn: from the distribution that is stated, by streams that know nothing of each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import BASIS
from scipy import stats

from lec7 import augment, random
from lec7.augment.operation import integer
from lec7.augment.warp import Frame

N, SHAPE, LEAST_P = 2000, (24, 40, 3), 1e-4


def drawn(*operations, seed=0, shape=SHAPE):
    """Parameters of each operation, of 2,000 keys."""
    draw = partial(augment.pipeline(*operations).draw, shape=shape)
    many = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(seed), N))
    return [{name: np.asarray(x) for name, x in d.items() if name != "noise"} for d in many]  # of erase, a key


def uniform(low, high):
    return stats.uniform(low, high - low).cdf


CONTINUOUS = [
    (augment.translate(0.2), {"down": uniform(-0.2, 0.2), "right": uniform(-0.2, 0.2)}),
    (augment.translate((0.0, 0.3)), {"down": uniform(0, 0.3), "right": uniform(0, 0.3)}),
    (augment.rotate(30), {"degrees": uniform(-30, 30)}),
    (augment.rotate((10, 80)), {"degrees": uniform(10, 80)}),
    (augment.stretch(1.5), {name: stats.loguniform(1 / 1.5, 1.5).cdf for name in ("tall", "wide")}),
    (augment.shear(0.3), {"along_x": uniform(-0.3, 0.3), "along_y": uniform(-0.3, 0.3)}),
    (augment.lens((-0.1, 0.4)), {"strength": uniform(-0.1, 0.4)}),
    (augment.brightness(0.4), {"factor": uniform(0.6, 1.4)}),
    (augment.contrast(0.3), {"factor": uniform(0.7, 1.3)}),
    (augment.saturation((0.2, 1.1)), {"factor": uniform(0.2, 1.1)}),
    (augment.sharpness(0.5), {"factor": uniform(0.5, 1.5)}),
    (augment.hue(0.1), {"shift": uniform(-0.1, 0.1)}),
    (augment.solarize((0.2, 0.9)), {"threshold": uniform(0.2, 0.9)}),
    (augment.solarize(0.1), {"threshold": uniform(0.4, 0.6)}),
    (augment.pca_colour(BASIS, 0.3), {"amounts": stats.norm(0, 0.3).cdf}),
    (
        augment.erase((0.1, 0.3), (0.5, 2.0)),
        {"area": uniform(0.1, 0.3), "ratio": stats.loguniform(0.5, 2).cdf, "top": uniform(0, 1), "left": uniform(0, 1)},
    ),
]
DISCRETE = [
    (augment.mirror(0.3), "sign", {-1: 0.3, 1: 0.7}),
    (augment.random_crop(20, pad=2), "top", dict.fromkeys(range(9), 1 / 9)),
    (augment.random_crop(20, pad=2), "left", dict.fromkeys(range(25), 1 / 25)),
    (augment.scale_jitter((20, 33)), "short_side", dict.fromkeys(range(20, 34), 1 / 14)),
    (augment.posterize((3, 8)), "bits", dict.fromkeys(range(3, 9), 1 / 6)),
    (augment.sometimes(augment.gray(), 0.2), "done", {0: 0.8, 1: 0.2}),
    (augment.sometimes(augment.sometimes(augment.rotate(5), 0.5), 0.5), "done", {0: 0.75, 1: 0.25}),
    (augment.randaugment(1)[0], "which", dict.fromkeys(range(14), 1 / 14)),
    (augment.randaugment(1)[0], "sign", {-1: 0.5, 1: 0.5}),
]


@pytest.mark.parametrize(("operation", "stated"), CONTINUOUS, ids=[operation.name for operation, _ in CONTINUOUS])
def test_numbers_have_the_stated_distribution(operation, stated):
    (parameters,) = drawn(operation)
    for name, cdf in stated.items():
        assert stats.kstest(parameters[name].ravel(), cdf).pvalue > LEAST_P, name


@pytest.mark.parametrize(("operation", "stated"), CONTINUOUS[:-2], ids=[o.name for o, _ in CONTINUOUS[:-2]])
def test_each_number_comes_of_the_stream_of_its_name(operation, stated, key):
    """What these are called decides what a run draws that goes on with a later version."""
    numbers = operation.draw(key, Frame(24, 40))
    for name, cdf in stated.items():
        u = jax.random.uniform(random.stream(key, name), dtype=jnp.float32)
        np.testing.assert_allclose(cdf(np.float64(numbers[name])), u, atol=1e-5)


def test_a_mixture_s_draws_come_of_two_streams(key):
    n = 50
    lam = jax.random.beta(random.stream(key, "lam"), 0.2, 0.2, (n,))
    partner = jax.random.permutation(random.stream(key, "partner"), n)
    _, soft = augment.mixup()(key, jnp.zeros((n, 1, 1, 1)), jnp.eye(n))
    expected = lam[:, None] * jnp.eye(n) + (1 - lam[:, None]) * jnp.eye(n)[partner]
    np.testing.assert_allclose(soft, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("operation", "name", "chances"), DISCRETE, ids=[f"{o.name} {name}" for o, name, _ in DISCRETE]
)
def test_whole_numbers_have_the_stated_chances(operation, name, chances):
    crop = [augment.center_crop(8)] if name == "short_side" else []  # has to follow
    values, counts = np.unique(drawn(operation, *crop)[0][name].astype(float), return_counts=True)
    assert list(values) == list(chances)
    assert stats.chisquare(counts, N * np.array(list(chances.values()))).pvalue > LEAST_P


@pytest.mark.parametrize(
    ("shape", "scale", "ratio"),
    [
        ((24, 40, 3), (0.08, 1.0), (3 / 4, 4 / 3)),
        ((40, 24, 3), (0.5, 1.0), (0.9, 2.0)),  # most don't fit
        ((60, 12, 3), (0.6, 1.0), (1.0, 1.0)),  # none fits
    ],
)
def test_a_resized_crop_is_what_a_rejection_sampler_in_numpy_takes(shape, scale, ratio):
    height, width, _ = shape
    rng = np.random.default_rng(1)

    def sample():
        for _ in range(10):
            area = height * width * rng.uniform(*scale)
            r = np.exp(rng.uniform(*np.log(ratio)))
            h, w = np.sqrt(area / r), np.sqrt(area * r)
            if h <= height and w <= width:
                return h, w, rng.uniform(0, height - h), rng.uniform(0, width - w)
        if width / height < ratio[0]:
            h, w = width / ratio[0], width
        elif width / height > ratio[1]:
            h, w = height, height * ratio[1]
        else:
            h, w = height, width
        return h, w, (height - h) / 2, (width - w) / 2

    theirs = np.array([sample() for _ in range(4 * N)]).T
    (ours,) = drawn(augment.random_resized_crop(16, scale, ratio), shape=shape)
    ours = {name: x.astype(float) for name, x in ours.items()}
    for name, sampled in zip(("height", "width", "top", "left"), theirs, strict=True):
        # Rounded, for of what is taken where nothing fits there are many alike.
        assert stats.ks_2samp(ours[name].round(3), sampled.round(3)).pvalue > LEAST_P, name
    area = ours["height"] * ours["width"]
    assert stats.ks_2samp(area.round(2), (theirs[0] * theirs[1]).round(2)).pvalue > LEAST_P


def test_elastic_moves_points_by_the_stated_standard_deviation():
    frame = Frame(48, 48)
    operation = augment.elastic(2.5, spacing=6)
    points = jnp.linspace(-23, 23, 40)[:, None], jnp.linspace(-23, 23, 40)[None, :]

    def ways(key):
        y, x = operation.leg(operation.draw(key, frame), frame).back(points)
        return jnp.stack([y - points[0], x - points[1]])

    ways = np.asarray(jax.jit(jax.vmap(ways))(jax.random.split(jax.random.key(0), 300)))
    # About 8 x 8 knots count, of 300 images and two axes.
    np.testing.assert_allclose(ways.std(), 2.5, rtol=5 / np.sqrt(2 * 300 * 2 * 64) + 0.005)
    assert abs(ways.mean()) < 0.05
    one_point = ways[:, :, ::10, ::10].reshape(300, -1)
    assert stats.kstest(one_point[:, 0] / one_point[:, 0].std(), stats.norm.cdf).pvalue > LEAST_P
    assert abs(np.corrcoef(ways[:, 0].ravel(), ways[:, 1].ravel())[0, 1]) < 0.05


def test_the_coin_says_nothing_about_the_parameters():
    """augmax tosses the coin with the key of the angle, so that only angles of one half are ever seen."""
    (turn,) = drawn(augment.sometimes(augment.rotate(30), 0.5))
    degrees = turn["degrees"][turn["done"]]
    assert stats.kstest(degrees, uniform(-30, 30)).pvalue > LEAST_P
    assert (turn["degrees"][~turn["done"]] == 0).all()
    (light,) = drawn(augment.sometimes(augment.brightness(0.4), 0.5))
    for done in (True, False):
        assert stats.kstest(light["factor"][light["done"] == done], uniform(0.6, 1.4)).pvalue > LEAST_P


def test_all_operations_of_a_pipeline_draw_independently():
    operations = [
        augment.mirror(),
        augment.mirror(vertical=True),
        augment.rotate(30),
        augment.rotate(30),
        augment.sometimes(augment.rotate(30), 0.5),
        augment.translate(),
        augment.stretch(),
        augment.shear(),
        augment.lens(),
        augment.elastic(),
        augment.random_crop(20),
        augment.random_crop(15),
        augment.brightness(),
        augment.brightness(),
        augment.contrast(),
        augment.saturation(),
        augment.sharpness(),
        augment.hue(),
        augment.pca_colour(BASIS),
        augment.posterize(),
        augment.solarize(),
        augment.solarize(),
    ]
    columns = [x.reshape(N, -1)[:, :4].astype(float) for d in drawn(*operations) for x in d.values()]
    correlations = stats.spearmanr(np.concatenate(columns, 1)).statistic
    off_diagonal = correlations[~np.eye(len(correlations), dtype=bool)]
    assert off_diagonal.size > 30 * 29
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(N)


def test_the_largest_draw_of_a_whole_number_is_within_its_range(key, monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda *_, **__: jnp.float32(1 - 2**-23))
    for low, high in ((1000, 1001), (8, 8), (0, 255), (224, 640)):
        assert integer(key, "any", low, high) == high
