"""Files that are damaged, malicious or something else: each an InputError that says what it is."""

import io
import json
import pickle
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lec7.errors import InputError
from lec7.transfer import load
from lec7.transfer.torch_file import MAGIC, PROTOCOL

DATA = Path(__file__).parent / "data"


@pytest.fixture
def refused(tmp_path):
    """Loads these bytes, which must fail soon and with this message."""

    def check(content: bytes, message: str) -> None:
        path = tmp_path / "weights"
        path.write_bytes(content)
        begun = time.monotonic()
        with pytest.raises(InputError, match=message):
            load(path)
        assert time.monotonic() - begun < 10

    return check


def zipped(members, compression=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def legacy(code: bytes, *, keys=(), storages=b"") -> bytes:
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, {"little_endian": True}))
    return head + code + pickle.dumps(list(keys), 2) + storages


def both(refused, code: bytes, message: str) -> None:
    """The same pickle in both of PyTorch's containers."""
    refused(legacy(code), message)
    refused(zipped({"a/data.pkl": code}), message)


# Opcodes by hand: FLOATS is a storage of four numbers, TENSOR a function.
FLOATS = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def state_dict(value: bytes) -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00w" + value + b"s."


def tensor(offset: bytes, shape: bytes, strides: bytes) -> bytes:
    return state_dict(TENSOR + b"(" + FLOATS + offset + shape + strides + b"\x89}tR")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_not_run(refused, tmp_path):
    witness = tmp_path / "executed"
    code = pickle.dumps({"w": Trap(witness)}, 2)
    pickle.loads(code)
    assert witness.exists()
    witness.unlink()
    both(refused, code, "which is not called")
    refused(code, "which is not called")
    command = f"touch {witness}".encode()
    system = b"cos\nsystem\n(X" + struct.pack("<I", len(command)) + command + b"tR"
    both(refused, state_dict(system), r"the file wants to call os\.system, which is not called")
    both(refused, b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"the file wants to call os\.system")
    for name in (b"builtins\neval", b"builtins\ngetattr", b"torch\n_utils", b"collections\nOrderedDict.__init__"):
        both(refused, state_dict(b"c" + name + b"\n)R"), "which is not called")
    assert not witness.exists()


def test_what_opcodes_could_do_besides_is_not_done(refused):
    both(refused, state_dict(TENSOR + b")\x81"), "opcode NEWOBJ")
    both(refused, state_dict(TENSOR + b"}b"), "function has no attributes")
    both(refused, state_dict(b"ccollections\nOrderedDict\n}b"), "function has no attributes")
    both(refused, state_dict(b"\x82\x01"), "opcode EXT1")
    both(refused, state_dict(b"X\x01\x00\x00\x00a)R"), "str of tuple is no call")
    both(refused, state_dict(b"ctorch\nfloat32\n)R"), "no call")
    both(refused, b"\x80\x02})K\x01s.", "tuple is no name")


@pytest.mark.parametrize(
    "arguments",
    [
        b")",  # none
        b"K\x01",  # no tuple
        b"(NNNNNNt",
        b"(" + FLOATS + b"K\x00K\x04K\x01\x89}t",  # a shape that is a number
        b"(" + FLOATS + b"J\xff\xff\xff\xffK\x04\x85K\x01\x85\x89}t",  # an offset of -1
        b"(" + FLOATS + b"K\x00J\xff\xff\xff\xff\x85K\x01\x85\x89}t",  # a length of -1
        b"(" + FLOATS + b"K\x00K\x04\x85J\xff\xff\xff\xff\x85\x89}t",  # a stride of -1
        b"(" + FLOATS + b"K\x00K\x04\x85)\x89}t",  # no strides
        b"(" + FLOATS + b"K\x00X\x01\x00\x00\x004\x85K\x01\x85\x89}t",  # a length that is text
        b"(" + FLOATS + b"K\x00K\x04\x85K\x01\x85\x89}}X\x01\x00\x00\x00aK\x01st",  # strange metadata
        b"(" + FLOATS + b"K\x00(" + b"K\x01" * 65 + b"t(" + b"K\x01" * 65 + b"t\x89}t",  # 65 axes
    ],
)
def test_known_names_with_wrong_arguments(arguments, refused):
    both(refused, state_dict(TENSOR + arguments + b"R"), "can't be loaded")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (FLOATS + b"K\x00K\x04\x85)\x89}", r"a tensor of shape \(4,\) and strides \(\) in Storage can't be"),
        (b"X\x01\x00\x00\x00aK\x00K\x04\x85K\x01\x85\x89}", r"a tensor of shape \(4,\) and .* in str can't be"),
        (FLOATS + b"K\x00K\x04\x85K\x01\x85\x89}}X\x01\x00\x00\x00aK\x01s", "other things than conj and neg"),
        (FLOATS + b"K\x00K\x04\x85K\x01\x85\x89}]K\x01a", "other things than conj and neg"),
        (FLOATS + b"K\x00(" + b"K\x01" * 65 + b"t(" + b"K\x01" * 65 + b"t\x89}", "has 65 axes; NumPy has 64 at most"),
    ],
)
def test_a_tensor_that_can_not_be_says_why(arguments, message, refused):
    both(refused, state_dict(TENSOR + b"(" + arguments + b"tR"), message)


