"""PyTorch's two containers: a zip archive (since 1.6), and pickles followed by raw numbers (before)."""

import io
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lec7.errors import InputError
from lec7.transfer.archives import is_stored, open_archive
from lec7.transfer.limits import check_size
from lec7.transfer.names import choose, quote
from lec7.transfer.torch_pickle import Pickle, Storage, Tensor, read_pickle

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What the first two pickles of the old container say."""


def read_zip(path: Path, item: str | None) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file in the container that it has had since 1.6."""
    with open_archive(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        root = next(name for name in members if is_pickle(name)).removesuffix("data.pkl")
        if f"{root}constants.pkl" in members:
            raise InputError(
                "it is a TorchScript archive, a program with its weights. In PyTorch take its weights alone: "
                "safetensors.torch.save_file(torch.jit.load(path).state_dict(), 'model.safetensors')"
            )
        if packed := next((name for name, member in members.items() if not is_stored(member)), None):
            raise InputError(
                f"its member {quote(packed)} is compressed, which PyTorch's are not: save it by PyTorch again"
            )
        order = f"{root}byteorder"
        if order in members and archive.read(order) != b"little":
            raise InputError("it was saved on a big-endian machine: load it by PyTorch and save it on this one")

        def read(storage: Storage) -> bytes:
            member = members.get(f"{root}data/{storage.key}")
            if member is None or member.file_size != storage.size * storage.dtype.itemsize:
                there = "none" if member is None else f"{member.file_size:,}"
                need = storage.size * storage.dtype.itemsize
                raise InputError(f"its storage {quote(storage.key)} should have {need:,} bytes, and has {there}")
            return archive.read(member)

        pickle = read_pickle(io.BytesIO(archive.read(f"{root}data.pkl")))
        return _arrays(pickle, item, read, path.stat().st_size)


def is_pickle(member: str) -> bool:
    """Whether a member of an archive is what says which tensors there are: `data.pkl`, in a folder or in none."""
    return member == "data.pkl" or (member.endswith("/data.pkl") and member.count("/") == 1)


def read_legacy(path: Path, item: str | None) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file in the container from before 1.6.

    Magic number, version, the machine it was saved on, the object, and the keys of the storages: a pickle each. Then
    for each key a count in 8 bytes, and as many numbers.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        if (first := read_pickle(code).value) != MAGIC:
            raise InputError(f"it is a pickle of {type(first).__name__}, and not a file that torch.save made")
        if read_pickle(code).value != PROTOCOL:
            raise InputError(f"it has another version of PyTorch's format than {PROTOCOL}, the one that there was")
        machine = read_pickle(code).value
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise InputError("it was saved on a big-endian machine: load it by PyTorch and save it on this one")
        pickle = read_pickle(code)
        keys = read_pickle(code).value
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise InputError("its list of storages is damaged")
        places: dict[str, slice] = {}
        end = code.tell()
        for key in keys:
            if key not in pickle.storages or key in places:
                raise InputError(f"its list of storages has {quote(key)}, which is no tensor's or there twice")
            whole = pickle.storages[key]
            count = int.from_bytes(code[end : end + 8], "little")
            start, end = end + 8, end + 8 + whole.size * whole.dtype.itemsize
            if count != whole.size or end > len(code):
                raise InputError(
                    f"its storage {quote(key)} should have {whole.size:,} numbers, and has {count:,} of which "
                    f"{max(len(code) - start, 0):,} bytes are there: it is cut off or damaged; fetch it again"
                )
            places[key] = slice(start, end)

        def read(storage: Storage) -> bytes:
            if storage.key not in places:
                raise InputError(f"its storage {quote(storage.key)} is missing")
            return code[places[storage.key]]

        return _arrays(pickle, item, read, len(code))


def _arrays(pickle: Pickle, item: str | None, read: Callable[[Storage], bytes], weight: int) -> dict[str, np.ndarray]:
    """The chosen tensors as arrays of their own, whatever they share in the file; one storage is read at a time."""
    if isinstance(pickle.value, Tensor):
        raise InputError("it is one tensor, which has no name: save a dict of tensors")
    if not isinstance(pickle.value, dict):
        raise InputError(f"it has a {type(pickle.value).__name__} in it, not a dict of tensors: save a state dict")
    tensors: dict[str, Tensor] = choose(pickle.value, item, unwrap=True)
    check_size(sum(tensor.nbytes for tensor in tensors.values()), weight, "it")
    by_storage: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        by_storage.setdefault(tensor.storage.key, []).append(name)
    arrays: dict[str, Any] = {}
    for key, names in by_storage.items():
        numbers = read(pickle.storages[key])
        arrays |= {name: _array(name, tensors[name], numbers) for name in names}
    return {name: arrays[name] for name in tensors}


def _array(name: str, tensor: Tensor, numbers: bytes) -> np.ndarray:
    """A tensor's array, a copy; `numpy.ndarray` checks that it lies within its storage."""
    storage, size = tensor.storage, tensor.dtype.itemsize
    start = storage.start * storage.dtype.itemsize
    part = memoryview(numbers)[start : start + storage.size * storage.dtype.itemsize]
    if 0 in tensor.shape:
        return np.empty(tensor.shape, tensor.dtype)
    strides = [
        size * stride if length > 1 else size for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    try:
        view = np.ndarray(tensor.shape, tensor.dtype, part, size * tensor.offset, strides)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"the tensor {quote(name)} of shape {tensor.shape}, strides {tensor.strides} and offset {tensor.offset} "
            f"reaches beyond its storage of {len(part):,} bytes: the file is damaged or malicious"
        ) from error
    array = np.array(view, order="C")
    array = np.conj(array) if tensor.conjugated else array
    return np.negative(array) if tensor.negated else array
