"""What the experiments share: sentences of the lecture, figures that bear them out or do not, and how both are told."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import tyro

from lec7.errors import InputError


class Finding(NamedTuple):
    """Whether a sentence of the lecture is borne out, and by which figures."""

    claim: str
    holds: bool
    figures: str


@dataclass(frozen=True)
class Effort:
    """How much of it is done, and where it is noted."""

    quick: bool = False
    """All of it in small, to see that it runs; its figures say nothing about the lecture."""
    results: Path | None = None
    """A JSON file for what was found, of which scripts/experiments makes the index."""


Options = TypeVar("Options", bound=Effort)


def command(
    main: Callable[[Options], Iterable[Finding]], options: type[Options], words: list[str] | None = None
) -> None:
    """Runs an experiment as a command: reads its options, does it, and tells whether its figures bear out the claim.

    Args:
        main: does it, and gives what it found.
        options: what may be chosen.
        words: the command line's, by default those that there are.
    """
    module = sys.modules[main.__module__]
    begin = time.monotonic()
    try:
        given = tyro.cli(options, args=words, description=module.__doc__)
        found = list(main(given))
    except InputError as error:
        print(f"{Path(str(module.__file__)).name}: {error}", file=sys.stderr)
        sys.exit(2)
    seconds = time.monotonic() - begin
    print(f"\nIn {seconds:.0f} s:")
    for finding in found:
        print(f"- {'holds' if finding.holds else 'does not hold'}: {finding.claim}: {finding.figures}")
    if given.quick:
        print("This was a quick run, which tells that all of it runs, and nothing about the lecture.")
    if given.results is not None:
        rows = [finding._asdict() for finding in found]
        note = {"about": module.__doc__, "quick": given.quick, "seconds": seconds, "findings": rows}
        given.results.write_text(json.dumps(note, indent=2) + "\n")
