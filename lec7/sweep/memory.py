"""How many lanes a device has memory for."""

import math
import os
from collections.abc import Sequence
from typing import Any

import jax

from lec7.sweep.program import Program, is_key
from lec7.typing import Device, PyTree

SHARE = 0.9
"""How much of a device's memory a sweep may take."""
COPIES = 3
"""What a lane takes at the least, in states: its own, its gradients and updates, the state to come."""


def size(state: PyTree) -> int:
    """Bytes of a state, or of its shapes.

    >>> import jax.numpy as jnp
    >>> size({"a": jnp.zeros(3), "key": jax.random.key(0)})
    20
    """
    shapes = jax.tree.map(lambda leaf: jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf, state)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def limit(devices: Sequence[Device]) -> int:
    """Bytes that a sweep may take of each device; on a CPU the devices share what the machine has."""
    device: Any = (devices or jax.devices())[0]
    if device.platform == "cpu":
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return int(SHARE * free / max(1, len(devices)))
    stats = device.memory_stats() or {}
    return int(SHARE * stats.get("bytes_limit", 2**63))


def least(program: Program) -> int:
    """Bytes that a lane takes at the least, as is known ahead of compiling."""
    return max(1, COPIES * size(program.state))


def room(program: Program, devices: Sequence[Device]) -> int:
    """How many lanes fit on a device, as far as is known: by what was compiled, or by the least that a lane takes."""
    return limit(devices) // max(least(program), *(wide.lane_bytes for wide in program.made), 1)
