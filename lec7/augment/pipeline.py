"""Augmentations in a row: one map of coordinates, one pass over the pixels, then colours, then the scale of values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lec7 import random
from lec7.augment.operation import Drawn, Operation, check_operation
from lec7.augment.plan import Plan
from lec7.augment.sample import Edge, Interpolation, check_ways
from lec7.augment.targets import TARGETS, moved
from lec7.augment.warp import Affine, Bend, Frame, compose
from lec7.errors import InputError, nearest, short
from lec7.ranges import FRACTION, array, check
from lec7.typing import ArrayLike, Key, is_traced

_Targets = dict[str, jax.Array]


@dataclass(frozen=True, eq=False)
class Normalize:
    """The last operation of a pipeline: `(x - mean) / std` of values in [0, 1], as float32."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: jax.Array) -> jax.Array:
        """Of an image [height, width, channels] in [0, 1]."""
        if len(self.mean) not in (1, image.shape[-1]):
            raise InputError(f"normalize is of {len(self.mean)} channels, the image has {image.shape[-1]}")
        shift = jnp.array([-m / s for m, s in zip(self.mean, self.std, strict=True)], jnp.float32)
        scale = jnp.array([1 / s for s in self.std], jnp.float32)
        return image.astype(jnp.float32) * scale[None, None, :] + shift[None, None, :]


