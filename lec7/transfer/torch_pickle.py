"""PyTorch's pickles, read and not run: tensors as descriptions, by a machine that knows nothing else.

Python's unpickler calls what a file names. Even with an allow-list it sets attributes, hashes whatever it is given and
makes room for as many memos as a number claims. Here `pickletools` reads the opcodes (and runs none), and what each
does to the stack is written below: the few that a state dict needs, on values that can do nothing.
"""

import math
from collections.abc import Callable
from pickletools import genops
from types import FunctionType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from lec7.errors import InputError
from lec7.transfer.names import quote


class Storage(NamedTuple):
    """A run of numbers in a file, or a part of it: `size` numbers from the number `start` on."""

    key: str
    dtype: np.dtype
    size: int
    start: int = 0


class Tensor(NamedTuple):
    """A tensor as its file describes it; offset and strides count numbers, not bytes."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    conjugated: bool = False
    negated: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes that it takes; an axis of length 0 counts as 1, since NumPy bounds the others as well."""
        return math.prod(max(length, 1) for length in self.shape) * self.dtype.itemsize


class StorageType(NamedTuple):
    """The type of a storage's numbers."""

    dtype: np.dtype


class Pickle(NamedTuple):
    """What a pickle says: its value, and the whole storages that it speaks of, by key."""

    value: Any
    storages: dict[str, Storage]


_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": ml_dtypes.bfloat16,
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "Untyped": "uint8",
}
_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
_DTYPES = {
    **{name: np.dtype(name) for name in ("float64", "float32", "float16", "complex128", "complex64", "bool")},
    **{f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", *_FLOAT8)},
}


def _ordered_dict(pairs: Any = ()) -> dict[str | int, Any]:
    return {_key(name): value for name, value in pairs}


def _size(lengths: Any) -> tuple[int, ...]:
    return _numbers(lengths, "torch.Size")


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
    *,
    dtype: np.dtype | None = None,
) -> Tensor:
    shape, strides = _numbers(shape, "a tensor's shape"), _numbers(strides, "a tensor's strides")
    _numbers((offset,), "a tensor's offset")
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise InputError(
            f"a tensor of shape {shape[:9]} and strides {strides[:9]} in {type(storage).__name__} can't be"
        )
    if len(shape) > 64:
        raise InputError(f"a tensor has {len(shape)} axes; NumPy has 64 at most")
    flags = metadata or {}
    if not isinstance(flags, dict) or not flags.keys() <= {"conj", "neg"}:
        raise InputError("a tensor's metadata have other things than conj and neg in them")
    dtype = storage.dtype if dtype is None else dtype
    return Tensor(storage, dtype, offset, shape, strides, bool(flags.get("conj")), bool(flags.get("neg")))


def _tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Tensor:
    if not isinstance(dtype, np.dtype):
        raise InputError(f"a tensor's dtype is {type(dtype).__name__}")
    return _tensor(storage, offset, shape, strides, metadata=metadata, dtype=dtype)


def _parameter(tensor: Any, grad: Any, hooks: Any, state: Any = None) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise InputError(f"a parameter of {type(tensor).__name__}; it has to be of a tensor")
    return tensor


KNOWN: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.storage.UntypedStorage": StorageType(np.dtype("uint8")),
    **{f"torch.{name}Storage": StorageType(np.dtype(dtype)) for name, dtype in _STORAGES.items()},
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
}
"""What a file may name. The functions here stand for PyTorch's, and make descriptions."""

_SAFETENSORS = "where you trust the file, load it by PyTorch and save its tensors by safetensors.torch.save_file"
_ADVICE = (
    ("torch._utils._rebuild_qtensor", "a quantized tensor has no dtype in NumPy: dequantize() it in PyTorch"),
    ("torch.Q", "a quantized tensor has no dtype in NumPy: dequantize() it in PyTorch"),
    ("torch._utils._rebuild_sparse", "a sparse tensor is no array: make it dense by to_dense() in PyTorch"),
    ("torch._utils._rebuild_meta", "a tensor on the device 'meta' has no values to load"),
    ("torch.nn.", "it is a whole module and no state dict: save module.state_dict() in PyTorch"),
    ("numpy.", "a NumPy value is no tensor: save float(...) or torch.as_tensor(...) of it"),
)


