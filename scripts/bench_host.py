"""How long the device stands still between the programs of a run, while the host does something else.

    .venv/bin/python scripts/bench_host.py [EXPERIMENT.py ...] [--steps 700]

Trains twice, so that all is compiled and kept, and looks at the second run's profile from the second window of steps
on: at the gaps between two windows, and at those around evaluations and checkpoints. What it finds is kept for
docs/benchmarks.md. On a CPU the host and the device are one: what the host does takes cores from what is computed.
"""

import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import tyro

from lec7.cli import main as lec7

RESULT = Path(__file__).parent / "peers" / "results" / "host.json"
PROGRAM, CALL, WINDOW = "ThunkExecutor::Execute (wait for completion)", "PjitFunction", "PjitFunction(run)"
"""What JAX's profile calls a program being computed, a call of one, and that of a window of steps."""


class Event(NamedTuple):
    """What a profile tells of, from when to when in nanoseconds."""

    start: float
    end: float
    name: str = "gap"

    @property
    def milliseconds(self) -> float:
        """How long it lasted."""
        return (self.end - self.start) / 1e6


@dataclass(frozen=True)
class Options:
    """What to run."""

    experiments: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="EXPERIMENT.py")] = (
        Path("experiments/digits.py"),
        Path("experiments/fashion.py"),
    )
    """The experiments' files."""
    steps: int = 700
    """How many steps each trains for."""


def main(options: Options) -> None:
    """Prints the gaps of each, and keeps them."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", f"{folder}/programs")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        for file in options.experiments:
            rows += (found := gaps_of(file, options.steps, Path(folder) / file.stem))
            for row in found:
                lengths = f"median {row['median']:.2f} ms, longest {', '.join(f'{x:.0f}' for x in row['longest'])} ms"
                print(f"{row['run']}, {row['where']}: {row['count']} gaps, {row['share']:.1%} of the time; {lengths}")
    told = {
        "date": time.strftime("%Y-%m-%d"),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(told, indent=2) + "\n")


def gaps_of(file: Path, steps: int, folder: Path) -> list[dict[str, Any]]:
    """The gaps of a run, of both kinds; it is kept in a folder."""
    words = ["run", str(file), "--steps", str(steps), "--workdir", str(folder)]
    quietly([*words, "--name", "first"])
    settings = jax.profiler.ProfileOptions()
    settings.python_tracer_level = 0
    with jax.profiler.trace(folder, profiler_options=settings):
        quietly([*words, "--name", "second"])
    programs, calls = events(next(folder.glob("plugins/**/*.xplane.pb")))
    windows = [call.start for call in calls if call.name == WINDOW]
    if not programs or len(windows) < 3:
        sys.exit(
            f"{file}: {len(windows)} windows and {len(programs)} programs were seen; this needs a CPU, and more --steps"
        )
    begun, ended = windows[1], max(program.end for program in programs)
    kinds: dict[str, list[float]] = {"between two windows": [], "around evaluations and checkpoints": []}
    for gap in between(programs):
        if gap.start >= begun:
            # A window is dispatched while the one before it is computed, unless there is something to do between.
            before = [start for start in windows if start < gap.end][-2]
            alone = all(call.name == WINDOW for call in calls if before <= call.start <= gap.end)
            kinds["between two windows" if alone else "around evaluations and checkpoints"].append(gap.milliseconds)
    return [
        {
            "run": f"{file.stem}, {steps:,} steps",
            "where": where,
            "count": len(lengths),
            "share": sum(lengths) / Event(begun, ended).milliseconds,
            "median": statistics.median(lengths or [0.0]),
            "longest": sorted(lengths)[:-4:-1],
        }
        for where, lengths in kinds.items()
    ]


def quietly(words: list[str]) -> None:
    """Runs the command, and shows what it says only where it fails."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = lec7(words)
    if code:
        sys.exit(out.getvalue())


def events(profile: Path) -> tuple[list[Event], list[Event]]:
    """The programs that were computed, and the host's calls of programs that are in no other call."""
    programs, calls = [], []
    for plane in jax.profiler.ProfileData.from_file(str(profile)).planes:
        for line in plane.lines:
            for event in line.events:
                one = Event(event.start_ns, event.end_ns, event.name)
                if one.name == PROGRAM:
                    programs.append(one)
                elif line.name == "python" and one.name.startswith(CALL):
                    calls.append(one)
    return sorted(programs), outermost(sorted(calls, key=lambda call: (call.start, -call.end)))


def outermost(events: Iterable[Event]) -> list[Event]:
    """Those that are in no other one."""
    kept: list[Event] = []
    for event in events:
        if not kept or event.start > kept[-1].end:
            kept.append(event)
    return kept


def between(programs: Iterable[Event]) -> list[Event]:
    """The times at which none is computed."""
    gaps, last = [], None
    for program in programs:
        if last is not None and program.start > last:
            gaps.append(Event(last, program.start))
        last = program.end if last is None else max(last, program.end)
    return gaps


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
