"""What can't be used is refused with what was given, what was expected, and what to do."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_operation import BASIS, photograph

from lec7 import augment
from lec7.augment import elsewhere
from lec7.errors import InputError

KEYS, IMAGES = jax.random.split(jax.random.key(0), 2), photograph(n=2)


def used(*operations, keys=KEYS, images=IMAGES, targets=None, **options):
    return lambda: augment.pipeline(*operations, **options)(keys, images, targets)


TABLE = {
    "one key for two images": (used(keys=KEYS[0]), "keys of shape () for images of shape (2, 24, 32, 3)"),
    "too many keys": (used(keys=jax.random.split(KEYS[0], 3)), "jax.random.split(key, len(images))"),
    "keys for one image": (used(images=IMAGES[0]), "keys of shape (2,)"),
    "keys of the old kind": (used(keys=jax.random.PRNGKey(0), images=IMAGES[0]), "uint32[2], expected a typed one"),
    "floats of bytes": (used(augment.gray(), images=IMAGES.astype(np.float32)), "divide bytes by 255"),
    "normalized already": (used(augment.normalize(0.5, 0.2), images=IMAGES / 255.0 - 0.5), "expected floats in [0, 1]"),
    "floats that are none": (used(augment.hue(), images=np.full((2, 4, 4, 3), np.nan)), "go from nan to nan"),
    "a list of images": (used(images=list(IMAGES)), "images is a list, expected an array of images"),
    "int32 images": (used(images=IMAGES.astype(np.int32)), "the images are int32, expected bytes (uint8), or floats"),
    "4 channels": (used(images=np.zeros((2, 8, 8, 4), np.uint8)), "of 1 or 3 channels"),
    "2 channels": (used(images=np.zeros((2, 8, 8, 2), np.uint8)), "have shape (2, 8, 8, 2)"),
    "no channels": (used(images=np.zeros((8, 8), np.uint8)), "have shape (8, 8)"),
    "no such target": (used(targets={"keypoint": 0}), "'keypoint'; did you mean 'keypoints'?"),
    "boxes of 5": (used(augment.mirror(), targets={"boxes": np.zeros((2, 1, 5))}), "expected floats [k, 4]"),
    "points of 3": (used(augment.mirror(), targets={"keypoints": np.zeros((2, 1, 3))}), "expected floats [k, 2]"),
    "a mask of another size": (
        used(augment.mirror(), targets={"mask": np.zeros((2, 8, 8), int)}),
        "the mask has shape (8, 8), the image's is (24, 32)",
    ),
    "targets of fewer images": (used(targets={"boxes": np.zeros((1, 3, 4))}), "for 2 images, expected a leading axis"),
    "interpolation": (
        lambda: augment.pipeline(interpolation="bilinar"),
        "interpolation is 'bilinar'; did you mean 'bilinear'?; expected one of 'nearest', 'bilinear', 'bicubic'",
    ),
    "edge": (lambda: augment.pipeline(edge="wrap"), "expected one of 'constant', 'edge', 'reflect'"),
    "a fill of bytes": (lambda: augment.pipeline(fill=127), "fill is 127"),
    "a fill of other channels": (used(fill=(0.1, 0.2)), "the fill has 2 channels, the images have 3"),
    "a crop of more": (used(augment.random_crop(40)), "random_crop takes 40 x 40 pixels of images of 24 x 32"),
    "a padded crop of more": (used(augment.random_crop(40, pad=4)), "and 4 pixels around them"),
    "a middle of more": (used(augment.center_crop((24, 33))), "center_crop takes 24 x 33"),
    "a pad that is none": (lambda: augment.random_crop(8, pad=-1), "pad is -1"),
    "a size of 0": (lambda: augment.random_crop(0), "size is 0"),
    "a size of three": (lambda: augment.resize((1, 2, 3)), "size is (1, 2, 3)"),
    "jitter without a crop": (used(augment.scale_jitter((20, 30))), "end with a crop, such as random_crop(224)"),
    "jitter upside down": (lambda: augment.scale_jitter((30, 20)), "short_side is (30, 20)"),
    "elastic behind jitter": (
        used(augment.scale_jitter((20, 30)), augment.elastic(), augment.center_crop(8)),
        "elastic needs to know the image's size, which an operation ahead of it draws; put elastic first",
    ),
    "normalize not last": (
        lambda: augment.pipeline(augment.normalize(0.5, 0.2), augment.mirror()),
        "normalize is not the last operation",
    ),
    "normalize twice": (
        lambda: augment.pipeline(augment.normalize(0.5, 0.2), augment.normalize(0.5, 0.2)),
        "put it at the end, once",
    ),
    "a std of 0": (lambda: augment.normalize(0.5, 0.0), "stds more than 0"),
    "more means than stds": (lambda: augment.normalize((0.1, 0.2, 0.3), 1.0), "as many of each"),
    "normalize of other channels": (
        used(augment.normalize((0.1, 0.2, 0.3), (1, 1, 1)), images=photograph(n=2, channels=1)),
        "normalize is of 3 channels, the image has 1",
    ),
    "no operation": (lambda: augment.pipeline(augment.mirror), "is no augmentation; expected such as augment.mirror()"),
    "a pipeline within": (
        lambda: augment.pipeline(augment.pipeline(augment.mirror())),
        "a pipeline is no single augmentation; of a pipeline within another give the operations",
    ),
    "sometimes a pipeline": (
        lambda: augment.sometimes(augment.pipeline(augment.mirror()), 0.5),
        "a pipeline is no single augmentation; sometimes takes one",
    ),
    "sometimes several": (lambda: augment.sometimes(augment.randaugment(), 0.5), "a list is no single augmentation"),
    "sometimes a function": (lambda: augment.sometimes(augment.mirror, 0.5), "mirror is no augmentation"),
    "a mean in words": (lambda: augment.normalize("a", 1), "mean is 'a' and std 1, expected numbers"),
    "no images": (
        lambda: augment.on_batch(augment.pipeline())(KEYS[0], {"images": IMAGES}),
        "the batch has no 'image'; did you mean 'images'?",
    ),
    "a mixture without labels": (
        lambda: augment.on_batch(None, augment.mixup())(KEYS[0], {"image": IMAGES}),
        "the batch has no 'label'; it has 'image'",
    ),
    "degrees upside down": (lambda: augment.rotate((10, -10)), "degrees is (10, -10), expected low <= high"),
    "degrees not a number": (lambda: augment.rotate(float("nan")), "expected low <= high"),
    "degrees of three": (lambda: augment.rotate((1, 2, 3)), "expected a number or (low, high)"),
    "hue": (lambda: augment.hue(0.7), "shift is -0.7, expected a number in [-1/2, 1/2]"),
    "lens": (lambda: augment.lens((-0.5, 0.0)), "strength is -0.5, expected a number more than -1/3"),
    "shear": (lambda: augment.shear(1.0), "limit is -1.0, expected a number in (-1, 1)"),
    "stretch": (lambda: augment.stretch(0.8), "factor is 0.8, expected a finite number, at least 1"),
    "elastic": (lambda: augment.elastic(-1.0), "std is -1.0"),
    "brightness": (lambda: augment.brightness(1.5), "factor is -0.5"),
    "solarize": (lambda: augment.solarize((0.5, 128.0)), "threshold is 128.0, expected a number in [0, 1]"),
    "posterize to nothing": (lambda: augment.posterize((0, 8)), "bits is (0, 8)"),
    "posterize to more": (lambda: augment.posterize((4, 9)), "1 <= fewest <= most <= 8"),
    "mirror": (lambda: augment.mirror(1.2), "probability is 1.2, expected a number in [0, 1]"),
    "sometimes": (lambda: augment.sometimes(augment.gray(), 1.2), "probability is 1.2"),
    "sometimes a crop": (lambda: augment.sometimes(augment.random_crop(8), 0.5), "random_crop changes the size"),
    "scale of nothing": (lambda: augment.random_resized_crop(8, scale=(0.0, 1.0)), "scale is (0.0, 1.0)"),
    "ratio upside down": (lambda: augment.random_resized_crop(8, ratio=(2.0, 1.0)), "ratio is (2.0, 1.0)"),
    "a basis that is none": (lambda: augment.pca_colour(np.ones(3)), "as pca_basis(images) gives"),
    "a basis of other channels": (
        used(augment.pca_colour(BASIS), images=photograph(n=2, channels=1)),
        "the basis is of 3 channels, the image has 1",
    ),
}


@pytest.mark.parametrize(("wrong", "words"), TABLE.values(), ids=TABLE)
def test_it_is_refused_in_words(wrong, words):
    with pytest.raises(InputError, match=re.escape(words)):
        wrong()


def test_what_is_known_too_late_is_not_refused():
    """A traced number can't be looked at, nor can traced images."""
    jax.jit(lambda images: augment.pipeline(augment.gray())(KEYS, images))(jnp.asarray(IMAGES, jnp.float32))
    jax.jit(lambda p: augment.pipeline(augment.mirror(p))(KEYS, jnp.asarray(IMAGES)))(0.5)


