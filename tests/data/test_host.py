"""Sources on the host: memory maps, images, ArrayRecord files, and what is taken of them."""

import pickle

import numpy as np
import pytest
from PIL import Image

from lec7 import data
from lec7.data.host import stack
from lec7.errors import InputError


@pytest.fixture
def npy_folder(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "image.npy", rng.integers(0, 256, (50, 4, 4, 1), np.uint8))
    np.save(tmp_path / "label.npy", np.arange(50) % 7)
    np.save(tmp_path / "weight.npy", rng.normal(size=50))
    return tmp_path


@pytest.fixture
def image_folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_memory_maps_give_the_rows_of_their_files(npy_folder):
    source = data.memory_maps(npy_folder)
    arrays = {path.stem: np.load(path) for path in npy_folder.glob("*.npy")}
    rows = np.array([30, 2, 2, 49, 0])
    found = source[rows]
    assert {name: array.dtype.name for name, array in found.items()} == {
        "image": "uint8",
        "label": "int32",
        "weight": "float32",
    }
    for name, array in arrays.items():
        np.testing.assert_allclose(found[name], array[rows], rtol=1e-7)
    named = data.memory_maps({"y": npy_folder / "label.npy"})
    assert named[[3, -1]]["y"].tolist() == [3, 0]


def test_memory_maps_are_reopened_and_not_sent(npy_folder, monkeypatch):
    monkeypatch.chdir(npy_folder)
    sent = pickle.dumps(data.memory_maps({"image": "image.npy"}))
    assert len(sent) < 500
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(sent)[:]["image"], np.load(npy_folder / "image.npy"))


def test_what_is_no_memory_map_is_named(npy_folder):
    np.save(npy_folder / "short.npy", np.arange(3))
    np.save(npy_folder / "text.npy", np.array(["a", "b"]))
    np.savez(npy_folder / "several.npz", a=np.arange(3))
    np.save(npy_folder / "number.npy", np.float32(3))
    (npy_folder / "cut.npy").write_bytes((npy_folder / "image.npy").read_bytes()[:-10])
    np.save(npy_folder / "large.npy", np.array([2**40]))
    for files, told in (
        ({"image": npy_folder / "nowhere.npy"}, r"no file .*nowhere.npy"),
        ({"x": npy_folder / "cut.npy"}, r"cut.npy is no .npy file, or damaged"),
        ({"x": npy_folder / "text.npy"}, r"text.npy has <U1\[2\], expected an array of numbers"),
        ({"x": npy_folder / "several.npz"}, r"several.npz has no single array"),
        ({"x": npy_folder / "number.npy"}, r"number.npy has float32\[\], expected"),
        (npy_folder / "none", r"no folder .*none"),
        ({}, r"has no .npy file"),
        ({name: npy_folder / f"{name}.npy" for name in ("label", "short")}, r"equally many rows.*short.npy': 3"),
    ):
        with pytest.raises(InputError, match=told):
            data.memory_maps(files)
    with pytest.raises(InputError, match=r"'x' of .*large.npy has 1099511627776, expected whole numbers of 32 bits"):
        data.memory_maps({"x": npy_folder / "large.npy"})[:]


def test_images_are_those_that_are_decoded_at_once(image_folder):
    lazy, whole = data.images(image_folder, 16), data.image_folder(image_folder, 16)
    assert lazy.classes == whole.classes == ("cat", "dog")
    assert lazy.paths == whole.paths
    rows = np.array([7, 0, 7])
    for name in ("image", "label"):
        np.testing.assert_array_equal(lazy[rows][name], whole.source[rows][name])
    assert lazy[rows]["label"].dtype == lazy.labels.dtype == np.int32
    assert lazy[4]["image"].shape == (16, 16, 3)
    assert len(pickle.loads(pickle.dumps(lazy))) == 10


def test_an_image_that_does_not_decode_is_named_when_it_is_read(image_folder, key):
    (image_folder / "dog" / "3.png").write_bytes(b"no image")
    source = data.images(image_folder, 16)
    assert len(source[np.array([0, 7, 9])]["image"]) == 3
    with pytest.raises(InputError, match=r"dog/3.png can't be read: Unidentified"):
        source[np.array([8])]
    with pytest.raises(InputError, match=r"dog/3.png can't be read"):
        list(data.batches(data.stream(source), data.HostOrder(key, 10, 5), 0, 2))


