"""Convolution and pooling in the form that is fast on the backend at hand.

XLA's convolution loses its threads on a CPU inside `scan` and `while`, and a training loop is one. Products of
matrices keep them: Winograd's where they pay, or one over patches (`scripts/bench_conv.py` measures them). Elsewhere
XLA's own is called.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lec7.models.winograd import Padding, pays, winograd


def convolution(backend: str | None = None) -> Callable[..., jax.Array]:
    """The function to hand to Flax: `nnx.Conv(..., conv_general_dilated=convolution())`.

    Args:
        backend: `"cpu"`, `"gpu"` or `"tpu"`; by default the one that JAX uses.

    Returns:
        A function with the arguments of `jax.lax.conv_general_dilated`.

    >>> convolution("gpu") is lax.conv_general_dilated
    True
    """
    return cpu_convolution if (backend or jax.default_backend()) == "cpu" else lax.conv_general_dilated


def cpu_convolution(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: lax.ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    **options: Any,
) -> jax.Array:
    """`lax.conv_general_dilated`, written as products of matrices where that is possible.

    Args:
        lhs: images [n, height, width, in].
        rhs: kernel [rows, columns, in, out]; of a depthwise convolution [rows, columns, 1, out].
        window_strides: two strides.
        padding: `"SAME"`, `"VALID"` or two pairs.
        lhs_dilation: as in `lax`; anything but ones goes to `lax`.
        rhs_dilation: likewise.
        dimension_numbers: as in `lax`; the layouts above are Flax's.
        feature_group_count: likewise; 1, or as many as channels in and out (depthwise), else it goes to `lax`.
        **options: handed on to `lax`.

    Returns:
        Images [n, height', width', out].

    >>> x, k = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4))
    >>> cpu_convolution(x, k, (1, 1), "SAME")[0, 2, 2].tolist()
    [18.0, 18.0, 18.0, 18.0]
    """
    dilated = set(lhs_dilation or (1,)) | set(rhs_dilation or (1,)) != {1}
    depthwise = 1 != feature_group_count == lhs.shape[-1] == rhs.shape[-1]
    if lhs.ndim != 4 or dilated or not (depthwise or feature_group_count == 1):
        numbers = dimension_numbers or lax.conv_dimension_numbers(lhs.shape, rhs.shape, ("NHWC", "HWIO", "NHWC"))
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            numbers,
            feature_group_count,
            **options,
        )
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, padding)
    if depthwise:
        return _depthwise(lhs, rhs[:, :, 0], window_strides, padding)
    if pays(lhs, rhs, window_strides, padding):
        return winograd(lhs, rhs, padding)
    return patches(lhs, rhs, window_strides, padding)


def patches(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """One product of all patches [places, rows * columns * in] with the kernel."""
    rows, columns, channels, out = kernel.shape
    n, height, width, _ = x.shape
    (top, bottom), (left, right) = padding
    down, across = strides
    tall, wide = (top + height + bottom - rows) // down + 1, (left + width + right - columns) // across + 1

    def product(all_patches: jax.Array) -> jax.Array:
        return (all_patches.reshape(n * tall * wide, -1) @ kernel.reshape(-1, out)).reshape(n, tall, wide, out)

    if (down, across) == (rows, columns) and {top, bottom, left, right} == {0}:
        # Each pixel is in one patch at most, and nothing is copied for others: a transformer's patches are large.
        whole = x[:, : tall * rows, : wide * columns]
        return product(whole.reshape(n, tall, rows, wide, columns, channels).swapaxes(2, 3))

    def tap(i: int, j: int) -> jax.Array:
        """What the kernel's element (i, j) sees, for every place that it stands in."""
        # One padding, negative where it crops, from image to tap: its gradient is one fused sum over all taps.
        tall_end, wide_end = (tall - 1) * down + 1, (wide - 1) * across + 1
        vertical, horizontal = (top - i, tall_end - height - top + i), (left - j, wide_end - width - left + j)
        shifted = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*vertical, 0), (*horizontal, 0), (0, 0, 0)))
        return shifted[:, ::down, ::across]

    return product(jnp.concatenate([tap(i, j) for i in range(rows) for j in range(columns)], axis=-1))


def _depthwise(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding) -> jax.Array:
    """A sum over the elements of the kernel [rows, columns, channels] of what each sees: one fused pass.

    On a CPU some 20 times as fast as XLA's grouped convolution, and 10 times with both gradients, most of whose time
    goes to the kernel's (`scripts/bench_conv.py`).
    """
    (rows, columns, _), (down, across) = kernel.shape, strides
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    tall, wide = (x.shape[1] - rows) // down + 1, (x.shape[2] - columns) // across + 1

    def seen(i: int, j: int) -> jax.Array:
        return x[:, i : i + (tall - 1) * down + 1 : down, j : j + (wide - 1) * across + 1 : across]

    return sum(
        (seen(i, j) * kernel[i, j, None, None, None] for i in range(rows) for j in range(columns)),
        start=jnp.zeros((), x.dtype),
    )


def max_pool(x: jax.Array, size: int = 2, *, stride: int | None = None, padding: int = 0) -> jax.Array:
    """The maximum over windows of size x size; a remainder at the far edges is left out.

    Maxima of strided slices: on a CPU several times faster, backwards too, than a window reduction.

    Args:
        x: images [n, height, width, channels].
        size: edge of a window in pixels.
        stride: from one window to the next; by default `size`, without overlap.
        padding: rows and columns that windows reach over each edge; nothing there is a maximum.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1)).reshape(-1).tolist()
    [5.0, 7.0, 13.0, 15.0]
    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 3, stride=2, padding=1).reshape(-1).tolist()
    [5.0, 7.0, 13.0, 15.0]
    """
    stride = stride or size
    if padding:
        edges = (padding, padding)
        x = jnp.pad(x, ((0, 0), edges, edges, (0, 0)), constant_values=-jnp.inf)

    def along(axis: int, x: jax.Array) -> jax.Array:
        places = (x.shape[axis] - size) // stride + 1
        slices = (lax.slice_in_dim(x, i, i + (places - 1) * stride + 1, stride, axis) for i in range(size))
        return functools.reduce(jnp.maximum, slices)

    return along(2, along(1, x))
