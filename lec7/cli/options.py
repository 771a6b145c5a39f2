"""What the commands have in common: reading options by tyro."""

from collections.abc import Sequence
from typing import Any

import tyro


def read(options: type, arguments: Sequence[str], command: str, description: str) -> Any:
    """An instance of the dataclass `options` from the words of a command line.

    An unknown option or a wrong type ends the program with a message and exit code 2.
    """
    return tyro.cli(
        options,
        args=list(arguments),
        prog=f"lec7 {command}",
        description=description,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
