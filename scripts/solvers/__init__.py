"""Solvers of lec7 and of other libraries on the problems of the tests. `scripts/bench_solvers.py` runs it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # where `problems` is