def normalize(mean: float | Sequence[float], std: float | Sequence[float]) -> Normalize:
    """Values as a network wants them: `(x - mean) / std`. Goes last in a pipeline, which then gives float32.

    Args:
        mean: for each channel, or one for all; of values in [0, 1].
        std: likewise.

    Raises:
        InputError: not as many of each, a standard deviation of 0, or a mean beyond [0, 1]; when used, other channels.

    >>> from lec7 import augment
    >>> finish = augment.pipeline(augment.normalize(0.5, 0.25))
    >>> finish(jax.random.key(0), jnp.full((1, 1, 1), 255, jnp.uint8)).ravel().tolist()
    [2.0]
    """
    try:
        means, stds = (tuple(map(float, np.ravel(x))) for x in (mean, std))
    except (TypeError, ValueError):
        raise InputError(
            f"mean is {short(mean)} and std {short(std)}, expected numbers, one for all channels or one for each"
        ) from None
    if len(means) != len(stds) or not all(s > 0 for s in stds):
        raise InputError(f"mean is {mean} and std {std}, expected as many of each, and stds more than 0")
    if max(map(abs, means)) > 1:
        raise InputError(f"mean is {mean}, expected that of values in [0, 1], of bytes too; divide mean and std by 255")
    return Normalize(means, stds)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What `pipeline` makes; a function of keys, images and targets.

    Attributes:
        operations: in the order in which they are done.
        normalize: what is done last, if anything.
        interpolation: how pixels are looked up; with `edge`, `fill` and `antialias` as in `pipeline`.
        edge: what lies beyond the image.
        fill: its value where `edge` is "constant", in [0, 1]; one, or one for each channel.
        antialias: whether an image that shrinks has its pixels averaged.
    """

    operations: tuple[Operation, ...]
    normalize: Normalize | None = None
    interpolation: Interpolation = "bilinear"
    edge: Edge = "constant"
    fill: float | tuple[float, ...] = 0.0
    antialias: bool = True

    def __call__(self, keys: Key, images: ArrayLike, targets: Mapping[str, Any] | None = None) -> Any:
        """Augmented images, and targets that follow where some are given.

        Args:
            keys: a key for each image, [n]; or one for a single image.
            images: [n, height, width, channels], bytes or floats in [0, 1]; or a single one without the first axis.
                Floats beyond are refused where values are changed, but inside `jit`, where they can't be looked at.
            targets: see `pipeline`.

        Returns:
            Images, or `(images, targets)`.
        """
        images, keys = array("images", images, "an array of images"), random.typed(keys)
        if images.ndim not in (3, 4) or images.shape[-1] not in (1, 3):
            raise InputError(
                f"the images have shape {images.shape}, expected [n, height, width, channels], or a single one "
                "[height, width, channels], of 1 or 3 channels"
            )
        if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
            raise InputError(f"the images are {images.dtype}, expected bytes (uint8), or floats in [0, 1]")
        self._check_values(images)
        if jnp.shape(keys) != images.shape[: images.ndim - 3]:
            raise InputError(
                f"there are keys of shape {jnp.shape(keys)} for images of shape {images.shape}, expected one for each "
                "image: jax.random.split(key, len(images))"
            )
        if np.size(self.fill) not in (1, images.shape[-1]):
            raise InputError(f"the fill has {np.size(self.fill)} channels, the images have {images.shape[-1]}")
        given = {name: jnp.asarray(target) for name, target in (targets or {}).items()}
        for name, target in given.items():
            if name not in TARGETS:
                raise InputError(
                    f"no target is called {name!r}{nearest(name, TARGETS)}; known are {', '.join(TARGETS)}"
                )
            if images.ndim == 4 and target.shape[:1] != images.shape[:1]:
                raise InputError(
                    f"the {name} have shape {target.shape} for {len(images)} images, expected a leading axis of images"
                )
        image, followed = (self._one if images.ndim == 3 else self._many)(keys, images, given)
        return image if targets is None else (image, followed)

    def _check_values(self, images: jax.Array) -> None:
        """Refuses floats that are known and not in [0, 1], where values count."""
        counts = self._passes or self.normalize is not None
        if not counts or images.dtype == jnp.uint8 or is_traced(images) or not images.size:
            return
        known = np.asarray(images)  # within a trace, JAX would trace the minimum of a constant
        low, high = float(known.min()), float(known.max())
        if not -_ROUNDED <= low <= high <= 1 + _ROUNDED:
            raise InputError(
                f"the images go from {low:.4g} to {high:.4g}, expected floats in [0, 1]; divide bytes by 255, and let "
                "normalize be the last of the pipeline's operations, and not done ahead of it"
            )

    def draw(self, key: Key, shape: tuple[int, ...]) -> list[Drawn]:
        """What is drawn for one image of a shape [height, width, channels]: parameters of each operation."""
        return self._plan(key, Frame(*shape[:2])).drawn

    def _plan(self, key: Key, frame: Frame) -> Plan:
        drawn: list[Drawn] = []
        maps: list[Affine | Bend] = []
        whole_pixels, reach, shrinks = True, 0, 1.0
        for i, operation in enumerate(self.operations):
            drawn.append(operation.draw(random.stream(key, operation.name, i), frame))
            if operation.leg is None:
                continue
            maps.append(operation.leg(drawn[-1], frame))
            whole_pixels &= operation.whole_pixels
            reach += operation.reach
            shrinks *= operation.shrinks(frame)
            frame = operation.frame(drawn[-1], frame)
        parts = max(1, round(shrinks)) if self.antialias else 1
        return Plan(drawn, compose(maps), frame, whole_pixels, reach, parts)

    def _one(self, key: Key, image: jax.Array, targets: _Targets) -> tuple[jax.Array, _Targets]:
        new, targets = self._move(key, image, targets)
        for part in self._passes:
            new = self._paint(part, key, new, image)
        return self._finish(new, image.dtype), targets

    def _many(self, keys: Key, images: jax.Array, targets: _Targets) -> tuple[jax.Array, _Targets]:
        if self._is_one_pass or jax.default_backend() != "cpu":
            return jax.vmap(self._one)(keys, images, targets)

        # XLA would look up a pixel anew for each channel and operation that sees it. What a loop has made it keeps, and
        # of a few images that is in the processor's cache.
        passes = self._passes

        def few(batch: tuple[Key, jax.Array, _Targets]) -> tuple[jax.Array, _Targets]:
            keys, images, _ = batch
            new, targets = lax.map(lambda one: self._move(*one), batch)
            for part in passes:
                paint = partial(self._paint, part)
                if part is not passes[-1] or any(self.operations[i].branches for i in part):
                    new = lax.map(lambda one, paint=paint: paint(*one), (keys, new, images))
                else:
                    new = jax.vmap(paint)(keys, new, images)
            return jax.vmap(lambda image: self._finish(image, images.dtype))(new), targets

        size = max(k for k in range(1, _FEW + 1) if len(images) % k == 0)
        batches = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), (keys, images, targets))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), lax.map(few, batches))

    @property
    def _passes(self) -> list[list[int]]:
        """The places of operations on values, with those that look at the whole image at the start of a list."""
        passes: list[list[int]] = []
        for i, operation in enumerate(self.operations):
            if operation.paint is not None:
                if not passes or operation.whole_image:
                    passes.append([])
                passes[-1].append(i)
        return passes

    @property
    def _is_one_pass(self) -> bool:
        """Whether nothing is computed that several new values hang on."""
        copies = all(operation.whole_pixels for operation in self.operations if operation.leg is not None)
        passes = self._passes
        return not passes or (copies and len(passes) == 1 and not self.operations[passes[0][0]].whole_image)

    def _move(self, key: Key, image: jax.Array, targets: _Targets) -> tuple[jax.Array, _Targets]:
        """All that has to do with where pixels come from; in the image's units, but floats where pixels are mixed."""
        frame = Frame(*image.shape[:2])
        plan = self._plan(key, frame)
        if not plan.frame.is_known:
            raise InputError(
                "the images end up with a size of their own each; end with a crop, such as random_crop(224)"
            )
        if not plan.warp:
            return image, targets
        fill = jnp.asarray(self.fill, jnp.float32) * _white(image.dtype)
        if image.dtype == jnp.uint8:
            fill = jnp.round(fill)
        return plan.follow(image, self.interpolation, self.edge, fill), moved(targets, plan, frame)

    def _paint(self, places: Sequence[int], key: Key, image: jax.Array, first: jax.Array) -> jax.Array:
        """Some operations on values, in [0, 1]; `first` is the image that came in."""
        drawn = self._plan(key, Frame(*first.shape[:2])).drawn
        if places == self._passes[0]:
            image = image * jnp.float32(1 / _white(first.dtype))
        for i in places:
            paint = self.operations[i].paint
            assert paint is not None
            image = paint(drawn[i], image)
        return image

    def _finish(self, image: jax.Array, dtype: Any) -> jax.Array:
        """Values as they go out: normalized, or in the dtype that came in."""
        white = 1 if self._passes else _white(dtype)
        if self.normalize is not None:
            return self.normalize(image * jnp.float32(1 / white))
        if dtype == jnp.uint8 and image.dtype != dtype:
            image = jnp.clip(jnp.round(image * (255 / white)), 0, 255)
        return image.astype(dtype)


