"""What the command line says: which problems, how often and how long, and where the figures go."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """What to measure."""

    quick: bool = False
    """Five problems."""
    scaling: bool = False
    """Also how time grows with n, what a step at n = 1,000,000 takes, and many starts at once."""
    rounds: int = 9
    """Turns that each takes on a problem, after the first."""
    seconds: float = 3.0
    """Time on a problem after which a solver takes no more turns."""
    most_bfgs: int = 650
    """Parameters up to which BFGS takes part: a step of SciPy's takes O(n^3)."""
    blas_threads: int = 1
    """Threads of SciPy's BLAS."""
    json: Path | None = None
    """Where all figures go."""
    figure: Path | None = None
    """Where the performance profile goes."""