def test_floats_beyond_are_moved_as_they_are():
    """Where no values change, they need not be those of an image."""
    heights = 1000 * IMAGES.astype(np.float32)
    np.testing.assert_array_equal(augment.pipeline(augment.mirror(1.0))(KEYS, heights), heights[:, :, ::-1])


def test_what_a_lone_jitter_draws_can_be_told():
    (drawn,) = augment.pipeline(augment.scale_jitter((20, 30))).draw(KEYS[0], IMAGES[0].shape)
    assert 20 <= drawn["short_side"] <= 30


def test_an_operation_is_told_by_its_name():
    assert repr(augment.sometimes(augment.rotate(15), 0.5)) == "Operation('sometimes rotate')"


ELSEWHERE = {
    "RandomHorizontalFlip": "augment.mirror()",
    "horizontal_flip": "augment.mirror()",
    "VerticalFlip": "augment.mirror(vertical=True)",
    "RandomCrop": "augment.random_crop(size, pad=...)",
    "RandomResizedCrop": "augment.random_resized_crop",
    "CenterCrop": "augment.center_crop",
    "ColorJitter": "augment.brightness(), contrast(), saturation() and hue()",
    "Normalize": "augment.normalize",
    "RandomErasing": "augment.erase()",
    "RandAugment": "augment.randaugment",
    "TrivialAugmentWide": "augment.trivialaugment()",
    "MixUp": "augment.mixup",
    "AutoContrast": "augment.autocontrast",
    "Compose": "augment.pipeline(...)",
}


@pytest.mark.parametrize(("name", "ours"), ELSEWHERE.items())
def test_what_is_called_otherwise_elsewhere_is_told_by_its_name_here(name, ours):
    with pytest.raises(AttributeError, match=re.escape(f"no attribute {name!r}; here it is {ours}")):
        getattr(augment, name)


def test_names_of_elsewhere_lead_to_what_there_is():
    for ours, others in elsewhere.HERE.items():
        assert all(hasattr(augment, name) for name in re.findall(r"(\w+)\(", ours))
        for other in others:
            assert elsewhere.hint(other, augment.__all__) == f"; here it is augment.{ours}"
    with pytest.raises(AttributeError, match="no attribute 'rotat'; did you mean 'rotate'"):
        getattr(augment, "rotat")  # noqa: B009
    assert not hasattr(augment, "xyzzy")
