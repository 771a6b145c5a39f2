import gzip
import struct
from pathlib import Path

import jax
import numpy as np
import pytest

from lec7 import data
from lec7.data.catalogue import FASHION_MNIST, read_idx
from lec7.errors import InputError

debian = pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="needs Debian's dataset-fashion-mnist")


def write_idx(path: Path, array: np.ndarray) -> None:
    content = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 20), ("t10k", 10)):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28), np.uint8))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)
    return tmp_path


def test_digits_are_scikit_learns(key):
    from sklearn.datasets import load_digits

    train, test = data.digits()
    assert (len(train), len(test)) == (1437, 360)
    images = np.concatenate([train.arrays["image"], test.arrays["image"]])
    assert images.min() == 0
    assert images.max() == 1
    theirs = {image.tobytes() for image in (load_digits().images / 16).astype(np.float32)}
    assert {image.tobytes() for image in images} == theirs


def test_mnist5k_has_500_of_each_digit():
    train, test = data.mnist5k()
    assert train.arrays["image"].shape == (4000, 28, 28, 1)
    labels = np.concatenate([train.arrays["label"], test.arrays["label"]])
    np.testing.assert_array_equal(np.bincount(labels), 500)


@pytest.mark.slow
@debian
def test_fashion_mnist_is_whole():
    train, test = data.fashion_mnist()
    assert train.arrays["image"].shape == (60000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(test.arrays["label"]), 1000)
    # The mean and deviation of the training pixels that its users normalise by.
    pixels = np.asarray(train.arrays["image"]) / 255
    np.testing.assert_allclose([pixels.mean(), pixels.std()], [0.2860, 0.3530], atol=1e-4)


def test_fashion_mnist_reads_any_folder_gzipped_or_not(idx_folder):
    train, test = data.fashion_mnist(idx_folder)
    assert (len(train), len(test)) == (20, 10)
    np.testing.assert_array_equal(train[np.array([3])]["label"], [3])


def test_a_missing_folder_or_file_is_named(idx_folder):
    with pytest.raises(InputError, match=r"no folder .*nowhere: install Debian's package"):
        data.fashion_mnist(idx_folder / "nowhere")
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"has no t10k-labels-idx1-ubyte\.gz"):
        data.fashion_mnist(idx_folder)


def damage_gzip(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a", b"hello, world", "is no IDX file"),
        ("a", b"\0\0\x08\x03\0\0", "is no IDX file"),
        ("a", b"\0\0\x08\x01\0\0\0\x05abc", "announces shape"),
        ("a.gz", gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde", mtime=0)[:-6], "cannot be read"),
        ("a.gz", b"not gzip at all", "cannot be read"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_idx(tmp_path / name)


def test_rows_must_agree():
    with pytest.raises(InputError, match="equally many rows"):
        data.ArraySource({"image": np.zeros((3, 2)), "label": np.zeros(4)})
    with pytest.raises(InputError):
        data.ArraySource({})
    with pytest.raises(InputError):
        data.ArraySource({"image": np.zeros((0, 2))})


def test_a_source_goes_through_jit_as_an_argument():
    source = data.ArraySource({"label": np.arange(10)})
    pick = jax.jit(lambda source, i: source[i]["label"] + len(source))
    np.testing.assert_array_equal(pick(source, np.array([1, 2])), [11, 12])


def test_a_source_made_inside_a_trace_is_no_tracer():
    kept = []

    @jax.jit
    def make(x):
        kept.append(data.ArraySource({"label": np.arange(4)}))
        return x

    make(1.0)
    np.testing.assert_array_equal(kept[0].arrays["label"], np.arange(4))


def test_a_split_parts_the_examples():
    train, test = data.split(data.ArraySource({"label": np.arange(100)}), held_out=30, seed=1)
    both = np.concatenate([train.arrays["label"], test.arrays["label"]])
    np.testing.assert_array_equal(np.sort(both), np.arange(100))
    with pytest.raises(InputError, match="held_out is 100"):
        data.split(data.ArraySource({"label": np.arange(100)}), held_out=100)
