"""The one error that lec7 raises for what it was given."""

import difflib
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


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


def short(given: Any) -> str:
    """What was given, in few words: an array by dtype and shape, a function by its name, what is long by its type.

    >>> short(0.1), short(short), short([0.1] * 100)
    ('0.1', 'short', 'a list')
    """
    if hasattr(given, "dtype") and hasattr(given, "shape"):
        return f"{given.dtype}{list(given.shape)}"
    if callable(given) and hasattr(given, "__name__"):
        return given.__name__
    text = repr(given)
    return text if len(text) <= 60 else f"a {type(given).__name__}"


def why(error: BaseException) -> str:
    """The first line of what an error says, and the latest line of a user's file that it went through."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    no_users = str(Path(__file__).parent), sysconfig.get_paths()["stdlib"], "<"
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(no_users)
    ]
    where = f" (line {theirs[-1].lineno} of {Path(theirs[-1].filename).name})" if theirs else ""
    return (lines[0].rstrip(".") if lines else type(error).__name__) + where


def entry(batch: Mapping[str, Any], name: str, instead: str = "name one so in the data") -> Any:
    """What a batch has by a name.

    Args:
        batch: arrays by name.
        name: the one that is wanted.
        instead: what to do where there is none.

    Raises:
        InputError: it has none of that name, or is no batch.

    >>> entry({"image": 0, "labels": 1}, "label")
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: the batch has no 'label'; did you mean 'labels'?; it has 'image', 'labels'; name one so ...
    """
    if not isinstance(batch, Mapping):
        raise InputError(f"the batch is {short(batch)}, expected arrays by name, such as {{'image': x, 'label': y}}")
    if name not in batch:
        raise InputError(
            f"the batch has no {name!r}{nearest(name, list(batch))}; it has {', '.join(map(repr, batch))}; {instead}"
        )
    return batch[name]


__all__ = ["InputError"]
