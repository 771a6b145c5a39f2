"""Masks, boxes and points that follow where the pixels of an image go."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from lec7.augment.plan import Plan
from lec7.augment.warp import Frame, Warp, forth
from lec7.errors import InputError

TARGETS = ("mask", "boxes", "keypoints")

_ALONG = 9
"""Points along each edge of a box, which show how a lens bends it."""


def moved(targets: Mapping[str, jax.Array], plan: Plan, before: Frame) -> dict[str, jax.Array]:
    """The targets of one image in the new one."""
    warp, after = plan.warp, plan.frame

    def mask(given: jax.Array) -> jax.Array:
        if given.shape[:2] != tuple(before):
            raise InputError(f"the mask has shape {given.shape}, the image's is {tuple(before)}; expected the same")
        channels = given[..., None] if given.ndim == 2 else given
        return plan.follow(channels, "nearest", "constant", 0).reshape(*after, *given.shape[2:])

    def keypoints(given: jax.Array) -> jax.Array:
        given = _floats("keypoints", given, 2)
        return jnp.stack(_forth(warp, before, after, given[..., 0], given[..., 1]), -1)

    def boxes(given: jax.Array) -> jax.Array:
        given = _floats("boxes", given, 4)
        left, top, right, bottom = (given[..., i, None] for i in range(4))
        t = jnp.linspace(0, 1, _ALONG)[None, :]
        across, down = left + t * (right - left), top + t * (bottom - top)
        x = jnp.concatenate([across, across, left + 0 * t, right + 0 * t], -1)
        y = jnp.concatenate([top + 0 * t, bottom + 0 * t, down, down], -1)
        x, y = _forth(warp, before, after, x, y)
        x, y = jnp.clip(x, 0, after.width), jnp.clip(y, 0, after.height)
        return jnp.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], -1)

    ways = {"mask": mask, "boxes": boxes, "keypoints": keypoints}
    return {name: ways[name](jnp.asarray(given)) for name, given in targets.items()}


def _forth(warp: Warp, before: Frame, after: Frame, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """From pixels from the old image's corner to pixels from the new one's."""
    y, x = forth(warp, (y - before.height / 2, x - before.width / 2))
    return x + after.width / 2, y + after.height / 2


def _floats(name: str, given: jax.Array, numbers: int) -> jax.Array:
    if given.ndim != 2 or given.shape[-1] != numbers or jnp.issubdtype(given.dtype, jnp.complexfloating):
        raise InputError(
            f"the {name} of an image are {given.dtype}{list(given.shape)}, expected floats [k, {numbers}], in pixels"
        )
    return given.astype(jnp.promote_types(given.dtype, jnp.float32))
