"""From a file and its hyperparameters, or from a run's folder, to what is trained or evaluated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lec7.cli.hardware import NO_MATTER, Hardware, equip, hardware_of, rounded, silent
from lec7.cli.options import check_checkpoint
from lec7.errors import InputError

if TYPE_CHECKING:
    from lec7.ensemble import Ensemble
    from lec7.experiment import Experiment, ExperimentFile, RunFolder
    from lec7.train.checkpoints import Checkpoints, Restored


class Many(NamedTuple):
    """How many models are trained, and how many of them side by side."""

    members: int = 1
    chunk: int | None = None


def build(
    file: ExperimentFile, hp: Any, many: Many, hardware: Hardware = NO_MATTER, say: Callable[[str], None] = silent
) -> Experiment | Ensemble:
    """The experiment, or the ensemble of several of its runs, checked, and on the hardware that it is to have.

    Args:
        file: the experiment's.
        hp: its hyperparameters.
        many: how many models.
        hardware: what it is to be on.
        say: hears what is where.
    """
    import jax

    from lec7 import ensemble, random, train

    if many.members < 1:
        raise InputError(f"--members is {many.members}, expected at least 1")
    if many.members == 1:
        if many.chunk is not None:
            raise InputError(f"--chunk {many.chunk} is for an ensemble: give --members too")
        return equip(file.make(hp), hardware, say)
    if hardware.mesh is not None:
        raise InputError(f"--mesh {hardware.mesh} is for one model; members are dealt out over devices by themselves")
    if jax.process_count() > 1:
        raise InputError(
            "--distributed is for one model; lec7 sweep --seed 0:8 --distributed gives each process runs of its own"
        )
    if not isinstance(seed := getattr(hp, "seed", None), int):
        raise InputError(f"{file.path} has no hyperparameter seed, an int, which members differ in")
    last = seed + many.members - 1
    if seed < 0 or last > random.MOST_SEED:
        raise InputError(
            f"--seed {seed} with --members {many.members} gives seeds from {seed} to {last}, "
            f"expected all from 0 to {random.MOST_SEED}"
        )
    train.device_per_core()
    make = rounded(file.make, hardware.precision)
    return ensemble.make(make, hp, range(seed, seed + many.members), many.chunk)


def rebuild(
    folder: RunFolder, hardware: Hardware | None = None, say: Callable[[str], None] = silent
) -> Experiment | Ensemble:
    """What a run is of, from its `config.json`; refuses a file that has changed since.

    It comes to be on this hardware; by default, as an evaluation needs it, on one device, in the run's precision.
    """
    config = folder.config
    refuse_sweep(config, folder.path)
    file = unchanged(config, folder.path)
    hp = file.restore(config["hyperparameters"])
    if hardware is None:
        hardware = dataclasses.replace(hardware_of(config), mesh=None)
    return build(file, hp, Many(config.get("members", 1), config.get("chunk")), hardware, say)


def refuse_sweep(config: Mapping[str, Any], path: Path) -> None:
    """Refuses the folder of a sweep, where that of a run is wanted."""
    if "sweep" in config:
        raise InputError(
            f"{path} is a sweep, and no run; lec7 report {path} tells what came out, lec7 sweep --resume {path} goes on"
        )


def unchanged(config: Mapping[str, Any], path: Path) -> ExperimentFile:
    """The experiment file of a run, or a sweep, in the folder `path`; refuses one that has changed since."""
    from lec7 import experiment

    file = experiment.load(Path(config["experiment"]))
    if file.sha256 != config["sha256"]:
        raise InputError(
            f"{file.path} has changed since {path} was made (commit {config['git_commit']}); "
            "put it back as it was, or begin anew"
        )
    return file


def restored(folder: RunFolder, built: Experiment | Ensemble, which: str = "latest") -> Restored:
    """The state that a run saved, read from its checkpoint; the run may go on meanwhile.

    Args:
        folder: of the run.
        built: what it is of, as `rebuild` gives it.
        which: "latest" for the newest that is whole, "best", or a step.

    Raises:
        InputError: there is no such checkpoint, or none that can be read.
    """
    import jax

    from lec7.train.checkpoints import Checkpoints

    none = InputError(f"{folder.path} has no checkpoint yet; go on with: lec7 run --resume {folder.path}")
    if not folder.checkpoints_path.is_dir():
        raise none
    with Checkpoints(folder.checkpoints_path, tidy=False) as checkpoints:
        if not checkpoints.steps:
            raise none
        return checkpoints.restore(jax.eval_shape(built.init), _step(which, checkpoints))


def _step(which: str, checkpoints: Checkpoints) -> int | None:
    check_checkpoint(which, checkpoints.steps)
    if which == "latest":
        return None
    return checkpoints.best if which == "best" else int(which)
