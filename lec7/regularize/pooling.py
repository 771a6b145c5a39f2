"""Fractional max pooling: maxima over regions whose borders are drawn anew each time."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import random
from lec7.errors import InputError, nearest, short
from lec7.ranges import array
from lec7.typing import Key

Kind = Literal["random", "pseudorandom"]
KINDS: tuple[Kind, ...] = ("random", "pseudorandom")

OutputShape = int | Sequence[int]
"""Height and width afterwards, or one number for both."""


def fractional_max_pool(
    key: Key, x: jax.Array, output_shape: OutputShape, kind: Kind = "pseudorandom", overlapping: bool = True
) -> jax.Array:
    """Maxima over regions with random borders, which shrink an image by any factor, such as the root of 2.

    Along each axis N pixels are cut into M regions, floor(N / M) or ceil(N / M) long, for each example and channel by
    itself: by a sequence `a` from `a[0] = 0` to `a[M] = N`, region i being the pixels from `a[i]` up to, but without,
    `a[i + 1]`. Where regions overlap, each has its neighbour's first pixel as well.

        pseudorandom    a[i] = ceil(N / M * (i + u)) - ceil(N / M * u), u uniform in (0, 1): borders are even to a pixel
        random          the lengths in random order: regions stretch and squeeze the image

    Source: lecture 7, "A common pattern"; Graham, "Fractional Max-Pooling", 2014, section 2, where the regions are
    squares: rows and columns are drawn apart, as here. PyTorch has regions of one size, see `fractional_max_pool_at`.

    Args:
        key: PRNG key.
        x: images [n, height, width, channels].
        output_shape: height and width afterwards, or one number for both; at most those of `x`.
        kind: how borders are drawn.
        overlapping: whether regions share a pixel with the next.

    Returns:
        An array [n, height, width, channels] of x's dtype. In testing take `even_max_pool`, or `averaged` draws.

    Raises:
        InputError: a shape that does not fit, or an unknown kind.

    >>> import jax, jax.numpy as jnp
    >>> fractional_max_pool(jax.random.key(0), jnp.ones((2, 25, 25, 3)), (18, 18)).shape
    (2, 18, 18, 3)
    """
    x, sizes = _fitting(x, output_shape)
    check_kind(kind)
    draw = _random if kind == "random" else _pseudorandom
    planes, keys = (x.shape[0], x.shape[3]), jax.random.split(random.typed(key))
    axes = zip(keys, x.shape[1:3], sizes, strict=True)
    return _maxima_between(x, [draw(key, planes, inputs, outputs) for key, inputs, outputs in axes], overlapping)


def even_max_pool(x: jax.Array, output_shape: OutputShape, overlapping: bool = True) -> jax.Array:
    """`fractional_max_pool` with evenly spaced borders, `a[i] = round(N / M * i)`, the same for all: for testing.

    Args:
        x: images [n, height, width, channels].
        output_shape: height and width afterwards, or one number for both; at most those of `x`.
        overlapping: whether regions share a pixel with the next.

    Returns:
        An array [n, height, width, channels] of x's dtype.

    Raises:
        InputError: a shape that does not fit.

    >>> even_max_pool(jnp.arange(9.0).reshape(1, 3, 3, 1), (2, 2), overlapping=False)[0, :, :, 0].tolist()
    [[4.0, 5.0], [7.0, 8.0]]
    """
    x, sizes = _fitting(x, output_shape)
    planes = (x.shape[0], x.shape[3])
    borders = [
        jnp.broadcast_to((inputs * np.arange(outputs + 1) + outputs // 2) // outputs, (*planes, outputs + 1))
        for inputs, outputs in zip(x.shape[1:3], sizes, strict=True)
    ]
    return _maxima_between(x, borders, overlapping)


def fractional_max_pool_at(samples: jax.Array, x: jax.Array, output_shape: OutputShape, window: int = 2) -> jax.Array:
    """PyTorch's fractional max pooling: windows of one size, whose places hang on samples that are given.

    The window i of M along an axis of N pixels starts at

        int((i + u) * alpha) - int(u * alpha),    alpha = (N - window) / (M - 1),

    and the last at `N - window`. It is `torch.nn.functional.fractional_max_pool2d(x, window, output_shape,
    _random_samples=samples)`, in the samples' precision, with channels last.

    Args:
        samples: `u`, floats [n, channels, 2] in [0, 1), as `jax.random.uniform` draws them: for width, then height.
        x: images [n, height, width, channels].
        output_shape: height and width afterwards, or one number for both.
        window: edge of a window in pixels.

    Returns:
        An array [n, height, width, channels] of x's dtype.

    Raises:
        InputError: a shape that does not fit.

    >>> import jax, jax.numpy as jnp
    >>> u = jax.random.uniform(jax.random.key(0), (1, 1, 2))
    >>> fractional_max_pool_at(u, jnp.arange(25.0).reshape(1, 5, 5, 1), (2, 2))[0, :, :, 0].tolist()
    [[6.0, 9.0], [21.0, 24.0]]
    """
    x, sizes = _fitting(x, output_shape)
    if samples.shape != (x.shape[0], x.shape[3], 2):
        raise InputError(
            f"samples have shape {samples.shape}, expected {(x.shape[0], x.shape[3], 2)}: a pair for each example and "
            f"channel of x, {x.shape}"
        )
    for inputs, outputs in zip(x.shape[1:3], sizes, strict=True):
        if window < 1 or outputs + window - 1 > inputs:
            raise InputError(
                f"{outputs} windows of {window} pixels were asked for along {inputs}, expected windows of at least 1, "
                f"and no more than {max(inputs - window + 1, 0)} of these"
            )
    starts = [
        _starts(u, inputs, outputs, window)
        for u, inputs, outputs in zip((samples[..., 1], samples[..., 0]), x.shape[1:3], sizes, strict=True)
    ]
    return _maxima(x, [(start, start + window - 1) for start in starts], (window, window))


def _starts(u: jax.Array, inputs: int, outputs: int, window: int) -> jax.Array:
    """Where PyTorch's windows start, int32 [n, channels, outputs], of samples [n, channels]."""
    last = jnp.full((*u.shape, 1), inputs - window, jnp.int32)
    if outputs == 1:
        return last
    alpha = jnp.asarray(inputs - window, u.dtype) / jnp.asarray(outputs - 1, u.dtype)
    i, u = jnp.arange(outputs - 1, dtype=u.dtype).reshape(1, 1, -1), u[..., None]
    return jnp.concatenate([((i + u) * alpha).astype(jnp.int32) - (u * alpha).astype(jnp.int32), last], axis=-1)


