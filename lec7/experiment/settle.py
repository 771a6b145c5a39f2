"""Where examples are to live: on the device, or on the host, from where batches are brought."""

import os
from dataclasses import replace
from typing import Literal, NamedTuple

import jax

from lec7 import data
from lec7.experiment.definition import Experiment
from lec7.train.processes import gathered

Examples = Literal["auto", "device", "host"]
"""Where examples live: `auto` is on the device if they fit, unless `data.stream` says otherwise."""

SHARE = 0.25
"""Of the memory that is free, what examples may take."""


class Settled(NamedTuple):
    """An experiment whose examples are where they are to be, and a sentence for each source that was asked about."""

    experiment: Experiment
    told: list[str]


def settle(experiment: Experiment, examples: Examples = "auto") -> Settled:
    """Moves the examples of an experiment to the device, where they fit and are to.

    Args:
        experiment: its sources of `data.ArraySource` are on the device already, and stay there.
        examples: `"device"` whatever they weigh, `"host"` in any case, or what is best.

    Returns:
        The experiment, its examples where they are to be, and a sentence for each source that was on the host.

    Raises:
        InputError: what the sources raise when they are read.

    >>> import lec7
    >>> examples, held_out = lec7.data.digits()
    >>> experiment = Experiment(
    ...     model=lec7.models.from_nnx(lambda rngs: lec7.models.MLP(64, (), 10, rngs=rngs)),
    ...     loss=lec7.losses.cross_entropy,
    ...     optimizer=lec7.optim.adam(1e-2),
    ...     train=examples,
    ...     test=held_out,
    ...     steps=5,
    ...     batch_size=64,
    ... )
    >>> settle(experiment).told  # digits are on the device already
    []
    """
    # All processes have to come to the same end.
    told, free = [], min(gathered(free_bytes()))
    sources = {"train": experiment.train, "test": experiment.test}
    for name, source in sources.items():
        if isinstance(source, data.ArraySource):
            continue
        weigh = data.nbytes(source)
        size = f"{len(source):,} examples to {name} with, {weigh / 1e6:,.0f} MB"
        streams = examples == "host" or (examples == "auto" and isinstance(source, data.Stream))
        if streams or (examples == "auto" and weigh > SHARE * free):
            why = "as asked" if streams else f"more than a quarter of the {free / 1e6:,.0f} MB that are free"
            told.append(f"{size}, are read from the host as they are needed: {why}")
        else:
            sources[name] = data.load(source)
            free -= weigh
            told.append(f"{size}, are on the device")
    return Settled(replace(experiment, **sources), told)


def free_bytes() -> float:
    """Memory that a device has free; that of a CPU is shared by all of its devices."""
    device = jax.local_devices()[0]
    if stats := device.memory_stats():
        return stats["bytes_limit"] - stats["bytes_in_use"]
    pages: int = os.sysconf("SC_AVPHYS_PAGES")
    return pages * os.sysconf("SC_PAGE_SIZE") / jax.local_device_count()
