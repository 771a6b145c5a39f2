"""The one error that lec7 raises for what it was given."""

import difflib
from collections.abc import Sequence


class InputError(ValueError):
    """What was given cannot be used; the message says what was expected and what to do.

    The command line shows the message alone and exits with code 2. Any other exception is a
    fault of the program, and keeps its traceback.
    """


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint at the known name closest to a misspelt one, or the empty string.

    >>> nearest("haed/kernel", ["head/kernel", "stem/kernel"])
    "; did you mean 'head/kernel'?"
    >>> nearest("xyzzy", ["head/kernel"])
    ''
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
