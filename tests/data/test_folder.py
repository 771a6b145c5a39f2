"""Folders of images: what is in them, and what is wrong with them."""

import numpy as np
import pytest
from PIL import Image

from lec7 import data
from lec7.errors import InputError


def write(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((20, 30, 3), 100, np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for i in range(6):
        write(tmp_path / "cat" / f"{i}.png", np.full((20, 30, 3), 10 * i, np.uint8))
        write(tmp_path / "dog" / "deeper" / f"{i}.jpg", np.full((30, 20, 3), 200, np.uint8))
    return tmp_path


def test_a_folder_is_a_class(folder):
    found = data.image_folder(folder, side=16)
    assert found.classes == ("cat", "dog")
    assert found.source.arrays["image"].shape == (12, 16, 16, 3)
    assert found.source.arrays["image"].dtype == np.uint8
    assert found.source.arrays["label"].tolist() == [0] * 6 + [1] * 6
    assert [path.name for path in found.paths[:3]] == ["0.png", "1.png", "2.png"]
    np.testing.assert_array_equal(found.source.arrays["image"][3], 30)
    assert not found.broken
    assert not found.others


def test_the_middle_square_is_pillows(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    path = write(tmp_path / "x.png", pixels)
    expected = Image.fromarray(pixels[:, 10:50]).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(data.read_image(path, 16), expected)


def test_every_kind_of_pixel_becomes_colour(tmp_path):
    gray = np.full((20, 20), 100, np.uint8)
    kinds = {
        "gray.png": gray,
        "deep.png": (gray.astype(np.uint16) * 257),
        "alpha.png": np.stack([gray, gray, gray, gray], -1),
    }
    for name, pixels in kinds.items():
        np.testing.assert_array_equal(data.read_image(write(tmp_path / name, pixels), 8), 100)
    Image.fromarray(gray).convert("1").save(tmp_path / "bit.png")
    Image.fromarray(np.stack([gray] * 3, -1)).quantize(4).save(tmp_path / "palette.gif")
    Image.fromarray(np.stack([gray] * 3, -1)).convert("CMYK").save(tmp_path / "cmyk.jpg")
    for name in ("bit.png", "palette.gif", "cmyk.jpg"):
        assert data.read_image(tmp_path / name, 8).shape == (8, 8, 3)


def test_a_camera_that_was_turned_is_believed(tmp_path):
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = data.read_image(write(tmp_path / "x.png", pixels, exif=exif), 20)
    assert turned[2, 10, 0] == 0
    assert turned[17, 10, 0] == 255


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 cut off", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_few_broken_images_are_counted_and_named(folder, content):
    (folder / "cat" / "broken.jpg").write_bytes(content)
    (folder / "cat" / "notes.txt").write_text("of the photographer")
    (folder / "cat" / ".DS_Store").write_text("of the computer")
    found = data.image_folder(folder, side=8)
    assert len(found.source) == 12
    assert [path.name for path, reason in found.broken if reason] == ["broken.jpg"]
    assert [path.name for path in found.others] == ["notes.txt"]


def test_a_truncated_image_is_broken(folder):
    whole = (folder / "dog" / "deeper" / "0.jpg").read_bytes()
    big = write(folder / "dog" / "big.jpg", np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8))
    big.write_bytes(big.read_bytes()[:1500])
    assert len(whole) > 0
    assert [path.name for path, _ in data.image_folder(folder, side=8).broken] == ["big.jpg"]


def test_many_broken_images_are_too_many(folder):
    for i in range(3):
        (folder / "cat" / f"broken{i}.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"3 of 15 images in .* are broken, such as .*broken0.jpg \(Unidentified"):
        data.image_folder(folder)
    assert len(data.image_folder(folder, side=8, most_broken=0.5).broken) == 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: None, "has no folders in it; expected a folder of images for each class"),
        (lambda root: write(root / "0.jpg"), "has no folders in it"),
        (lambda root: write(root / "cat" / "0.jpg"), "has one class, 'cat'; expected .* two at least"),
        (lambda root: (write(root / "cat" / "0.jpg"), (root / "dog").mkdir()), "dog has no images; expected files"),
    ],
)
def test_a_folder_that_is_no_classification_problem(tmp_path, make, told):
    make(tmp_path)
    with pytest.raises(InputError, match=told):
        data.image_folder(tmp_path)


def test_a_class_of_broken_images_alone(folder):
    (folder / "fox").mkdir()
    (folder / "fox" / "0.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="fox has broken images alone"):
        data.image_folder(folder)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        data.image_folder(tmp_path / "nowhere")


def test_another_folder_has_the_same_classes(folder, tmp_path_factory):
    test = tmp_path_factory.mktemp("test")
    write(test / "dog" / "0.jpg")
    found = data.image_folder(test, 8, classes=("cat", "dog"))
    assert found.source.arrays["label"].tolist() == [1]
    write(test / "fox" / "0.jpg")
    with pytest.raises(InputError, match="has a folder 'fox', and the classes are cat, dog"):
        data.image_folder(test, 8, classes=("cat", "dog"))


def test_each_class_has_its_share_held_out():
    labels = np.repeat([0, 1, 2], [50, 10, 2])
    rows = data.stratified(labels, 0.2, seed=3)
    assert [int(rows[labels == k].sum()) for k in range(3)] == [10, 2, 1]
    np.testing.assert_array_equal(rows, data.stratified(labels, 0.2, seed=3))
    assert not np.array_equal(rows, data.stratified(labels, 0.2, seed=4))
    with pytest.raises(InputError, match="class 7 has a single example"):
        data.stratified(np.array([1, 1, 7]))