_FEW = 8
"""Images at a time."""

_ROUNDED = 1e-2
"""How far values in [0, 1] may go beyond by having been rounded to a float of 16 bits, or interpolated."""


def _white(dtype: Any) -> int:
    return 255 if dtype == jnp.uint8 else 1


def pipeline(
    *operations: Operation | Normalize | Sequence[Operation],
    interpolation: Interpolation = "bilinear",
    edge: Edge = "constant",
    fill: float | Sequence[float] = 0.0,
    antialias: bool = True,
) -> Pipeline:
    """A function that augments images, each by draws of its own.

    All that moves pixels is done first, whatever the order: the maps of coordinates are composed and pixels looked up
    once, by a mere copy where they stay whole. Then come the operations on values, in the order in which they are
    given, then `normalize`.

        images = augment.pipeline(augment.random_crop(32, pad=4), augment.mirror())(keys, images)

    The image i is what the pipeline makes of it alone with its key. Images keep their dtype, but for `normalize`.

    Targets that follow where pixels go, by name, each with a leading axis of images where the images have one:

        "mask"        [height, width], or with channels: of any dtype, not interpolated, 0 beyond the image
        "boxes"       [k, 4]: left, top, right, bottom, in pixels from the image's corner; around what becomes of their
                      edges, cut off at the new image's
        "keypoints"   [k, 2]: x to the right and y down, in pixels from the image's corner (a pixel's centre is at 0.5)

    Args:
        *operations: of this room; a sequence, as `randaugment` gives, counts as its members. `normalize` goes last.
        interpolation: `"nearest"`, `"bilinear"` or `"bicubic"`.
        edge: what lies beyond an image: `"constant"`, `"edge"` or `"reflect"`.
        fill: the constant, in [0, 1]; a number, or one for each channel.
        antialias: where an operation may shrink an image to two thirds or less, take the mean of several points for a
            pixel.

    Raises:
        InputError: no such operation, interpolation or edge; when used, images, keys or targets of another shape.

    >>> from lec7 import augment
    >>> turn = augment.pipeline(augment.rotate((90, 90)))
    >>> turn(jax.random.key(0), jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]]))[..., 0].round().tolist()
    [[2.0, 4.0], [1.0, 3.0]]
    """
    check_ways(interpolation, edge)
    for value in np.ravel(fill):
        check("fill", value, FRACTION, "what lies beyond an image, where 1 is white")
    flat: list[Any] = []
    for operation in operations:
        flat.extend(operation if isinstance(operation, (list, tuple)) else [operation])
    last = flat.pop() if flat and isinstance(flat[-1], Normalize) else None
    for operation in flat:
        if isinstance(operation, Normalize):
            raise InputError("normalize is not the last operation; put it at the end, once")
        check_operation(operation, "of a pipeline within another give the operations: pipeline(*inner.operations, ...)")
    return Pipeline(
        tuple(flat), last, interpolation, edge, fill if isinstance(fill, (int, float)) else tuple(fill), antialias
    )
