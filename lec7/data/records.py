"""Examples in ArrayRecord files."""

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lec7.data.host import HostSource, stack
from lec7.errors import InputError

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Part(NamedTuple):
    """Some records of a file, one behind the other."""

    path: Path
    start: int
    length: int


class Records:
    """Records of several files, one behind the other; errors say which file they are of.

    Args:
        source: what reads them, by `__getitems__`: array_record's data source, or TFDS's.
        parts: the files, in its order.
    """

    def __init__(self, source: Any, parts: Sequence[Part]):
        self.source, self.parts = source, tuple(parts)
        self._ends = np.cumsum([part.length for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def path(self, row: int) -> Path:
        """The file that record `row` is in."""
        return self.parts[int(np.searchsorted(self._ends, row, side="right"))].path

    def read(self, rows: np.ndarray) -> list[bytes]:
        """The records at `rows`.

        Raises:
            InputError: a file is damaged.
        """
        try:
            return self.source.__getitems__(rows.tolist())
        except RuntimeError as error:
            raise InputError(self._damage(rows, error)) from error

    def _damage(self, rows: np.ndarray, error: RuntimeError) -> str:
        """The first file that can't be read, found by reading the records one by one."""
        for row in rows.tolist():
            try:
                self.source.__getitems__([row])
            except RuntimeError as alone:
                return f"{self.path(row)} is damaged: {alone}; make it anew, or copy it again"
        return f"one of {len(self.parts)} ArrayRecord files, such as {self.parts[0].path}, can't be read: {error}"


class ArrayRecords(HostSource):
    """Examples in ArrayRecord files; `data.array_record` opens them."""

    def __init__(self, records: Records, decode: Callable[[bytes], Mapping[str, Any]]):
        self.records, self.decode = records, decode

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"ArrayRecords({len(self)} examples in {len(self.records.parts)} files)"

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `rows`, decoded one by one."""
        records = zip(rows.tolist(), self.records.read(rows), strict=True)
        return stack(
            [self._decode(row, record) for row, record in records], f"a record of {self.records.parts[0].path}"
        )

    def _decode(self, row: int, record: bytes) -> Mapping[str, Any]:
        try:
            return self.decode(record)
        except Exception as error:
            raise InputError(
                f"record {row} of the source, in {self.records.path(row)}, can't be decoded: "
                f"{type(error).__name__}: {error}"
            ) from error


def array_record(paths: Paths, decode: Callable[[bytes], Mapping[str, Any]]) -> ArrayRecords:
    """Examples in ArrayRecord files, read when they are asked for.

    Source: https://github.com/google/array_record.

    Args:
        paths: a file, a pattern such as `"train-*.array_record"`, or several of them; of a pattern, in order of name.
        decode: from the bytes of one example to its arrays by name; cloudpickle sends it to worker processes.

    Returns:
        A source on the host.

    Raises:
        InputError: there is no such file, or one is no ArrayRecord file, or damaged; reading raises one as well, where
            damage shows later, or an example can't be decoded.

    >>> array_record("nowhere-*.array_record", decode=lambda record: {})
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    from array_record.python import array_record_data_source

    found = _find([paths] if isinstance(paths, str | os.PathLike) else paths)
    parts = [Part(path, 0, count) for path, count in zip(found, count_records(found), strict=True)]
    source = array_record_data_source.ArrayRecordDataSource([f"{path}[0:{count}]" for path, _, count in parts])
    return ArrayRecords(Records(source, parts), decode)


def count_records(paths: Sequence[Path]) -> list[int]:
    """How many records files have.

    Raises:
        InputError: one is missing, is no ArrayRecord file, or is cut short.
    """
    with ThreadPoolExecutor(min(16, len(paths))) as pool:
        return list(pool.map(_count, paths))


def _count(path: Path) -> int:
    from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

    if not path.is_file():
        raise InputError(f"no file {path}; expected an ArrayRecord file")
    try:
        reader = array_record_module.ArrayRecordReader(os.fspath(path))
        length = reader.num_records()
        reader.close()  # tells what was wrong
    except RuntimeError as error:
        raise InputError(
            f"{path} is no ArrayRecord file, or was cut short: {error}; make it anew, or copy it again"
        ) from None
    return length


def _find(patterns: Sequence[str | os.PathLike[str]]) -> list[Path]:
    found = []
    for given in patterns:
        pattern = os.fspath(given)
        matching = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern))  # noqa: PTH207 - or absolute
        if not matching:
            raise InputError(f"no file {pattern}; expected ArrayRecord files, or a pattern of their names")
        found.extend(map(Path, matching))
    if not found:
        raise InputError("array_record() was given no file; expected paths of ArrayRecord files, or a pattern")
    return found
