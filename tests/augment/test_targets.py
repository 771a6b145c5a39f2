"""Boxes, points and masks: numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import augment

IMAGE = np.zeros((20, 30, 3), np.uint8)
# x to the right and y down, from the corner of the image.
POINTS, BOXES = np.float32([[5, 4], [29.5, 19.5]]), np.float32([[4, 2, 10, 8], [20, 10, 30, 20]])


def moved(*operations, points=POINTS, boxes=BOXES, key=None):
    key = jax.random.key(0) if key is None else key
    _, targets = augment.pipeline(*operations)(key, IMAGE, {"keypoints": points, "boxes": boxes})
    return targets["keypoints"], targets["boxes"]


@pytest.mark.parametrize(
    ("operation", "points", "boxes"),
    [
        (augment.mirror(1.0), [[25, 4], [0.5, 19.5]], [[20, 2, 26, 8], [0, 10, 10, 20]]),
        (augment.mirror(1.0, vertical=True), [[5, 16], [29.5, 0.5]], [[4, 12, 10, 18], [20, 0, 30, 10]]),
        (augment.center_crop((10, 20)), [[0, -1], [24.5, 14.5]], [[0, 0, 5, 3], [15, 5, 20, 10]]),
        (augment.resize((40, 15)), [[2.5, 8], [14.75, 39]], [[2, 4, 5, 16], [10, 20, 15, 40]]),
        (augment.translate((0.1, 0.1)), [[8, 6], [32.5, 21.5]], [[7, 4, 13, 10], [23, 12, 30, 20]]),
        # About the centre (15, 10), counterclockwise: (x, y) goes to (15 + y - 10, 10 - (x - 15)).
        (augment.rotate((90, 90)), [[9, 20], [24.5, -4.5]], [[7, 15, 13, 20], [15, 0, 25, 5]]),
        (augment.brightness(), POINTS, BOXES),
    ],
    ids=["mirror", "mirror vertical", "center_crop", "resize", "translate", "rotate", "brightness"],
)
def test_points_and_boxes_go_where_paper_and_pencil_put_them(operation, points, boxes):
    new_points, new_boxes = moved(operation)
    np.testing.assert_allclose(new_points, points, atol=1e-4)
    np.testing.assert_allclose(new_boxes, boxes, atol=1e-4)


def test_a_random_crop_shifts_by_what_is_drawn(key):
    crop = augment.random_crop((12, 14), pad=3)
    for one in jax.random.split(key, 3):
        (drawn,) = augment.pipeline(crop).draw(one, IMAGE.shape)
        shift = np.array([drawn["left"] - 3, drawn["top"] - 3])
        points, boxes = moved(crop, key=one)
        np.testing.assert_allclose(points, POINTS - shift, atol=1e-5)
        np.testing.assert_allclose(boxes, np.clip(BOXES - np.tile(shift, 2), 0, [14, 12, 14, 12]), atol=1e-5)


def test_a_resized_crop_scales_by_what_is_drawn(key):
    crop = augment.random_resized_crop((10, 40))
    (d,) = augment.pipeline(crop).draw(key, IMAGE.shape)
    points, _ = moved(crop)
    expected = (POINTS - [d["left"], d["top"]]) * [40 / d["width"], 10 / d["height"]]
    np.testing.assert_allclose(points, expected, atol=1e-3)


def test_the_box_of_a_turned_box_is_around_its_corners():
    _, boxes = moved(augment.rotate((30, 30)), boxes=np.float32([[12, 8, 18, 12]]))
    c, s = np.cos(np.pi / 6), 0.5
    wide, tall = 3 * c + 2 * s, 3 * s + 2 * c
    np.testing.assert_allclose(boxes, [[15 - wide, 10 - tall, 15 + wide, 10 + tall]], atol=1e-4)


def test_the_box_of_a_lens_is_around_bent_edges():
    """Of a barrel, the middle of an edge lies further out than its corners."""
    _, boxes = moved(augment.lens((0.8, 0.8)), boxes=np.float32([[0, 0, 30, 20]]))
    corners, _ = moved(augment.lens((0.8, 0.8)), points=np.float32([[0, 0], [30, 20]]))
    middles, _ = moved(augment.lens((0.8, 0.8)), points=np.float32([[0, 10], [15, 0], [30, 10], [15, 20]]))
    np.testing.assert_allclose(boxes, [[middles[0, 0], middles[1, 1], middles[2, 0], middles[3, 1]]], atol=1e-4)
    assert boxes[0, 0] < corners[0, 0] - 0.5


def test_a_keypoint_is_where_its_pixel_is_seen(key):
    """A bright pixel in the middle of nine, under all that bends and turns; the brightest place follows."""
    row = (augment.rotate((25, 25)), augment.lens((0.15, 0.15)), augment.elastic(1.0, 10), augment.resize((40, 60)))
    image = np.zeros((20, 30, 1), np.float32)
    image[6:9, 17:20], image[7, 18] = 0.4, 1
    new, targets = augment.pipeline(*row)(key, image, {"keypoints": np.float32([[18.5, 7.5]])})
    assert targets["keypoints"].shape == (1, 2)  # a single one as well
    weights = np.asarray(new[..., 0], float)
    y, x = np.indices(weights.shape) + 0.5
    centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    np.testing.assert_allclose(targets["keypoints"][0], centre, atol=0.3)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("operation", [augment.random_crop(16, pad=4), augment.rotate(40)])
def test_a_mask_keeps_its_dtype_and_its_values(operation, dtype, key):
    labels = np.random.default_rng(0).integers(0, 2 if dtype is bool else 7, (20, 30)).astype(dtype)
    follow = augment.pipeline(operation, fill=1.0, edge="constant")
    _, targets = follow(key, IMAGE, {"mask": labels})
    mask = np.asarray(targets["mask"])
    assert mask.dtype == dtype
    assert set(np.unique(mask)) <= {0, *np.unique(labels)}
    _, targets = follow(key, IMAGE, {"mask": np.stack([labels, labels], -1)})
    np.testing.assert_array_equal(targets["mask"], np.stack([mask, mask], -1))


def test_in_a_batch_targets_follow_each_its_own_image(key):
    keys, images = jax.random.split(key, 5), np.repeat(IMAGE[None], 5, 0)
    targets = {
        "mask": np.random.default_rng(0).integers(0, 9, (5, 20, 30)),
        "boxes": np.repeat(BOXES[None], 5, 0),
        "keypoints": np.repeat(POINTS[None], 5, 0),
    }
    follow = augment.pipeline(augment.mirror(), augment.rotate(20), augment.random_crop(16), augment.contrast())
    _, together = jax.jit(follow)(keys, images, targets)
    one = jax.jit(follow)
    for i in range(5):
        _, alone = one(keys[i], images[i], {name: x[i] for name, x in targets.items()})
        for name in targets:
            np.testing.assert_allclose(together[name][i], alone[name], atol=1e-4)
    assert len(np.unique(together["boxes"][:, 0, 0])) == 5


def test_lists_will_do_for_targets(key):
    _, targets = augment.pipeline(augment.mirror(1.0))(
        key[None], IMAGE[None], {"keypoints": [[[5.0, 4.0]]], "boxes": jnp.float32(BOXES)[None].tolist()}
    )
    np.testing.assert_array_equal(targets["keypoints"], [[[25, 4]]])
