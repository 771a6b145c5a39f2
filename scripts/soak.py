"""Kills runs at random moments and resumes them, until each ends as the undisturbed run did, bit for bit.

    .venv/bin/python scripts/soak.py [--kills 50] [--seed 0] [--signal SIGTERM] [--workdir DIR]

A run of the digits experiment takes a few seconds, and is killed at any time of them: while it starts, trains,
evaluates, writes a checkpoint, or draws its curves. Compiled programs come from the cache of the `lec7` command.
"""

import argparse
import collections
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from lec7 import experiment, tree
from lec7.train.checkpoints import Checkpoints

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "digits.py"
STEPS = ("--steps", "3000", "--width", "64")
OF_TESTS = {"XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS"}
"""What tests set for themselves: eight devices, and programs that are compiled soon and run slowly."""
CLOCK = ("seconds", "examples_per_second")
"""What a row of the log has that no two runs have alike."""


class End(NamedTuple):
    """What a run came to: its last checkpoint's arrays by name, its log without the clock, its result's figures."""

    arrays: dict[str, np.ndarray]
    rows: list[dict[str, Any]]
    metrics: dict[str, float]


class Run(NamedTuple):
    """A run that was killed: its folder, what it was doing at each kill, and how its end is another."""

    folder: Path
    kills: list[str]
    differences: list[str]


def start(*words: object) -> subprocess.Popen[str]:
    """`lec7 run` as a process, as people start it."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_TESTS}
    command = [sys.executable, "-m", "lec7", "run", *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code as a shell tells it, 137 for who was killed by SIGKILL, and all that was said."""
    output = process.communicate(timeout=240)[0]
    return (code if (code := process.returncode) >= 0 else 128 - code), output


def go_on(folder: Path) -> subprocess.Popen[str]:
    """The process that goes on with a run, or begins it where there is none yet."""
    if (folder / "config.json").exists():
        return start("--resume", folder)
    return start(EXPERIMENT, *STEPS, "--workdir", folder.parent, "--name", folder.name, "--overwrite")


def end_of(folder: Path) -> End:
    """The end of a run that is finished."""
    run = experiment.RunFolder(folder)
    file = experiment.load(EXPERIMENT)
    built = file.make(file.restore(run.config["hyperparameters"]))
    with Checkpoints(run.checkpoints_path) as checkpoints:
        state = checkpoints.restore(jax.eval_shape(built.init), built.steps).state
    state = state.replace(key=jax.random.key_data(state.key))
    rows = [{name: value for name, value in row.items() if name not in CLOCK} for row in run.metrics()]
    assert run.result, f"{folder} has no result"
    return End(jax.tree.map(np.asarray, tree.named(state)), rows, run.result["metrics"])


def differences(end: End, expected: End) -> list[str]:
    """What of an end is another, to each bit; empty where nothing is."""
    found = []
    for name in sorted(end.arrays.keys() | expected.arrays.keys()):
        got, want = end.arrays.get(name), expected.arrays.get(name)
        if got is None or want is None or (got.dtype, got.shape) != (want.dtype, want.shape):
            found.append(f"{name} is missing in one, or has another shape")
        elif got.tobytes() != want.tobytes():
            found.append(f"{name} differs in {np.sum(got != want)} of {got.size} numbers")
    for got, want in itertools.zip_longest(end.rows, expected.rows):
        if got != want:
            found.append(f"the log has {got}, undisturbed {want}")
    if end.metrics != expected.metrics:
        found.append(f"the result is {end.metrics}, undisturbed {expected.metrics}")
    return found


def undisturbed(folder: Path) -> tuple[End, float]:
    """The end of a run that nobody kills, and how many seconds its process took."""
    begin = time.monotonic()
    code, output = finish(go_on(folder))
    seconds = time.monotonic() - begin
    assert code == 0, output
    return end_of(folder), seconds


def soak(
    workdir: Path, expected: End, seconds: float, kills: int, seed: int = 0, number: signal.Signals = signal.SIGKILL
) -> Iterator[Run]:
    """Runs that are killed at random, until so many kills are dealt or a run ends otherwise.

    Args:
        workdir: folder of the runs.
        expected: how an undisturbed run ends.
        seconds: how long that takes; a process is killed at any time of them, each as likely.
        kills: how many kills are dealt in all.
        seed: what these times come from.
        number: what kills.
    """
    draw = partial(random.Random(seed).uniform, 0, seconds)
    for name in itertools.count(1):
        run = killed(workdir / str(name), expected, draw, kills, number)
        kills -= len(run.kills)
        yield run
        if kills == 0 or run.differences:
            return


def killed(folder: Path, expected: End, draw: Callable[[], float], most: int, number: signal.Signals) -> Run:
    """One run, killed at most so many times, after seconds that are drawn, and resumed until it ends."""
    kills: list[str] = []
    while True:
        process = go_on(folder)
        if len(kills) < most:
            try:
                process.wait(draw())
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        code, output = finish(process)
        if code == 0:
            return Run(folder, kills, differences(end_of(folder), expected))
        if code != 128 + number:
            return Run(folder, kills, [f"exit code {code}: {output}"])
        kills.append(moment(folder, output))


def moment(folder: Path, output: str) -> str:
    """What a run was doing when it was killed, as its folder and its words tell."""
    run = experiment.RunFolder(folder)
    if not (folder / "config.json").exists():
        return "before there was a run"
    if run.result and run.result["status"] == "finished":
        return "behind the last step"
    if "training from step" not in output:
        return "starting"
    if "saved" in output:
        return "training, and saved what it had"
    if f"step {STEPS[1]}: test" in output:
        return "at the last step"
    writes = any(".orbax" in path.name for path in run.checkpoints_path.iterdir())
    return "writing a checkpoint" if writes else "training"


def main() -> int:
    """Prints a line for each run; the exit code is 1 where one ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="how many kills are dealt")
    parser.add_argument("--seed", type=int, default=0, help="what the times of the kills come from")
    parser.add_argument("--workdir", type=Path, help="where the runs lie; by default a temporary folder")
    parser.add_argument("--signal", choices=("SIGKILL", "SIGTERM"), default="SIGKILL", help="what kills")
    given = parser.parse_args()
    number = signal.Signals[given.signal]
    if given.workdir:
        given.workdir.mkdir(parents=True, exist_ok=True)
    workdir = Path(tempfile.mkdtemp(prefix="soak-", dir=given.workdir)).resolve()
    undisturbed(workdir / "compiled")  # from then on all is in the cache
    expected, seconds = undisturbed(workdir / "undisturbed")
    print(
        f"an undisturbed run takes {seconds:.1f} s; {given.kills} times {number.name} on runs in {workdir}", flush=True
    )
    kills, count = [], 0
    for run in soak(workdir, expected, seconds, given.kills, given.seed, number):
        kills, count = kills + run.kills, count + 1
        if run.differences:
            print(f"run {run.folder}, killed while {', '.join(run.kills)}, ended otherwise:")
            print("\n".join(run.differences))
            return 1
        print(f"{len(kills)} kills: run {count} was killed {len(run.kills)} times, and ended bit for bit", flush=True)
        shutil.rmtree(run.folder)
    shutil.rmtree(workdir)
    print("they were " + ", ".join(f"{what}: {many}" for what, many in collections.Counter(kills).most_common()))
    print(f"{len(kills)} kills in {count} runs: every run ended as the undisturbed one, bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
