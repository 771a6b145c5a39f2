"""What a benchmark found, as a file that another machine's can be compared with."""

import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from lec7.bench.work import Figure
from lec7.errors import InputError

PACKAGES = ("lec7", "jax", "jaxlib", "flax", "optax", "numpy")
FORMAT = 1
"""Of the file; another number is another format."""


@dataclass(frozen=True)
class Record:
    """Figures, and where they were found.

    Attributes:
        device: its kind, as JAX calls it.
        devices: how many JAX sees; one is measured.
        machine: the host, in words.
        versions: of the packages that matter, by name.
        limits: in bytes or floating-point operations a second, by name; the best while figures were found.
        figures: what came of each piece of work.
    """

    device: str
    devices: int
    machine: str
    versions: dict[str, str]
    limits: dict[str, float]
    figures: tuple[Figure, ...]

    def with_figure(self, figure: Figure, met: Mapping[str, float]) -> "Record":
        """The same with a figure more, and with what is best of its limits and of those that were met with it."""
        best = {name: max(rate, self.limits.get(name, 0.0)) for name, rate in met.items()}
        return replace(self, limits=self.limits | best, figures=(*self.figures, figure))

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps({"format": FORMAT} | dataclasses.asdict(self), indent=2) + "\n")


def here() -> Record:
    """The record of this machine, on which nothing was measured yet.

    >>> here().figures
    ()
    """
    devices = jax.devices()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    versions = {name: metadata.version(name) for name in PACKAGES}
    return Record(devices[0].device_kind, len(devices), machine, versions, {}, ())


def load(path: Path) -> Record:
    """A record from its file.

    Args:
        path: a file that `lec7 bench --json` wrote.

    Raises:
        InputError: there is none, or it is no record.

    >>> load(Path("nowhere.json"))
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: ...
    """
    try:
        read: dict[str, Any] = dict(json.loads(path.read_text()))
        if (given := read.pop("format")) != FORMAT:
            raise InputError(f"{path} has format {given}, expected {FORMAT}: measure again with this lec7")
        figures = tuple(Figure(**figure) for figure in read.pop("figures"))
        record = Record(figures=figures, **read)
        if not (isinstance(record.versions, dict) and isinstance(record.limits, dict)):
            raise TypeError("versions and limits are to be by name")
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"no file {path}; lec7 bench --json {path} writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no record of lec7 bench ({error}); lec7 bench --json FILE writes one") from None
    return record
