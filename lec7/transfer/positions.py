"""Learned positions of a vision transformer, for images of another size than it was trained on."""

import math

import jax
import jax.numpy as jnp

from lec7 import tree
from lec7.errors import InputError, nearest
from lec7.typing import Params, wide


def resize_position_embedding(params: Params, grid: int | tuple[int, int], at: str = "stem/positions") -> Params:
    """Parameters whose positions are those of another grid of patches, in between the old ones (bicubic, a = -0.5).

    Where the grid shrinks, the kernel is as wide as the old positions need. What is learned for the class token stays.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, section 3.2; timm's `resample_abs_pos_embed`.

    Args:
        params: nested dicts.
        grid: rows and columns of patches, or both in one number: for images of 384 and patches of 16 it is 24.
        at: name of the positions, [1, 1 + patches, features]; their patches are a square, the class token is first.

    Raises:
        InputError: there are no such positions, or `grid` is no such thing.

    >>> params = {"stem": {"positions": jnp.ones((1, 1 + 14 * 14, 8))}}
    >>> resize_position_embedding(params, 24)["stem"]["positions"].shape
    (1, 577, 8)
    """
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    if min(rows, columns) < 1:
        raise InputError(f"grid is {rows} x {columns}, expected at least one row and one column of patches")
    leaves = tree.named(params)
    if at not in leaves:
        raise InputError(f"there are no positions {at!r}{nearest(at, list(leaves))}; at= names them")
    positions = leaves[at]
    side = math.isqrt(max(positions.shape[1] - 1, 0)) if positions.ndim == 3 else 0
    if side == 0 or positions.shape[:2] != (1, 1 + side * side):
        raise InputError(f"{at!r} has shape {positions.shape}, expected [1, 1 + side * side, features]")
    token, patches = positions[:, :1], positions[:, 1:]
    old = patches.reshape(1, side, side, -1).astype(wide(patches.dtype))
    new = jax.image.resize(old, (1, rows, columns, old.shape[-1]), "cubic").reshape(1, rows * columns, -1)
    resized = jnp.concatenate([token, new.astype(positions.dtype)], axis=1)
    return tree.map_named(lambda name, leaf: resized if name == at else leaf, params)
