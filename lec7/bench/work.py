"""A piece of work that is measured, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lec7.bench.clock import Call, Spread, in_turns
from lec7.bench.limits import MEMORY, Limit

Bound = Literal["memory", "compute"]


@dataclass(frozen=True)
class Work:
    """What is measured.

    Attributes:
        part: the room that it measures, such as "optimizer".
        name: what it is, in words.
        unit: of what its rate counts, such as "steps".
        call: does it.
        amount: units that it does each time.
        flops: floating-point operations each time, as XLA counts them ahead of compiling.
        nbytes: what has to be read and written each time at the least: arguments and results, once each. What lies in
            between may stay in caches.
        dtype: what it multiplies in.
        memory: whose bytes these are: the device's "memory", or what the "host" hands to it.
    """

    part: str
    name: str
    unit: str
    call: Call
    amount: float = 1.0
    flops: float = 0.0
    nbytes: float = 0.0
    dtype: str = "float32"
    memory: str = MEMORY


@dataclass(frozen=True)
class Figure:
    """What came of a piece of work.

    Attributes:
        part: as in `Work`.
        name: as in `Work`.
        unit: as in `Work`.
        dtype: as in `Work`.
        rate: units a second, the median over rounds.
        low: the lower quartile.
        high: the upper one.
        flops: floating-point operations a second.
        nbytes: bytes a second.
        share: of the rate that the nearer limit allows; the median over rounds, each with the limits of its own.
        bound: which limit is nearer: that of "memory" or that of "compute".
    """

    part: str
    name: str
    unit: str
    dtype: str
    rate: float
    low: float
    high: float
    flops: float
    nbytes: float
    share: float
    bound: Bound


def counted(compiled: Any, *arguments: Any) -> float:
    """The floating-point operations of a jitted function, as XLA counts them ahead of compiling.

    >>> import jax, jax.numpy as jnp
    >>> counted(jax.jit(jnp.matmul), jnp.ones((2, 3)), jnp.ones((3, 4)))
    48.0
    """
    return float((compiled.lower(*arguments).cost_analysis() or {}).get("flops", 0.0))


def measure(work: Work, limits: Mapping[str, Limit], *, rounds: int, seconds: float) -> tuple[Figure, dict[str, float]]:
    """Times a piece of work in turns with the limits that it is told by.

    Args:
        work: what is measured.
        limits: by name, as `limits.limits` has them.
        rounds: turns of each.
        seconds: length of a turn, about.

    Returns:
        The figure, and the limits as they were meanwhile: the best of each, in bytes or operations a second.
    """
    near: dict[Bound, Limit] = {"memory": limits[work.memory], "compute": limits[work.dtype]}
    taken = in_turns(
        {"work": work.call} | {bound: limit.call for bound, limit in near.items()}, rounds=rounds, seconds=seconds
    )
    needs: dict[Bound, float] = {"memory": work.nbytes, "compute": work.flops}
    # The seconds that the device would need at its limits, in each round.
    least = {bound: [needs[bound] / near[bound].amount * t for t in taken[bound]] for bound in near}
    shares = [max(both) / t for *both, t in zip(*least.values(), taken["work"], strict=True)]
    times = Spread.of(taken["work"])
    figure = Figure(
        work.part,
        work.name,
        work.unit,
        work.dtype,
        rate=work.amount / times.median,
        low=work.amount / times.high,
        high=work.amount / times.low,
        flops=work.flops / times.median,
        nbytes=work.nbytes / times.median,
        share=Spread.of(shares).median,
        bound=max(near, key=lambda bound: Spread.of(least[bound]).median),
    )
    return figure, {limit.name: limit.amount / min(taken[bound]) for bound, limit in near.items()}
