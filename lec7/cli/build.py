"""From a file and its hyperparameters, or from a run's folder, to what is trained or evaluated."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from lec7.errors import InputError


class Many(NamedTuple):
    """How many models are trained, and how many of them side by side."""

    members: int = 1
    chunk: int | None = None


def build(file, hp, many: Many):
    """The experiment, or the ensemble of several of its runs, checked."""
    from lec7 import ensemble, experiment

    if many.members < 1:
        raise InputError(f"--members is {many.members}, expected at least 1")
    if many.members == 1:
        if many.chunk is not None:
            raise InputError(f"--chunk {many.chunk} is for an ensemble: give --members too")
        return experiment.instantiate(file, hp)
    if not isinstance(seed := getattr(hp, "seed", None), int):
        raise InputError(f"{file.path} has no hyperparameter seed, an int, which members differ in")
    _use_all_cores()
    return ensemble.make(file.make, hp, range(seed, seed + many.members), many.chunk)


def rebuild(folder):
    """What a run is of, from its `config.json`; refuses a file that has changed since."""
    from lec7 import experiment

    config = folder.config
    file = experiment.load(Path(config["experiment"]))
    if file.sha256 != config["sha256"]:
        raise InputError(
            f"{file.path} has changed since {folder.path} was made (commit {config['git_commit']}); "
            "put it back as it was, or start a new run"
        )
    hp = file.restore(config["hyperparameters"])
    return build(file, hp, Many(config.get("members", 1), config.get("chunk")))


def _use_all_cores() -> None:
    """Makes a device of each core, unless JAX has its devices already: members on different ones do not wait."""
    import jax

    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)
