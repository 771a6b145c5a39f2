"""TFDS's data sets in ArrayRecord files: what is read, and what is wrong with what is there."""

import json
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from lec7 import data
from lec7.data.catalogue import FASHION_MNIST
from lec7.errors import InputError


@pytest.fixture(scope="module")
def idx_folder(tmp_path_factory):
    """Fashion-MNIST's four files, with 300 and 40 random images."""
    folder = tmp_path_factory.mktemp("idx")
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 300), ("t10k", 40)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
            (folder / f"{prefix}-{name}-ubyte").write_bytes(header + array.tobytes())
    return folder


@pytest.fixture(scope="module")
def prepared(idx_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    data.prepare_fashion_mnist(idx_folder, root)
    return root


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy to be damaged: the folder of data sets, and that of the version."""
    shutil.copytree(prepared, tmp_path / "data")
    return tmp_path / "data", tmp_path / "data" / "fashion_mnist" / "3.0.1"


def test_what_is_prepared_is_what_was_there(prepared, idx_folder):
    for split, expected in zip(("train", "test"), data.fashion_mnist(idx_folder), strict=True):
        source = data.tfds("fashion_mnist", split, prepared)
        assert len(source) == len(expected)
        rows = np.array([7, 0, len(source) - 1, 7])
        found = source[rows]
        for name in ("image", "label"):
            assert found[name].dtype == expected.arrays[name].dtype
            np.testing.assert_array_equal(found[name], expected[rows][name])


def test_many_records_at_once_are_decoded_as_tfds_decodes_one(prepared):
    import tensorflow_datasets

    folder = prepared / "fashion_mnist" / "3.0.1"
    theirs = tensorflow_datasets.builder_from_directory(str(folder)).as_data_source(split="test")
    ours = data.tfds("fashion_mnist", "test", prepared)
    slow = data.tfds("fashion_mnist", "test", prepared, transform=dict)
    assert ours._plain
    assert not slow._plain
    for i in range(len(ours)):
        for found in (ours[i], slow[i]):
            np.testing.assert_array_equal(found["image"], theirs[i]["image"])
            assert found["label"] == theirs[i]["label"]


def test_splits_are_slices(prepared):
    whole = data.tfds("fashion_mnist", "train", prepared)[:]["image"]
    rest, held_out = (data.tfds("fashion_mnist:3.0.1", f"train[{part}]", prepared) for part in (":90%", "90%:"))
    assert (len(rest), len(held_out)) == (270, 30)
    np.testing.assert_array_equal(np.concatenate([rest[:]["image"], held_out[:]["image"]]), whole)


def test_an_example_may_be_transformed(prepared):
    source = data.tfds("fashion_mnist", "test", prepared, transform=lambda x: {"mean": x["image"].mean()})
    assert source[:3]["mean"].dtype == np.float32
    assert set(source[:3]) == {"mean"}
    with pytest.raises(InputError, match=r"'image' of an example of fashion_mnist/3.0.1 has shapes"):
        data.tfds("fashion_mnist", "test", prepared, transform=lambda x: {"image": x["image"][: x["label"]]})[:]


@pytest.mark.slow
def test_it_goes_to_workers(prepared, key):
    source = data.tfds("fashion_mnist", "train", prepared)
    assert len(pickle.dumps(source)) < 20_000
    order = data.HostOrder(key, 300, 32)
    for step, batch in enumerate(data.batches(data.stream(source, workers=1), order, 0, 5)):
        np.testing.assert_array_equal(batch["image"], source[order.indices(step)]["image"])


def test_preparing_twice_writes_once(prepared, idx_folder):
    folder = prepared / "fashion_mnist" / "3.0.1"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert data.prepare_fashion_mnist(idx_folder, prepared) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert [path.name for path in prepared.iterdir()] == ["fashion_mnist"]


def test_nothing_half_written_is_left(idx_folder, tmp_path, monkeypatch):
    from array_record.python import array_record_module

    def full(*_):
        raise OSError(28, "No space left on device")

    class Writer(array_record_module.ArrayRecordWriter):
        write = full

    monkeypatch.setattr(array_record_module, "ArrayRecordWriter", Writer)
    with pytest.raises(InputError, match=r"fashion_mnist/3.0.1 can't be written: .*No space left"):
        data.prepare_fashion_mnist(idx_folder, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_not_there_is_told_with_what_is(prepared, tmp_path):
    for name, split, root, told in (
        (
            "fashion_mnist",
            "train",
            tmp_path / "none",
            r"there is no such folder; .*prepare_fashion_mnist.py --data-dir",
        ),
        (
            "mnist",
            "train",
            prepared,
            r"no data set 'mnist' in .*it has fashion_mnist; did you mean 'fashion_mnist'\?; pre",
        ),
        ("fashion_mnist:9.9.9", "train", prepared, r"no version '9.9.9' of 'fashion_mnist' .*it has 3.0.1; prepare"),
        (
            "fashion_mnist",
            "trian",
            prepared,
            r"split is 'trian'.* did you mean 'train'\?; it has train \(300 examples\)",
        ),
        ("fashion_mnist", "train[:400]", prepared, r"\[:400\] incompatible with 300 examples.; it has train"),
        ("fashion_mnist", "train[:x%]", prepared, r"Error parsing split 'train\[:x%\]'"),
    ):
        with pytest.raises(InputError, match=told):
            data.tfds(name, split, root)


def test_the_newest_version_is_read_and_unfinished_ones_are_not(copy):
    root, folder = copy
    shutil.copytree(folder, folder.parent / "incomplete.AB_10.0.0")
    shutil.copytree(folder, folder.parent / "2.11.0")
    assert data.tfds("fashion_mnist", "test", root).name == "fashion_mnist/3.0.1"
    shutil.copytree(folder, folder.parent / "11.0.0")
    info = folder.parent / "11.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("3.0.1", "11.0.0"))
    assert data.tfds("fashion_mnist", "test", root).name == "fashion_mnist/11.0.0"


def test_configurations_want_to_be_named(copy):
    root, folder = copy
    (root / "glue").mkdir()
    shutil.copytree(folder, root / "glue" / "cola" / "3.0.1")
    with pytest.raises(InputError, match="several configurations: name one, 'glue/cola' for one"):
        data.tfds("glue", "train", root)
    assert len(data.tfds("glue/cola", "test", root)) == 40


def test_a_format_without_random_access_is_told(copy):
    root, folder = copy
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
    with pytest.raises(InputError, match=r"is in the format tfrecord, .* expected array_record: prepare it again"):
        data.tfds("fashion_mnist", "train", root)


def test_a_file_that_is_cut_short_or_missing_is_named_at_once(copy):
    root, folder = copy
    file = folder / "fashion_mnist-train.array_record-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-70_000])
    with pytest.raises(InputError, match=r"fashion_mnist-train\S+ is no ArrayRecord file, or was cut short"):
        data.tfds("fashion_mnist", "train", root)
    shutil.copy(folder / "fashion_mnist-test.array_record-00000-of-00001", file)
    with pytest.raises(InputError, match=r"-train\S+ has 40 records, and \S+dataset_info.json says 300: delete"):
        data.tfds("fashion_mnist", "train", root)
    file.unlink()
    with pytest.raises(InputError, match=r"no file \S+-train"):
        data.tfds("fashion_mnist", "train", root)


def test_a_file_that_is_damaged_inside_is_named_when_it_is_read(copy):
    root, folder = copy
    file = folder / "fashion_mnist-train.array_record-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"-train\S+ is damaged: .*; make it anew, or copy it again"):
        data.tfds("fashion_mnist", "train", root)[:]


def test_features_that_need_tensorflow_are_told(copy):
    root, folder = copy
    features = json.loads((folder / "features.json").read_text())
    inside = features["featuresDict"]["features"]
    inside["image"] = {"pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio", "audio": {}}
    (folder / "features.json").write_text(json.dumps(features))
    with pytest.raises(InputError, match=r"can't be read without tensorflow; it has image \(Audio\), label"):
        data.tfds("fashion_mnist", "train", root)


@pytest.mark.slow
@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_whole(tmp_path):
    assert data.prepare_fashion_mnist(data_dir=tmp_path) == tmp_path / "fashion_mnist" / "3.0.1"
    for split, expected in zip(("train", "test"), data.fashion_mnist(), strict=True):
        loaded = data.load(data.tfds("fashion_mnist", split, tmp_path))
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(loaded.arrays[name], array)


def test_tfds_own_folder_is_the_default(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(data.tfds("fashion_mnist", "test")) == 40
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setattr(Path, "expanduser", lambda path: prepared if str(path) == "~/tensorflow_datasets" else path)
    assert len(data.tfds("fashion_mnist", "test")) == 40
