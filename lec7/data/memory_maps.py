"""Arrays in .npy files, of which the rows that are asked for are read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lec7.data.host import HostSource, narrow
from lec7.errors import InputError


class MemoryMaps(HostSource):
    """Arrays in .npy files; `data.memory_maps` opens them."""

    def __init__(self, paths: Mapping[str, Path]):
        self.paths = dict(paths)
        self.arrays = {name: _open(path) for name, path in paths.items()}
        lengths = {os.fspath(paths[name]): len(array) for name, array in self.arrays.items()}
        if len(set(lengths.values())) != 1 or not all(lengths.values()):
            raise InputError(f"expected arrays with one row an example and equally many rows, got rows {lengths}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in self.arrays.items())
        return f"MemoryMaps({shapes})"

    def __getstate__(self) -> dict[str, Path]:
        return {name: path.resolve() for name, path in self.paths.items()}

    def __setstate__(self, paths: dict[str, Path]) -> None:
        # A memory map pickles as its contents, which is what there is no room for.
        self.__init__(paths)

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `rows`."""
        # In the order of the file, neighbours share a page and the disk reads on.
        order = np.argsort(rows, kind="stable")
        back = np.argsort(order, kind="stable")
        return {
            name: narrow(np.asarray(array[rows[order]])[back], name, os.fspath(self.paths[name]))
            for name, array in self.arrays.items()
        }


def memory_maps(files: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]) -> MemoryMaps:
    """Arrays in .npy files as a source: the system reads what is asked for, and keeps what there is memory for.

    Args:
        files: name to file, one row an example; or a folder, whose files `image.npy` and `label.npy` give `image` and
            `label`.

    Returns:
        A source on the host; 64-bit numbers are 32-bit ones.

    Raises:
        InputError: a file is missing, no .npy file or damaged, or has no numbers; or the numbers of rows differ.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "x.npy", np.arange(20.0).reshape(10, 2))
    ...     np.save(Path(folder) / "label.npy", np.arange(10))
    ...     memory_maps(folder)[np.array([3, 1])]
    {'label': array([3, 1], dtype=int32), 'x': array([[6., 7.], [2., 3.]], dtype=float32)}
    """
    if isinstance(files, Mapping):
        paths = {name: Path(path) for name, path in files.items()}
    else:
        folder = Path(files)
        if not folder.is_dir():
            raise InputError(f"no folder {folder}; expected one with .npy files, or files by name")
        paths = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    if not paths:
        raise InputError(f"{files or 'memory_maps()'} has no .npy file; expected arrays with one row an example")
    return MemoryMaps(paths)


def _open(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"no file {path}; expected an array that numpy.save has written")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path} is no .npy file, or damaged: {error}") from None
    if not isinstance(array, np.memmap) or array.ndim == 0 or array.dtype.kind not in "biufV":
        kind = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else "no single array"
        raise InputError(f"{path} has {kind}, expected an array of numbers with one row an example")
    return array