def test_other_classes_are_refused_as_by_image_folder(image_folder):
    assert data.images(image_folder, classes=("ape", "cat", "dog")).labels.tolist() == [1] * 5 + [2] * 5
    with pytest.raises(InputError, match="has a folder 'dog', and the classes are cat, fox"):
        data.images(image_folder, classes=("cat", "fox"))
    with pytest.raises(InputError, match="no folder"):
        data.images(image_folder / "none")


def test_array_records_are_read_across_files(tmp_path):
    write_records(tmp_path)
    source = data.array_record(tmp_path / "part-*", lambda record: {"x": np.frombuffer(record, np.float64)})
    found = source[np.array([6, 0, 4])]["x"]
    np.testing.assert_array_equal(found, np.float32([[6, 6], [0, 0], [4, 4]]))
    both = data.array_record([tmp_path / "part-1", tmp_path / "part-0"], lambda record: {"n": len(record)})
    assert both[:]["n"].tolist() == [16] * 8


def write_records(folder):
    from array_record.python.array_record_module import ArrayRecordWriter  # pyright: ignore[reportAttributeAccessIssue]

    for part in range(2):
        writer = ArrayRecordWriter(str(folder / f"part-{part}"), "group_size:1")
        for i in range(4):
            writer.write(np.full(2, 4 * part + i, np.float64).tobytes())
        writer.close()


def test_array_records_that_fail_are_named(tmp_path):
    write_records(tmp_path)
    (tmp_path / "text").write_text("no records")
    for paths, told in (
        (tmp_path / "none-*", r"no file .*none-\*; expected ArrayRecord files"),
        (tmp_path / "text", r"text is no ArrayRecord file, or was cut short"),
        ([], "was given no file"),
    ):
        with pytest.raises(InputError, match=told):
            data.array_record(paths, len)

    def decode(record):
        x = np.frombuffer(record, np.float64)
        return {"x": x[: int(x[0]) - 4]} if x[0] < 6 else {"x": 1 // 0}

    source = data.array_record(tmp_path / "part-*", decode)
    with pytest.raises(InputError, match=r"record 6 of the source, in .*part-1, can't be decoded: ZeroDivision"):
        source[np.array([0, 6])]
    with pytest.raises(InputError, match=r"'x' of a record of .*part-0 has shapes \(0,\), \(1,\); expected one shape"):
        source[np.array([4, 5])]


def test_what_is_taken_of_a_source_stays_on_the_host(npy_folder):
    source = data.memory_maps(npy_folder)
    taken = data.take(source, np.array([9, 4, 7]))
    assert taken[np.array([2, 0])]["label"].tolist() == [0, 2]
    assert len(data.take(source, np.load(npy_folder / "label.npy") == 3)) == 7
    train, test = data.split(source, held_out=20, seed=1)
    there, held_out = data.split(data.load(source), held_out=20, seed=1)
    for one, other in ((train, there), (test, held_out)):
        assert isinstance(one[:]["image"], np.ndarray)
        np.testing.assert_array_equal(one[:]["image"], other[:]["image"])
    with pytest.raises(InputError, match=r"expected some in \[0, 50\): places of MemoryMaps"):
        data.take(source, np.array([50]))
    with pytest.raises(InputError, match="held_out is 50, expected 1 to 49"):
        data.split(source, held_out=50)


def test_a_source_is_loaded_whole(npy_folder, monkeypatch):
    monkeypatch.setattr("lec7.data.whole.CHUNK", 7)
    source = data.memory_maps(npy_folder)
    loaded = data.load(data.stream(source))
    assert isinstance(loaded, data.ArraySource)
    for name, array in source[:].items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
    assert data.nbytes(source) == data.nbytes(loaded) == 50 * (16 + 4 + 4)
    assert data.load(loaded) is loaded


def test_places_beyond_the_end_are_refused(npy_folder):
    source = data.memory_maps(npy_folder)
    for place in (50, -51, [0, 50]):
        with pytest.raises(IndexError, match="the source has 50"):
            source[place]


def test_examples_that_do_not_go_side_by_side_are_refused():
    for examples, told in (
        ([{"x": 1}, {"y": 1}], r"an example is \{'y'\}, another \{'x'\}"),
        ([{"x": "a"}], r"'x' of an example is 'a', expected an array of numbers"),
        ([{"x": {"deep": 1}}], r"expected an array of numbers"),
        ([{"x": [1]}, {"x": [1, 2]}], r"has shapes \(1,\), \(2,\); expected one shape"),
        ([3], r"an example is 3, another 3; expected arrays by name"),
        ([{"x": 2**40}], r"has 1099511627776, expected whole numbers of 32 bits"),
    ):
        with pytest.raises(InputError, match=told):
            stack(examples, "an example")