def read_pickle(code: Any) -> Pickle:
    """Reads a pickle up to its end, which `code` then stands at.

    Args:
        code: a binary file whose reads are bounded by what there is (a `BytesIO`, a memory map).

    Raises:
        InputError: it names anything but tensors, or its opcodes make no sense.

    >>> import io, os, pickle
    >>> class Trap:
    ...     def __reduce__(self):
    ...         return os.getcwd, ()
    >>> read_pickle(io.BytesIO(pickle.dumps(Trap(), 2)))
    Traceback (most recent call last):
    lec7.errors.InputError: the file wants to call posix.getcwd, which is not called: only what makes tensors is known.
    Where you trust the file, load it by PyTorch and save its tensors by safetensors.torch.save_file
    """
    machine = _Machine()
    for opcode, argument, _ in genops(code):
        if opcode.name == "STOP":
            break
        try:
            machine.do(opcode.name, argument)
        except InputError:
            raise
        except (
            IndexError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # An empty stack, an unknown memo, a wrong argument.
            raise InputError(f"its pickle is damaged: {opcode.name} can't be done ({error})") from error
    if len(machine.stack) != 1:
        raise InputError(f"its pickle is damaged: it ends with {len(machine.stack)} values, not one")
    return Pickle(machine.stack[0], machine.storages)


class _Machine:
    """A stack, marks on it, and memos."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def do(self, opcode: str, argument: Any) -> None:
        """One opcode."""
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode]())
        elif opcode in _DOINGS:
            _DOINGS[opcode](self, argument)
        elif opcode not in ("PROTO", "FRAME"):
            raise InputError(f"the file has the pickle opcode {opcode}, which no state dict has: {_SAFETENSORS}")

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def tuple(self, length: int | None) -> None:
        values = self.since_mark() if length is None else [self.stack.pop() for _ in range(length)][::-1]
        self.stack.append(tuple(values))

    def append(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError(f"{type(self.stack[-1]).__name__} is no list")
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise TypeError(f"{type(self.stack[-1]).__name__} is no dict")
        self.stack[-1].update((_key(name), value) for name, value in zip(values[::2], values[1::2], strict=True))

    def put(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def name(self, argument: str | None) -> None:
        called = ".".join(argument.split(" ", 1) if argument else [self.stack.pop() for _ in range(2)][::-1])
        if called not in KNOWN:
            advice = next((advice for start, advice in _ADVICE if called.startswith(start)), "")
            raise InputError(
                f"the file wants to call {quote(called)[1:-1]}, which is not called: "
                + (advice or f"only what makes tensors is known. {_SAFETENSORS[0].upper()}{_SAFETENSORS[1:]}")
            )
        self.stack.append(KNOWN[called])

    def call(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, FunctionType) or not isinstance(arguments, tuple):
            raise TypeError(f"{type(function).__name__} of {type(arguments).__name__} is no call")
        self.stack.append(function(*arguments))

    def build(self, _: None) -> None:
        """Attributes: those of an OrderedDict are versions of modules (`_metadata`), which no array hangs on."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise TypeError(f"{type(self.stack[-1]).__name__} has no attributes to set")

    def refer(self, _: None) -> None:
        """A storage outside of the pickle: what it is, its type, key, place and size, and in old files a part of it."""
        reference = self.stack.pop()
        if not isinstance(reference, tuple) or reference[0] != "storage":
            raise TypeError("it refers to something other than a storage")
        _, kind, key, _, size, *part = reference
        if not isinstance(kind, StorageType) or not isinstance(key, str):
            raise TypeError("a storage has no type or no key")
        whole = Storage(key, kind.dtype, *_numbers((size,), "a storage's size"))
        if self.storages.setdefault(key, whole) != whole:
            raise TypeError(f"the storage {quote(key)} is described in two ways")
        if part and part[0] is not None:
            start, size = _numbers(part[0][1:], "a part of a storage")
            if start + size > whole.size:
                raise TypeError(f"a part of the storage {quote(key)} reaches beyond it")
            self.stack.append(Storage(key, kind.dtype, size, start))
        else:
            self.stack.append(whole)


def _key(name: Any) -> str | int:
    """A key of a dict; hashing anything else out of a file may take forever."""
    if not isinstance(name, str | int):
        raise TypeError(f"{type(name).__name__} is no name")
    return name


def _numbers(values: Any, what: str) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or not all(type(n) is int and 0 <= n < 2**63 for n in values):
        raise InputError(f"{what} is {quote(type(values).__name__)} with other things than whole numbers from 0 on")
    return tuple(values)


_VALUES = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_DOINGS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple,
    "TUPLE1": lambda machine, _: machine.tuple(1),
    "TUPLE2": lambda machine, _: machine.tuple(2),
    "TUPLE3": lambda machine, _: machine.tuple(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop() for _ in range(2)][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
}
