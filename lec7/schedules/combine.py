"""Schedules made of schedules."""

from collections.abc import Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp

from lec7.errors import InputError
from lec7.ranges import NOT_NEGATIVE, check, number
from lec7.schedules.arguments import of_step
from lec7.schedules.decays import constant
from lec7.typing import Scalar, Schedule, is_traced


def warmup(schedule: Schedule | Scalar, steps: Scalar) -> Schedule:
    """A linear rise over the first `steps` steps, then `schedule`, counted from its own step 0.

    Step t < `steps` has (t + 1) / (`steps` + 1) of `schedule(0)`, so that no step is lost on a rate of 0.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2.

    Args:
        schedule: what follows the rise; a number means a constant.
        steps: length of the rise, at least 0.

    Raises:
        InputError: a number is known and out of range.

    >>> schedule = warmup(constant(1.0), 3)
    >>> [float(schedule(step)) for step in (0, 1, 2, 3, 4)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    length = number("steps", steps, NOT_NEGATIVE, "the number of steps to rise in, 0 for none")
    rise = of_step(lambda t, length: jnp.minimum((t + 1.0) / (length + 1.0), 1.0), length)
    after, start = _schedule(schedule), _first_step(steps)
    return lambda step: rise(step) * after(jnp.maximum(jnp.asarray(step) - start, 0))


def join(schedules: Sequence[Schedule | Scalar], boundaries: Sequence[Scalar] | jax.Array) -> Schedule:
    """One schedule after another, each counted from its own step 0.

    Schedule i has the steps from boundary i - 1 on that are below boundary i, and sees the step less boundary i - 1.

    Args:
        schedules: the schedules in order; a number means a constant.
        boundaries: for each schedule but the first, the step it starts at: ascending and at least 0.

    Raises:
        InputError: there is not one boundary between each two schedules, or known ones do not ascend.

    >>> schedule = join([1.0, lambda step: 0.5**step], boundaries=[3])
    >>> [float(schedule(step)) for step in (0, 2, 3, 4, 5)]
    [1.0, 1.0, 1.0, 0.5, 0.25]
    """
    if not schedules or len(boundaries) != len(schedules) - 1:
        raise InputError(
            f"{len(schedules)} schedules have {len(boundaries)} boundaries, expected one less than schedules; "
            "give the step that each schedule but the first starts at"
        )
    for i, boundary in enumerate(boundaries):
        check(f"boundaries[{i}]", boundary, NOT_NEGATIVE, "the step that a schedule starts at")
    for i, (before, after) in enumerate(pairwise(boundaries)):
        if not is_traced(before) and not is_traced(after) and after < before:
            raise InputError(
                f"boundaries[{i + 1}] is {after}, expected at least boundaries[{i}], which is {before}; "
                "give the boundaries in ascending order"
            )
    parts = [_schedule(schedule) for schedule in schedules]
    starts = [jnp.asarray(0), *map(_first_step, boundaries)]

    def joined(step: jax.Array) -> jax.Array:
        t = jnp.asarray(step)
        # Each part is asked about its own steps alone: elsewhere it may have no finite value.
        lasts = [*(start - 1 for start in starts[1:]), t]
        values = [part(jnp.maximum(jnp.minimum(t, b) - a, 0)) for part, a, b in zip(parts, starts, lasts, strict=True)]
        value = jnp.asarray(values[0], float)
        for start, later in zip(starts[1:], values[1:], strict=True):
            value = jnp.where(t < start, value, jnp.asarray(later, float))
        return value

    return joined


def _schedule(given: Schedule | Scalar) -> Schedule:
    return given if callable(given) else constant(given)


def _first_step(boundary: Scalar) -> jax.Array:
    """The first step that is not before a boundary, as an integer: schedules count in whole steps."""
    return jnp.asarray(jnp.ceil(boundary), int)