def _pseudorandom(key: Key, planes: tuple[int, int], inputs: int, outputs: int) -> jax.Array:
    """Graham's pseudo-random borders, int32 [n, channels, outputs + 1].

    In whole numbers: of `u`, only `ceil(N * u)` counts, which is uniform from 1 to N.
    """
    phase = jax.random.randint(key, (*planes, 1), 1, inputs + 1)
    i = jnp.arange(outputs + 1).reshape(1, 1, -1)
    return -(-(inputs * i + phase) // outputs) + (-phase // outputs)


def _random(key: Key, planes: tuple[int, int], inputs: int, outputs: int) -> jax.Array:
    """Graham's random borders, int32 [n, channels, outputs + 1]."""
    longer = jnp.arange(outputs) < inputs % outputs
    lengths = jnp.broadcast_to(inputs // outputs + longer, (*planes, outputs))
    lengths = jax.random.permutation(key, lengths, axis=-1, independent=True)
    return jnp.pad(jnp.cumsum(lengths, axis=-1), ((0, 0), (0, 0), (1, 0)))


def _maxima_between(x: jax.Array, borders: Sequence[jax.Array], overlapping: bool) -> jax.Array:
    """Maxima over the regions that borders, [n, channels, outputs + 1] for each axis, lie between."""
    regions, longest = [], []
    for a, inputs in zip(borders, x.shape[1:3], strict=True):
        regions.append((a[..., :-1], jnp.minimum(a[..., 1:] - 1 + overlapping, inputs - 1)))
        longest.append(-(-inputs // (a.shape[-1] - 1)) + overlapping)
    return _maxima(x, regions, longest)


def _maxima(x: jax.Array, regions: Sequence[tuple[jax.Array, jax.Array]], longest: Sequence[int]) -> jax.Array:
    """Maxima over rows, then over columns, whose first and last are given, [n, channels, outputs] for each axis."""
    for axis, ((first, last), most) in enumerate(zip(regions, longest, strict=True), start=1):
        first, last = (jnp.expand_dims(jnp.moveaxis(at, 1, -1), 3 - axis) for at in (first, last))
        # A region that is shorter than others has its last pixel several times, which no maximum minds.
        pixels = [jnp.take_along_axis(x, jnp.minimum(first + k, last), axis) for k in range(most)]
        x = pixels[0]
        for other in pixels[1:]:
            x = jnp.maximum(x, other)
    return x


def check_kind(kind: str) -> None:
    """Refuses a way to draw borders that there is none of."""
    if kind not in KINDS:
        raise InputError(f"no kind {kind!r}, expected one of {', '.join(KINDS)}{nearest(str(kind), KINDS)}")


def pair(output_shape: OutputShape) -> tuple[int, int]:
    """Height and width of what may be one number for both.

    >>> pair(5)
    (5, 5)
    """
    sizes = (output_shape, output_shape) if isinstance(output_shape, int) else output_shape
    if not (
        isinstance(sizes, Sequence)
        and len(sizes) == 2
        and all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in sizes)
    ):
        raise InputError(
            f"output_shape is {short(output_shape)}, expected height and width in pixels, or an int for both"
        )
    return int(sizes[0]), int(sizes[1])


def _fitting(x: jax.Array, output_shape: OutputShape) -> tuple[jax.Array, tuple[int, int]]:
    """Images, and height and width afterwards; refuses those that do not fit."""
    x, sizes = array("x", x, "images [n, height, width, channels]"), pair(output_shape)
    if x.ndim != 4:
        raise InputError(f"x has shape {x.shape}, expected images [n, height, width, channels]")
    if any(outputs > inputs for outputs, inputs in zip(sizes, x.shape[1:3], strict=True)):
        raise InputError(
            f"output_shape is {sizes}, expected height and width from 1 to those of the images, {x.shape[1:3]}"
        )
    return x, sizes
