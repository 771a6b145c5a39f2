"""How many lanes a device has memory for."""

import os
from collections.abc import Sequence
from typing import Any

import jax

from lec7 import tree
from lec7.sweep.program import Program
from lec7.typing import Device

SHARE = 0.9
"""How much of a device's memory a sweep may take."""
COPIES = 3
"""What a lane takes at the least, in states: its own, its gradients and updates, the state to come."""


def limit(devices: Sequence[Device]) -> int:
    """Bytes that a sweep may take of each device; on a CPU the devices share what the machine has."""
    device: Any = (devices or jax.devices())[0]
    if device.platform == "cpu":
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return int(SHARE * there / max(1, len(devices)))
    stats = device.memory_stats() or {}
    return int(SHARE * stats.get("bytes_limit", 2**63))


def least(program: Program) -> int:
    """Bytes that a lane takes at the least, as is known ahead of compiling."""
    return max(1, COPIES * tree.nbytes(program.state))


def room(program: Program, devices: Sequence[Device]) -> int:
    """How many lanes fit on a device, as far as is known: by what was compiled, or by the least that a lane takes."""
    return limit(devices) // max(least(program), *(wide.lane_bytes for wide in program.made), 1)