def test_an_entry_without_a_value_is_damaged(refused):
    both(refused, b"\x80\x02}(X\x01\x00\x00\x00au.", "its pickle is damaged: SETITEMS can't be done")


def test_a_memo_is_what_its_number_says(tmp_path):
    """Put at 7 and at 3, got from 7: the tensor, and not the dict of metadata that was put afterwards."""
    value = TENSOR + b"(" + FLOATS + b"K\x00K\x04\x85K\x01\x85\x89}tRq\x07"
    code = b"\x80\x02}X\x01\x00\x00\x00v" + value + b"sq\x03X\x01\x00\x00\x00wh\x07s."
    path = tmp_path / "memo.pth"
    path.write_bytes(legacy(code, keys=["0"], storages=struct.pack("<q4f", 4, 1, 2, 3, 4)))
    for name in ("v", "w"):
        np.testing.assert_array_equal(load(path)[name], np.float32([1, 2, 3, 4]))


def test_pairs_make_an_ordered_dict(tmp_path):
    pair = b"X\x01\x00\x00\x00w" + TENSOR + b"(" + FLOATS + b"K\x00K\x04\x85K\x01\x85\x89}tR\x86a"
    code = b"\x80\x02ccollections\nOrderedDict\n]" + pair + b"\x85R."
    path = tmp_path / "pairs.pth"
    path.write_bytes(legacy(code, keys=["0"], storages=struct.pack("<q4f", 4, 1, 2, 3, 4)))
    np.testing.assert_array_equal(load(path)["w"], np.float32([1, 2, 3, 4]))


TOO_LARGE = b"\x8a\x09" + b"\x00" * 7 + b"\x80\x00"  # 2**63


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (b"ctorch\nSize\n(K\x01" + TOO_LARGE + b"t\x85R", "torch.Size"),
        (TENSOR + b"(" + FLOATS + b"K\x00" + TOO_LARGE + b"\x85K\x01\x85\x89}tR", "a tensor's shape"),
        (TENSOR + b"(" + FLOATS + b"K\x00K\x04\x85" + TOO_LARGE + b"\x85\x89}tR", "a tensor's strides"),
        (TENSOR + b"(" + FLOATS + TOO_LARGE + b"K\x04\x85K\x01\x85\x89}tR", "a tensor's offset"),
        (FLOATS.replace(b"K\x04tQ", TOO_LARGE + b"tQ"), "a storage's size"),
        (FLOATS.replace(b"K\x04tQ", b"K\x04(NK\x01" + TOO_LARGE + b"ttQ"), "a part of a storage"),
    ],
)
def test_a_number_of_more_than_63_bits_is_refused_by_what_it_is(code, what, refused):
    both(refused, state_dict(code), f"loaded: {what} is 'tuple' with other things than whole numbers from 0 on")


