"""What moves pixels, as statements about any image: nothing done is nothing changed, there and back, in a row."""

from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import COLOURS, GEOMETRY, HEIGHT, SIZES, WIDTH, photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lec7 import augment
from lec7.augment import warp
from lec7.augment.warp import Affine, Frame

FRAME = Frame(HEIGHT, WIDTH)
seeds = st.integers(0, 2**31 - 1)
few = settings(max_examples=5, deadline=None)


EVERY = GEOMETRY | COLOURS | {"erase": augment.erase()}


@cache
def compiled(how=lambda operation: operation):
    """What every operation makes of an image, by name; one program, for a compilation each would take long."""
    rows = {name: augment.pipeline(how(operation)) for name, operation in EVERY.items()}
    return jax.jit(lambda key, image: {name: row(key, image) for name, row in rows.items()})


def never(operation):
    return augment.sometimes(operation, 0.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@few
@given(seed=seeds)
def test_with_probability_0_an_image_is_the_same_bit_for_bit(dtype, seed):
    image = photograph(seed, dtype=dtype)
    for name, new in compiled(never)(jax.random.key(seed), image).items():
        assert new.dtype == dtype
        np.testing.assert_array_equal(new, image, err_msg=name)


def test_each_operation_changes_an_image(key):
    image = photograph() // 2  # dark, so that there is contrast to stretch
    several = [compiled()(one, image) for one in jax.random.split(key, 6)]
    for name in EVERY:
        assert max((np.asarray(new[name]) != image).mean() for new in several) > 0.01, name


def test_of_a_batch_some_are_changed_and_the_others_the_same_bit_for_bit(key):
    n, images = 32, photograph(n=32, dtype=np.float32)
    for operation in (augment.stretch(2.2), augment.brightness((0.2, 0.5))):
        half = augment.pipeline(augment.sometimes(operation, 0.5))
        keys = jax.random.split(key, n)
        done = np.asarray(jax.vmap(lambda key: half.draw(key, images.shape[1:])[0]["done"])(keys))  # noqa: B023
        same = (np.asarray(jax.jit(half)(keys, images)) == images).all((1, 2, 3))
        assert 5 < done.sum() < n - 5
        np.testing.assert_array_equal(same, ~done)


@pytest.mark.parametrize("vertical", [False, True])
@few
@given(seed=seeds)
def test_mirror_is_numpys_flip_and_twice_nothing(vertical, seed):
    image, key = photograph(seed), jax.random.key(seed)
    mirror = augment.mirror(1.0, vertical)
    np.testing.assert_array_equal(augment.pipeline(mirror)(key, image), np.flip(image, 0 if vertical else 1))
    np.testing.assert_array_equal(augment.pipeline(mirror, mirror)(key, image), image)
    np.testing.assert_array_equal(augment.pipeline(augment.mirror(0.0, vertical))(key, image), image)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_rotation_by_90_degrees_is_numpys_rot90(turns, interpolation, key):
    image = photograph(size=(24, 24))
    turn = augment.pipeline(augment.rotate((90.0 * turns, 90.0 * turns)), interpolation=interpolation)
    np.testing.assert_array_equal(jax.jit(turn)(key, image), np.rot90(image, turns))


@pytest.mark.parametrize("operation", [augment.lens((0.0, 0.0)), augment.elastic(0.0, spacing=8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_flat_lens_and_stiff_rubber_change_no_bit(operation, dtype, key):
    image = photograph(dtype=dtype)
    np.testing.assert_array_equal(jax.jit(augment.pipeline(operation))(key, image), image)


@cache
def translated():
    def both(key, image, a, b):
        one, other = augment.translate((a, a)), augment.translate((b, b))
        whole = augment.translate((a + b, a + b))
        edge = "reflect"  # an edge that is cut off at the first would show
        return augment.pipeline(one, other, edge=edge)(key, image), augment.pipeline(whole, edge=edge)(key, image)

    return jax.jit(both)


@few
@given(seeds, st.floats(-0.5, 0.5, width=32), st.floats(-0.5, 0.5, width=32))
def test_two_translations_are_one_by_the_sum(seed, a, b):
    one_by_one, at_once = translated()(jax.random.key(seed), photograph(dtype=np.float32), a, b)
    np.testing.assert_allclose(one_by_one, at_once, atol=1e-4)


WHOLE = {
    "turn": (augment.rotate((90, 90)), np.rot90),
    "mirror": (augment.mirror(1.0), np.fliplr),
    "turn over": (augment.mirror(1.0, vertical=True), np.flipud),
    "move": (augment.translate((0.25, 0.25)), lambda x: np.pad(x, ((4, 0), (4, 0), (0, 0)))[:16, :16]),
    "middle": (augment.center_crop(12), lambda x: x[(len(x) - 12) // 2 :, (len(x) - 12) // 2 :][:12, :12]),
}


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(["turn", "mirror", "turn over"]), max_size=4), st.sampled_from(["move", "middle"]))
def test_a_row_of_operations_is_numpys_one_after_the_other(names, last):
    image = expected = photograph(size=(16, 16))
    for name in (*names, last):
        expected = WHOLE[name][1](expected)
    row = augment.pipeline(*(WHOLE[name][0] for name in (*names, last)))
    np.testing.assert_array_equal(jax.jit(row)(jax.random.key(0), image), expected)


@settings(max_examples=20, deadline=None)
@given(seeds, st.lists(st.sampled_from([*GEOMETRY, *SIZES]), min_size=1, max_size=5))
def test_composed_maps_are_the_maps_one_after_the_other_and_lead_back(seed, names):
    keys = jax.random.split(jax.random.key(seed), len(names))
    rng = np.random.default_rng(seed)
    points = start = jnp.asarray(rng.uniform(-10, 10, (2, 7)), jnp.float32)
    frame, legs = FRAME, []
    for key, name in zip(keys, names, strict=True):
        # A barrel, which shows all that there is; what a pincushion doesn't show has no way back.
        operation = (GEOMETRY | SIZES | {"lens": augment.lens((0.0, 0.25))})[name]
        if name in SIZES:  # of an image whose size the crop fits
            frame = FRAME
        drawn = operation.draw(key, frame)
        legs.append(operation.leg(drawn, frame))
        points = legs[-1].forth(tuple(points))
        frame = operation.frame(drawn, frame)
    composed = warp.compose(legs)
    affine_neighbours = pairwise(composed)
    assert not any(isinstance(a, Affine) and isinstance(b, Affine) for a, b in affine_neighbours)
    # An affine map that was put together of several sums in another order.
    np.testing.assert_allclose(warp.forth(composed, tuple(start)), points, rtol=1e-4, atol=1e-3)
    returned = warp.back(composed, warp.forth(composed, tuple(start)))
    np.testing.assert_allclose(returned, start, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("strength", [-0.3, -0.2, -0.05, 0.3, 1.0])
def test_a_lens_leads_back_to_all_that_it_shows_and_the_rest_is_outside(strength, key):
    operation = augment.lens((strength, strength))
    leg = operation.leg(operation.draw(key, FRAME), FRAME)
    new = [p.ravel() for p in np.meshgrid(np.linspace(-12, 12, 25), np.linspace(-16, 16, 33), indexing="ij")]
    old = leg.back(tuple(jnp.asarray(p, jnp.float32) for p in new))
    radius = np.hypot(*new) / np.hypot(12, 16)
    np.testing.assert_allclose(np.hypot(*old), np.hypot(*new) * (1 + strength * radius**2), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(leg.forth(old), new, atol=2e-3 if strength > -0.3 else 0.05)
    # Old points that no point of the new image shows must not come to lie in it.
    limit = np.hypot(*old).max() * 1.02
    y, x = (limit * f(np.linspace(0, 2 * np.pi, 40)) * np.linspace(1, 3, 100)[:, None] for f in (np.sin, np.cos))
    y, x = leg.forth((jnp.asarray(y.ravel(), jnp.float32), jnp.asarray(x.ravel(), jnp.float32)))
    assert ((np.abs(y) > 12) | (np.abs(x) > 16)).all()


@pytest.mark.parametrize(
    ("operation", "matrix"),
    [
        # Of (x, y) with y down, as they move; a turn that is counterclockwise to the eye.
        (augment.rotate((30, 30)), [[np.cos(np.pi / 6), np.sin(np.pi / 6)], [-np.sin(np.pi / 6), np.cos(np.pi / 6)]]),
        (augment.mirror(1.0), [[-1, 0], [0, 1]]),
        (augment.resize((12, 64)), [[2, 0], [0, 0.5]]),
    ],
)
def test_points_move_by_the_matrix_of_the_textbook(operation, matrix, key):
    points = np.random.default_rng(0).uniform(-9, 9, (2, 6))
    leg = operation.leg(operation.draw(key, FRAME), FRAME)
    y, x = leg.forth((jnp.asarray(points[1]), jnp.asarray(points[0])))
    np.testing.assert_allclose(np.stack([x, y]), np.array(matrix) @ points, atol=1e-5)


def test_stretch_shear_and_translate_move_points_by_what_is_drawn(key):
    points = np.random.default_rng(0).uniform(-9, 9, (2, 6))

    def moved(operation):
        drawn = operation.draw(key, FRAME)
        y, x = operation.leg(drawn, FRAME).forth((jnp.asarray(points[1]), jnp.asarray(points[0])))
        return np.stack([x, y]), {name: float(value) for name, value in drawn.items()}

    new, d = moved(augment.stretch(1.5))
    np.testing.assert_allclose(new, points * np.array([[d["wide"]], [d["tall"]]]), rtol=1e-5)
    new, d = moved(augment.translate(0.3))
    np.testing.assert_allclose(new, points + np.array([[d["right"] * WIDTH], [d["down"] * HEIGHT]]), rtol=1e-4)
    new, d = moved(augment.shear(0.4))
    # The map from the new image to the old one slants by as much, the other way.
    back = np.array([[1, -d["along_x"]], [-d["along_y"], 1]])
    np.testing.assert_allclose(back @ new, points, atol=1e-4)


LABELS = np.random.default_rng(3).integers(0, 200, (HEIGHT, WIDTH)).astype(np.uint8)


@pytest.mark.parametrize("name", [*GEOMETRY, *SIZES])
def test_a_mask_goes_where_its_image_goes(name, key):
    move = augment.pipeline((GEOMETRY | SIZES)[name], interpolation="nearest")
    move = jax.jit(move)
    for one in jax.random.split(key, 3):
        image, targets = move(one, LABELS[..., None], {"mask": LABELS.astype(np.int32)})
        assert np.unique(image).size > 20
        np.testing.assert_array_equal(image[..., 0], targets["mask"])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_gray_image_stays_gray_but_for_pca_colour(dtype, key):
    gray = np.repeat(photograph(channels=1, dtype=dtype), 3, -1)
    for name, new in compiled()(key, gray).items():
        new = np.asarray(new, float)
        colour = np.abs(new - new[..., :1]).max() / (255 if dtype == np.uint8 else 1)
        assert colour > 0.01 if name == "pca_colour" else colour < 1e-6, name


@pytest.mark.parametrize(
    ("operations", "size"),
    [
        ([augment.center_crop((11, 13))], (11, 13)),
        ([augment.random_crop(30, pad=3)], (30, 30)),
        ([augment.random_resized_crop((16, 40))], (16, 40)),
        ([augment.resize(12)], (12, 16)),
        ([augment.resize(48)], (48, 64)),
        ([augment.resize((7, 50))], (7, 50)),
        ([augment.scale_jitter((20, 40)), augment.random_crop(18)], (18, 18)),
        (
            [augment.scale_jitter((20, 40)), augment.mirror(), augment.rotate(5), augment.center_crop((18, 20))],
            (18, 20),
        ),
        ([augment.resize(48), augment.random_crop(40), augment.center_crop(10)], (10, 10)),
    ],
)
def test_images_come_out_in_the_size_that_was_asked_for(operations, size, key):
    assert jax.eval_shape(augment.pipeline(*operations), key, photograph()).shape == (*size, 3)


def test_scale_jitter_is_a_resize_to_the_drawn_short_side(key):
    image = photograph(dtype=np.float32)
    jitter = augment.pipeline(augment.scale_jitter((30, 60)), augment.center_crop(20), edge="edge")
    many = jax.jit(jitter)
    for one in jax.random.split(key, 3):
        short_side = int(jitter.draw(one, image.shape)[0]["short_side"])
        resize = augment.pipeline(augment.resize(short_side), augment.center_crop(20), edge="edge")
        np.testing.assert_allclose(many(one, image), resize(one, image), atol=1e-4)


def test_a_resized_crop_shows_the_part_that_was_drawn(key):
    image = photograph(dtype=np.float32, size=(40, 30))
    crop = augment.pipeline(augment.random_resized_crop((40, 30)), edge="edge")
    cropped = jax.jit(crop)
    for one in jax.random.split(key, 3):
        d = {name: float(value) for name, value in crop.draw(one, image.shape)[0].items()}
        y = d["top"] + (np.arange(40) + 0.5) * d["height"] / 40 - 0.5
        x = d["left"] + (np.arange(30) + 0.5) * d["width"] / 30 - 0.5
        points = np.meshgrid(y, x, indexing="ij")
        part = [ndimage.map_coordinates(image[..., c], points, order=1, mode="nearest") for c in range(3)]
        np.testing.assert_allclose(cropped(one, image), np.stack(part, -1), atol=1e-4)
