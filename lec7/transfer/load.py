"""Weights out of files, as NumPy arrays by name."""

from pathlib import Path

import numpy as np

from lec7.errors import InputError
from lec7.transfer.formats import Format, recognise
from lec7.transfer.orbax_folder import read_orbax
from lec7.transfer.sources import locate


def load(source: str | Path, *, item: str | None = None) -> dict[str, np.ndarray]:
    """Arrays by name out of a file that anyone may have written: nothing in it is run, and its claims are checked.

    What a file is, its content says: safetensors, `.npz`, Flax's msgpack, PyTorch's `.pth` in both of its containers
    (without PyTorch), or the folder of an Orbax checkpoint, those of lec7's runs included. Nested dicts become names
    joined by slashes. PyTorch's files often have the weights in a dict beside others; the only one is taken.

    Args:
        source: a path; `"package:NAME/path/inside"`, a file in an installed package; or
            `"hf:owner/name@revision:filename"`, a file of the Hugging Face hub (extra `hub`), by default its
            `model.safetensors` or `pytorch_model.bin`. A revision should be a commit hash: then the same address
            gives the same weights tomorrow.
        item: the part of the file that is wanted, by its name: `"state_dict"`, `"params"`,
            `"state/params"` of a checkpoint of lec7. Names go on behind it.

    Returns:
        Arrays, each its own copy, in the order of the file; bfloat16 and float8 are ml_dtypes'.

    Raises:
        InputError: there is no such file or part of it; it is no file of weights, damaged or malicious; or it has
            something else than arrays in what is wanted.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights")
    >>> with open(path, "wb") as file:
    ...     np.savez(file, **{"head/kernel": np.ones((2, 3)), "head/bias": np.zeros(3)})
    >>> {name: array.shape for name, array in load(path).items()}
    {'head/kernel': (2, 3), 'head/bias': (3,)}
    >>> load(path, item="head")["bias"]
    array([0., 0., 0.])
    """
    path = locate(source)
    known = recognise(path) if path.is_file() else Format("an Orbax checkpoint", read_orbax)
    what = f"{path}, {known.name},"
    try:
        return known.read(path, item)
    except InputError as error:
        raise InputError(f"{what} can't be loaded: {error}") from error
    except Exception as error:  # What libraries raise for damaged files may be anything.
        raise InputError(
            f"{what} is damaged or cut off, fetch it again: {type(error).__name__}: {str(error)[:300]}"
        ) from error
