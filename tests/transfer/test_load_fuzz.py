"""Files with some bytes changed or cut off: arrays or an InputError, and nothing else, soon."""

import contextlib
import shutil
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import ARRAYS, SAVE

from lec7.errors import InputError
from lec7.transfer import load

DATA = Path(__file__).parent / "data"
TORCH = [f"{values}.{form}" for values in ("training", "views", "dtypes", "parameters") for form in ("zip", "legacy")]
FUZZ = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)
lengths = st.one_of(st.just(1.0), st.floats(0, 1))


def damaged(content: bytes, changed, length) -> bytes:
    damaged = bytearray(content)
    for place, value in changed:
        damaged[int(place * len(damaged))] = value
    return bytes(damaged[: int(length * len(damaged))])


def loads_or_says_why(path) -> None:
    begun = time.monotonic()
    with contextlib.suppress(InputError):
        loaded = load(path)
        assert loaded
        assert all(type(array) is np.ndarray and array.nbytes < 2**20 for array in loaded.values())
    assert time.monotonic() - begun < 10


@cache
def whole(form: str, folder: Path) -> bytes:
    if form in TORCH:
        return (DATA / f"{form}.pth").read_bytes()
    SAVE[form](folder / "whole", ARRAYS if "npz" not in form else {"step": ARRAYS["step"]})
    return (folder / "whole").read_bytes()


@pytest.mark.parametrize("form", [*TORCH, "safetensors", "npz", "compressed npz", "msgpack"])
def test_a_damaged_file_loads_or_says_why(form, tmp_path):
    content = whole(form, tmp_path)

    @FUZZ
    @given(changes, lengths)
    def check(changed, length):
        (tmp_path / "weights").write_bytes(damaged(content, changed, length))
        loads_or_says_why(tmp_path / "weights")

    check()


def test_a_damaged_checkpoint_loads_or_says_why(tmp_path):
    SAVE["orbax"](tmp_path / "whole", ARRAYS)
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())

    @settings(FUZZ, max_examples=40)
    @given(st.sampled_from(files), changes, lengths)
    def check(name, changed, length):
        content = (tmp_path / "whole" / name).read_bytes()
        shutil.copytree(tmp_path / "whole", tmp_path / "weights")
        (tmp_path / "weights" / name).write_bytes(damaged(content, changed, length) if content else b"")
        loads_or_says_why(tmp_path / "weights")
        shutil.rmtree(tmp_path / "weights")

    check()