def test_storages_are_checked_before_arrays_are_made(refused):
    four = struct.pack("<q4f", 4, 1, 2, 3, 4)
    fits = tensor(b"K\x00", b"K\x02K\x02\x86", b"K\x02K\x01\x86")
    refused(legacy(fits, keys=["0"], storages=four[:-1]), r"should have 4 numbers, and has 4 of which 15 bytes")
    refused(legacy(fits, keys=["0"], storages=b"\xff" * 8 + four[8:]), "should have 4 numbers")
    refused(legacy(fits, keys=["1"], storages=four), "list of storages has '1'")
    refused(legacy(fits), "storage '0' is missing")
    refused(zipped({"a/data.pkl": fits}), "storage '0' should have 16 bytes, and has none")
    refused(zipped({"a/data.pkl": fits, "a/data/0": four[9:]}), "should have 16 bytes, and has 15")
    for beyond in (
        tensor(b"K\x01", b"K\x04\x85", b"K\x01\x85"),
        tensor(b"K\x00", b"K\x05\x85", b"K\x01\x85"),
        tensor(b"K\x00", b"K\x02K\x02\x86", b"K\x03K\x01\x86"),
        tensor(b"K\x00", b"K\x02\x85", b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40\x85"),  # a stride of 2**62
    ):
        refused(legacy(beyond, keys=["0"], storages=four), "'w' of shape .* reaches beyond its storage of 16 bytes")
    endless = tensor(b"K\x00", b"\x8a\x06\x00\x00\x00\x00\x00\x40\x85", b"K\x00\x85")  # 2**46 times the same number
    refused(legacy(endless, keys=["0"], storages=four), "claims arrays of 281,474,976,710,656")


def test_a_part_of_a_storage_as_old_files_have_it(tmp_path):
    part = FLOATS.replace(b"K\x04tQ", b"K\x04(X\x01\x00\x00\x00vK\x01K\x02ttQ")
    code = state_dict(TENSOR + b"(" + part + b"K\x01K\x01\x85K\x01\x85\x89}tR")
    path = tmp_path / "old.pth"
    path.write_bytes(legacy(code, keys=["0"], storages=struct.pack("<q4f", 4, 1, 2, 3, 4)))
    np.testing.assert_array_equal(load(path)["w"], np.float32([3]))
    path.write_bytes(path.read_bytes().replace(b"K\x01K\x02tt", b"K\x02K\x02tt"))  # as far as the end
    np.testing.assert_array_equal(load(path)["w"], np.float32([4]))
    path.write_bytes(path.read_bytes().replace(b"K\x02K\x02tt", b"K\x03K\x02tt"))
    with pytest.raises(InputError, match="reaches beyond it"):
        load(path)


@pytest.mark.slow
def test_few_bytes_that_describe_much(refused):
    doubled, itself, wide = {}, {}, {"a" * 10_000: {i: {} for i in range(1000)}}
    for _ in range(60):
        doubled = {"a": doubled, "b": doubled}
    itself["a"] = itself
    for bomb in (doubled, itself, wide):
        both(refused, pickle.dumps(bomb, 2), "more than 100 dicts")
    pairs = b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    both(refused, b"\x80\x02})" + pairs + b"K\x01s.", "tuple is no name")  # 2**60 steps to hash
    both(refused, b"\x80\x02}r\xff\xff\xff\xff.", "no arrays")  # a memo at 2**32
    both(refused, b"\x80\x02X\xff\xff\xff\xff.", "damaged or cut off")  # text of 4 GiB
    both(refused, b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.", "damaged or cut off")  # of 8 EiB
    both(refused, b"\x80\x02" + b"(" * 100_000 + b".", "ends with 0 values")
    both(refused, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "a list in it, not a dict of tensors")
    both(refused, b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 5_000 + b"}" + b"s" * 5_000 + b".", "more than 100 dicts")


@pytest.mark.parametrize("code", [b"\x80\x02.", b"\x80\x02h\x05.", b"\x80\x02}s.", b"\x80\x02}}.", b"\x80\x02t.", b""])
def test_pickles_that_make_no_sense(code, refused):
    both(refused, code, "damaged")


def test_files_of_other_things_in_pytorch_s_format(refused):
    both(refused, pickle.dumps([1], 2), "a list in it, not a dict of tensors")
    both(refused, pickle.dumps({"a": 1}, 2), "'a' is an int, where arrays were expected")
    both(refused, pickle.dumps({}, 2), "no arrays")
    refused(pickle.dumps({"a": 1}, 2), "a pickle of dict, and not a file that torch.save made")
    refused(zipped({"a/data.pkl": pickle.dumps({}, 2), "a/byteorder": b"big"}), "big-endian")


@pytest.mark.slow
def test_archives_that_are_damaged_or_malicious(refused):
    whole = (DATA / "training.zip.pth").read_bytes()
    refused(whole[: len(whole) // 2], "cut off or damaged")
    refused(whole[:-1], "cut off or damaged")
    refused(zipped({"../../etc/data.pkl": b"", "a/data.pkl": b""}), "leads out of the archive")
    refused(zipped({"/a/data.pkl": b""}), "leads out of the archive")
    refused(zipped({"a\\..\\..\\b": b"", "a/data.pkl": b""}), "leads out of the archive")
    refused(zipped({"a/data.pkl": b"\x80\x02}."}, zipfile.ZIP_DEFLATED), "is compressed, which PyTorch's are not")
    refused(zipped({"a/data.pkl": b"\x80\x02}."}, zipfile.ZIP_LZMA), "compressed in an unusual way")
    refused(zipped({"a.npy": b"\0" * 300_000_000}, zipfile.ZIP_DEFLATED), "claims arrays of 300,000,000")
    refused(zipped({"readme.txt": b""}), r"neither by torch\.save nor by numpy\.savez: it has 'readme\.txt'")
    refused(zipped({}), "no arrays")
    flipped = bytearray(whole)
    flipped[whole.index(np.load(DATA / "training.npz")["state_dict/weight"].tobytes())] ^= 1
    refused(bytes(flipped), "CRC")


def npy(shape, dtype="<f4", data=b"", version=b"\x01\x00") -> bytes:
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data


def test_arrays_of_numpy_that_claim_too_much_or_are_objects(refused, tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([Trap(tmp_path / "executed")], object))
    refused((tmp_path / "objects.npz").read_bytes(), "has Python objects in it")
    assert not (tmp_path / "executed").exists()
    refused(zipped({"a.npy": npy((10**12,))}), "claims 4,000,000,0")
    refused(zipped({"a.npy": npy((-1,))}), r"has shape \(-1,\)")
    refused(zipped({"a.npy": npy((1,), "<U4", b"\0" * 16)}), "no numbers")
    refused(zipped({"a.npy": npy((1,), version=b"\x09\x00")}), "damaged|version")
    refused(zipped({"a.npy": b"nothing"}), "damaged or cut off")


def safetensors(header, data=b"", length=None) -> bytes:
    code = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(code) if length is None else length) + code + data


def test_safetensors_that_are_damaged(refused):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    refused(safetensors({"a": entry}, b"1234"), "a safetensors file, is damaged or cut off")
    refused(safetensors({"a": entry}, b"12345678", length=2**42), "a safetensors file, is damaged.*header too large")
    refused(safetensors({"a": entry | {"shape": [2**62, 2**62]}}, b"12345678"), "is damaged")
    for dtype, size in {"F8_E4M3": 24, "F6_E2M3": 18, "F4": 12}.items():
        entry = {"dtype": dtype, "shape": [24], "data_offsets": [0, size]}
        refused(safetensors({"a": entry}, bytes(size)), f"'a' is {dtype}, which safetensors can't give to NumPy")
    refused(safetensors({}), "no arrays")


def test_msgpack_that_is_damaged(refused):
    refused(b"\x81\xa1a\xdd\xff\xff\xff\xff", "a Flax msgpack file, is damaged or cut off")
    refused(b"\x81\xa1a\xc7\x03\x01abc", "is damaged or cut off")
    refused(b"\x81\xa1a" * 2000, "is damaged or cut off")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: the download or the copy failed"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page"),
        (b"<html>", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", r"a Git LFS pointer.*git lfs pull"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip"),
        (b"\x89HDF\r\n\x1a\n", "is HDF5"),
        (b"GGUF\x03", "is GGUF"),
        (npy((1,), data=b"1234"), "a single array without a name"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar archive"),
        (b"hello", "begins with b'hello', which is no format of weights"),
        (b"cos\nsystem\n", "no format of weights"),
    ],
)
def test_files_that_are_something_else_are_told_what_they_are(content, message, refused):
    refused(content, message)
