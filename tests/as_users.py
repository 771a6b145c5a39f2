"""Claims of single bits, with XLA as users have it: the flags of tests (conftest.py) round in a way of their own."""

import os
import subprocess
import sys
from pathlib import Path

OURS = {"XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS"}


def environment():
    """That of this process without what tests have put in."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def printed(function, *arguments):
    """What a function of a test file prints in a process of its own.

    Args:
        function: of the top of its file, and found there by its name.
        arguments: texts, or what is to be given as its text.
    """
    file = Path(function.__code__.co_filename)
    program = f"import sys, {file.stem}; {file.stem}.{function.__name__}(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment() | {"PYTHONPATH": os.pathsep.join(map(str, (file.parent, Path(__file__).parent)))},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
