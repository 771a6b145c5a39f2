import importlib
import importlib.util
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lec7 import data
from lec7.errors import InputError

MODULE = importlib.import_module("lec7.data.photographs")  # in the room, the function has its name


@given(height=st.integers(100, 1500), width=st.integers(100, 1500))
def test_white_and_black_fields_share_no_pixel_and_leave_none_out(height, width):
    seen = np.zeros((height, width), int)
    for fields in MODULE.cells(height, width):
        for box in fields:
            seen[box.top : box.bottom, box.left : box.right] += 1
            assert box.right - box.left >= 100
            assert box.bottom - box.top >= 100
    assert (seen == 1).all()


def test_no_patch_to_test_with_has_a_pixel_of_what_is_trained_on(monkeypatch):
    """Photographs whose white fields are white, and whose black ones are black."""

    def painted(name):
        pixels = np.zeros(real(name).shape, np.uint8)
        for box in MODULE.cells(*pixels.shape[:2])[0]:
            pixels[box.top : box.bottom, box.left : box.right] = 255
        return pixels

    real = MODULE.read
    monkeypatch.setattr(MODULE, "read", painted)
    train, test = data.photographs(50, 50)
    assert (np.asarray(train.arrays["image"]) == 255).all()
    assert (np.asarray(test.arrays["image"]) == 0).all()


def test_there_are_as_many_of_each_in_turn():
    train, test = data.photographs(3, 2)
    assert len(data.PHOTOGRAPHS) == 10
    for source, count in ((train, 3), (test, 2)):
        assert source.arrays["image"].shape == (10 * count, 64, 64, 3)
        assert source.arrays["image"].dtype == np.uint8
        np.testing.assert_array_equal(source.arrays["label"], np.tile(np.arange(10), count))
        assert len(np.unique(np.asarray(source.arrays["image"]).reshape(10 * count, -1), axis=0)) == 10 * count


def test_gray_photographs_have_three_equal_channels():
    train, _ = data.photographs(1, 1)
    for name in ("camera", "gravel"):
        image = np.asarray(train.arrays["image"])[data.PHOTOGRAPHS.index(name)]
        assert image.std() > 1
        np.testing.assert_array_equal(image, np.broadcast_to(image[..., :1], image.shape))


def test_the_same_seed_gives_the_same_patches_however_many_there_are(same):
    train, test = data.photographs(2, 1, seed=3)
    more, others = data.photographs(5, 1, seed=3)
    same(train.arrays, more[:20])
    same(test.arrays, others.arrays)
    other, _ = data.photographs(2, 1, seed=4)
    assert not np.array_equal(train.arrays["image"], other.arrays["image"])


def test_no_package_is_imported_for_its_photographs(monkeypatch):
    for package in ("skimage", "sklearn"):
        monkeypatch.setitem(sys.modules, package, sys.modules.get(package))
        monkeypatch.delitem(sys.modules, package)
    MODULE.read.cache_clear()
    data.photographs(1, 1)
    assert "skimage" not in sys.modules
    assert "sklearn" not in sys.modules


def without_scikit_image(name, package=None):
    return None if name == "skimage" else FIND(name, package)


def that_finds_nothing(name, package=None):
    raise ModuleNotFoundError(f"No module named {name!r}")


FIND = importlib.util.find_spec


@pytest.mark.parametrize(
    ("find", "missing"),
    [(without_scikit_image, "skimage"), (that_finds_nothing, "sklearn")],
)
def test_a_missing_wheel_is_told_with_the_extra_that_brings_it(find, missing, monkeypatch):
    MODULE.read.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(InputError, match=rf"reads {missing}'s wheel.*pip install 'lec7\[photographs\]'"):
        data.photographs(1, 1)


def test_a_package_without_its_photographs_is_told(monkeypatch, tmp_path):
    (tmp_path / "skimage").mkdir()
    (tmp_path / "skimage" / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location("skimage", tmp_path / "skimage" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"skimage is installed without its data/chelsea\.png"):
        MODULE.read.__wrapped__("chelsea")


@pytest.mark.parametrize(
    ("numbers", "told"),
    [((0, 1), "train_per_class is 0"), ((1, 0), "test_per_class is 0"), ((1, 1, -1), "seed is -1")],
)
def test_numbers_out_of_range_are_refused(numbers, told):
    with pytest.raises(InputError, match=told):
        data.photographs(*numbers)
