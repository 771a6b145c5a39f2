"""Winograd's minimal filtering: a 3 x 3 convolution of stride 1 by 16 products a tile of 2 x 2 pixels in place of 36.

In one dimension two neighbouring outputs of a kernel k over four pixels d take four products in place of six:

    m = ((d0 - d2) k0,  (d1 + d2) (k0 + k1 + k2) / 2,  (d2 - d1) (k0 - k1 + k2) / 2,  (d1 - d3) k2)
    y = (m0 + m1 + m2,  m1 - m2 - m3)

In two dimensions the same is done along rows and along columns, and each of the 16 products is one product of
matrices, [tiles, in] by [in, out]. Outputs round otherwise than sums over patches do, and as well.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, F(2 x 2, 3 x 3).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

LEAST_CHANNELS = 16
"""Below, the products are no work to speak of."""

LEAST_TILES = 16
"""An image; below, the kernels that are transformed, and their gradients, outweigh the products spared."""

Padding = Sequence[tuple[int, int]]
"""Rows at the top and at the bottom, columns at the left and at the right."""


def pays(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding) -> bool:
    """Whether this is possible, and faster than one product over patches; `scripts/bench_conv_forms.py` measures both.

    It hangs on nothing that differs from batch to batch. In half precision the sums ahead of the products would round.

    Args:
        x: images [n, height, width, in], or their shape and dtype.
        kernel: [rows, columns, in, out], likewise.
        strides: of the windows, down and across.
        padding: negative where it crops.

    >>> images, kernel = jnp.zeros((1, 28, 28, 64)), jnp.zeros((3, 3, 64, 64))
    >>> pays(images, kernel, (1, 1), ((1, 1), (1, 1))), pays(images, kernel, (2, 2), ((1, 1), (1, 1)))
    (True, False)
    """
    rows, columns, *channels = kernel.shape
    exact = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize >= 4
    if (rows, columns, *strides) != (3, 3, 1, 1) or min(map(min, padding)) < 0 or not exact:
        return False
    tall, wide = _places(x, padding)
    return min(channels) >= LEAST_CHANNELS and -(-tall // 2) * -(-wide // 2) >= LEAST_TILES


def winograd(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """The convolution.

    Args:
        x: images [n, height, width, in].
        kernel: [3, 3, in, out].
        padding: at least 0.

    Returns:
        Images [n, height', width', out].

    >>> winograd(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4)), ((1, 1), (1, 1)))[0, 2, 2].tolist()
    [18.0, 18.0, 18.0, 18.0]
    """
    n, *_, channels = x.shape
    (top, bottom), (left, right) = padding
    tall, wide = _places(x, padding)
    down, across = -(-tall // 2), -(-wide // 2)
    # Half a tile at the far edges is computed, and left out.
    x = jnp.pad(x, ((0, 0), (top, bottom + tall % 2), (left, right + wide % 2), (0, 0)))

    tiles = [tile.reshape(-1, channels) for row in _pixels(x, 1, down) for tile in _pixels(row, 2, across)]
    weights = [weight for row in _kernels(kernel) for weight in _kernels(row)]
    products = [(tile @ weight).reshape(n, down, across, -1) for tile, weight in zip(tiles, weights, strict=True)]

    rows = [_outputs(products[i : i + 4]) for i in range(0, 16, 4)]
    columns = [_outputs(column) for column in zip(*rows, strict=True)]
    upper, lower = (jnp.stack(pixels, axis=3) for pixels in zip(*columns, strict=True))
    return jnp.stack([upper, lower], axis=2).reshape(n, 2 * down, 2 * across, -1)[:, :tall, :wide]


def _places(x: jax.Array, padding: Padding) -> tuple[int, int]:
    """How many places a kernel has down and across."""
    (top, bottom), (left, right) = padding
    return top + x.shape[1] + bottom - 2, left + x.shape[2] + right - 2


def _pixels(x: jax.Array, axis: int, tiles: int) -> list[jax.Array]:
    d0, d1, d2, d3 = (lax.slice_in_dim(x, i, i + 2 * tiles - 1, 2, axis) for i in range(4))
    return [d0 - d2, d1 + d2, d2 - d1, d1 - d3]


def _kernels(k: jax.Array) -> list[jax.Array]:
    return [k[0], (k[0] + k[1] + k[2]) / 2, (k[0] - k[1] + k[2]) / 2, k[2]]


def _outputs(m: Sequence[jax.Array]) -> list[jax.Array]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
