"""Orbax checkpoints: the folder of one item, or a folder of items as runs of lec7 have them."""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from lec7 import tree
from lec7.errors import InputError, nearest
from lec7.transfer.limits import check_size
from lec7.transfer.names import choose, is_array

_TREE = "_METADATA"


def read_orbax(folder: Path, item: str | None) -> dict[str, np.ndarray]:
    """The arrays of an Orbax checkpoint by name, on no device; of a checkpoint of lec7 by the names in its state.

    Args:
        folder: of a checkpoint, or of one item of it.
        item: the item, and behind a slash the part of it that is wanted: `"state/params"`.

    Raises:
        InputError: it is no checkpoint, or there is no such item.
    """
    if not (folder / _TREE).is_file():
        folder, item = _item(folder, item)
    handler = ocp.PyTreeCheckpointHandler()
    place: Any = folder.resolve()  # Orbax says that it wants another library's Path, and takes Python's, absolute.
    described: Any = handler.metadata(place).tree
    leaves = [leaf for leaf in jax.tree.leaves(described) if is_array(leaf)]
    size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves)
    check_size(size, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), folder)
    # Without a type, Orbax looks for the devices that the arrays were on.
    types = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray if is_array(leaf) else None), described)
    restored = handler.restore(place, args=ocp.args.PyTreeRestore(restore_args=types))
    if isinstance(restored, dict) and restored.keys() == {"arrays", "checksum"}:
        restored = restored["arrays"]  # train.Checkpoints keeps a checksum beside them.
    return {name: np.asarray(array) for name, array in choose(tree.named(restored), item).items()}


def _item(folder: Path, item: str | None) -> tuple[Path, str | None]:
    """The folder of an item, and the part of it that is wanted."""
    items = sorted(path.parent.name for path in folder.glob(f"*/{_TREE}"))
    if not items:
        raise InputError(f"{folder} is a folder, but no Orbax checkpoint{_elsewhere(folder)}")
    first, _, rest = (item or "").partition("/")
    if first in items:
        return folder / first, rest or None
    if len(items) == 1:
        return folder / items[0], item
    wanted = f"there is no {first!r}{nearest(first, items)}" if first else "which one is wanted is not said"
    raise InputError(f"{folder} has the items {', '.join(items)}, and {wanted}: give item=...")


def _elsewhere(folder: Path) -> str:
    """Where one might be meant."""
    if found := sorted(folder.glob(f"*/*/{_TREE}")) or sorted(folder.glob(f"*/*/*/{_TREE}")):
        steps = {path.parents[1] for path in found}
        return f"; there are checkpoints in it, as {max(steps, key=lambda path: (len(path.name), path.name))}"
    names = sorted(path.name for path in folder.iterdir())
    if weights := [
        name for name in names if name.endswith((".safetensors", ".npz", ".msgpack", ".pth", ".pt", ".bin"))
    ]:
        return f"; give a file in it: {folder / weights[0]}"
    return f"; it has {', '.join(names[:8])} in it" if names else "; it is empty"
