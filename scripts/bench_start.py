"""How long a run takes to its first step, the first time and the second, when its programs were kept.

    .venv/bin/python scripts/bench_start.py [EXPERIMENT.py [OPTION ...]]

Each start is a process of its own, from nothing to the first row of the log (50 steps of digits by default).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

words = sys.argv[1:] or [str(Path(__file__).parents[1] / "experiments" / "digits.py"), "--steps", "50"]


def start(folder: Path, name: str) -> tuple[float, float]:
    """Seconds from the start of the process to the first row, and from the start of training."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    begin = time.time()
    subprocess.run(
        [sys.executable, "-m", "lec7", "run", *words, "--workdir", folder, "--name", name],
        check=True,
        env=environment | {"XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
    )
    log = folder / name / "metrics.jsonl"
    first = json.loads(log.read_text().splitlines()[0])
    # The log is opened when training starts; a row says how long that is ago.
    opened = (folder / name / "config.json").stat().st_mtime
    return opened + first["seconds"] - begin, first["seconds"]


with tempfile.TemporaryDirectory() as temporary:
    for pair in range(2):
        folder = Path(temporary) / str(pair)
        folder.mkdir()
        (first, training), (second, again) = start(folder, "first"), start(folder, "second")
        print(f"to the first row: {first:5.1f} s, then {second:5.1f} s ({second / first:.2f})", end="; ")
        print(f"of training alone: {training:5.1f} s, then {again:5.1f} s ({again / training:.2f})")
