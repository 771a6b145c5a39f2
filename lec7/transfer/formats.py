"""Files of arrays: what each begins with, and what reads it. The name of a file says nothing."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from lec7.errors import InputError
from lec7.transfer import torch_file
from lec7.transfer.archives import open_archive
from lec7.transfer.names import choose, quote


class Format(NamedTuple):
    """What a format is called, and a function from a file and the part that is wanted to arrays by name."""

    name: str
    read: Callable[[Path, str | None], dict[str, np.ndarray]]


def recognise(path: Path) -> Format:
    """The format of a file, by its first bytes.

    Raises:
        InputError: it is none of ours; where it is known what it is, the message says so.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise InputError(f"{path} is empty: the download or the copy failed; fetch it again")
    for start, what in _STRANGERS:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(start.lower()):
            raise InputError(f"{path} {what}")
    if head[257:262] == b"ustar":
        raise InputError(f"{path} is a tar archive: unpack it, or (PyTorch before 0.2) save it by a PyTorch of today")
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return ZIP
    if len(head) > 8 and head[8:9] == b"{" and not any(head[6:8]):
        return SAFETENSORS
    if head[0] == 0x80 and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return TORCH_LEGACY
    if 0x80 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF):
        return MSGPACK
    raise InputError(
        f"{path} begins with {head[:8]!r}, which is no format of weights that lec7 knows: safetensors, .npz, Flax's "
        "msgpack, PyTorch's .pth, or the folder of an Orbax checkpoint"
    )


_STRANGERS = (
    (b"<!doctype html", "is a web page, not weights: the download gave a log-in or an error; look at it in a browser"),
    (b"<html", "is a web page, not weights: the download gave a log-in or an error; look at it in a browser"),
    (b"<?xml", "is XML, not weights: most likely the message of a server that refused the download; read it"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the weights that it stands for: run `git lfs pull`"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it first"),
    (b"\x89HDF\r\n\x1a\n", "is HDF5 (Keras): save its arrays by numpy.savez or safetensors.numpy.save_file"),
    (b"GGUF", "is GGUF, whose tensors are quantized: take the safetensors that it was made of"),
    (b"\x89PNG", "is a picture, not weights"),
    (b"\xff\xd8\xff", "is a picture, not weights"),
    (b"\x93NUMPY", "is a single array without a name: read it by numpy.load, or save it by numpy.savez(name=...)"),
)


def _read_safetensors(path: Path, item: str | None) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 -- it is no dict
            if (dtype := file.get_slice(name).get_dtype()).startswith(("F4", "F6_", "F8")):
                raise InputError(
                    f"the tensor {quote(name)} is {dtype}, which safetensors can't give to NumPy: convert it"
                )
        return choose({name: file.get_tensor(name) for name in file.offset_keys()}, item)


def _read_msgpack(path: Path, item: str | None) -> dict[str, np.ndarray]:
    from flax.serialization import msgpack_restore

    tree = msgpack_restore(path.read_bytes())
    if not isinstance(tree, dict):
        raise InputError(f"it has a {type(tree).__name__} in it, not a dict of arrays")
    # Flax's arrays are read-only views of the file's bytes, which one of them would keep in memory.
    return {name: np.array(array) for name, array in choose(tree, item).items()}


def _read_zip(path: Path, item: str | None) -> dict[str, np.ndarray]:
    """A zip archive is PyTorch's where it has a pickle, and NumPy's where it has nothing but arrays."""
    with open_archive(path) as archive:
        names = archive.namelist()
    if sum(map(torch_file.is_pickle, names)) == 1:
        return torch_file.read_zip(path, item)
    if other := [name for name in names if not name.endswith(".npy")]:
        raise InputError(
            f"it is a zip archive neither by torch.save nor by numpy.savez: it has {quote(other[0])} in it"
        )
    return _read_npz(path, item)


def _read_npz(path: Path, item: str | None) -> dict[str, np.ndarray]:
    with open_archive(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                claimed = _claimed(file, member)
            if claimed != member.file_size:
                raise InputError(
                    f"its array {quote(member.filename)} claims {claimed:,} bytes, and has {member.file_size:,}"
                )
    with np.load(path, allow_pickle=False) as arrays:
        return choose(dict(arrays), item)


def _claimed(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Bytes that a .npy file should have by its header; NumPy makes room for them before it looks for them."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise InputError(f"its array {quote(member.filename)} has version {version} of NumPy's format, not 1.0 or 2.0")
    shape, _, dtype = read[version](file)
    if dtype.hasobject:
        raise InputError(
            f"its array {quote(member.filename)} has Python objects in it, and loading these could run anything: "
            "save arrays of numbers"
        )
    if dtype.kind not in "fiubc":
        raise InputError(
            f"its array {quote(member.filename)} has dtype {dtype}, no numbers; NumPy keeps bfloat16 as such"
        )
    if any(length < 0 for length in shape):
        raise InputError(f"its array {quote(member.filename)} has shape {shape}")
    size = dtype.itemsize
    for length in shape:
        size *= length
    return file.tell() + size


SAFETENSORS = Format("a safetensors file", _read_safetensors)
ZIP = Format("a zip archive (PyTorch's or NumPy's)", _read_zip)
TORCH_LEGACY = Format("a PyTorch file of before 1.6", torch_file.read_legacy)
MSGPACK = Format("a Flax msgpack file", _read_msgpack)
