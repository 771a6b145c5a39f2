"""What a field is over, as one writes it on a command line."""

import re
from collections.abc import Callable
from typing import Any

from lec7.errors import InputError
from lec7.sweep.space import CALLED, Span

HELP = "0.1,0.3 are values; log:1e-4:1e-1:16 and lin:0:0.5:6 are so many, ends included; 0:4 are the ints 0 to 3"
SPAN = re.compile(r"(?P<kind>log|lin):(?P<rest>.*)")
INTS = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")


def is_over(text: str, kind: type) -> bool:
    """Whether a text is about several values of a field of a type.

    >>> is_over("log:1e-4:1e-1:16", float), is_over("0:4", int), is_over("adam,sgd", str), is_over("0:4", str)
    (True, True, True, False)
    """
    return "," in text or (kind in (int, float) and ":" in text)


def parse(name: str, text: str, kind: type, typed: Callable[[str], Any]) -> Span | range | list[Any]:
    """The values that a text is about.

    Args:
        name: the field.
        text: of the command line, or of a sweep's configuration.
        kind: what the field holds.
        typed: from the text of one value to the value.

    Raises:
        InputError: it can't be read.

    >>> parse("seed", "0:4", int, int)
    range(0, 4)
    >>> parse("dropout", "0.3,0.5", float, float)
    [0.3, 0.5]
    >>> str(parse("rate", "log:1e-4:1e-1:16", float, float))
    'log:0.0001:0.1:16'
    """
    if found := SPAN.fullmatch(text):
        return _span(name, text, found["kind"], found["rest"].split(":"))
    if kind is int and ":" in text:
        if not (found := INTS.fullmatch(text)):
            raise InputError(f"--{name} {text} can't be read, expected FROM:TO or FROM:TO:STEP of ints; {HELP}")
        start, stop, step = found.groups()
        ints = range(int(start), int(stop), int(step or 1)) if step != "0" else range(0)
        if not ints:
            raise InputError(f"--{name} {text} is empty, expected a range that goes up, such as 0:4 for 0 to 3")
        return ints
    if kind is float and ":" in text:
        raise InputError(f"--{name} {text} can't be read, expected lin:LOW:HIGH:COUNT or log:LOW:HIGH:COUNT of numbers")
    return [_one(name, text, part, kind, typed) for part in text.split(",")]


def _span(name: str, text: str, kind: str, parts: list[str]) -> Span:
    try:
        low, high, count = (*parts, None) if len(parts) == 2 else parts
        return Span(float(low), float(high), None if count is None else int(count), kind == "log")
    except InputError as error:
        raise InputError(f"--{name} {error}") from None
    except (ValueError, TypeError):
        raise InputError(f"--{name} {text} can't be read, expected {kind}:LOW:HIGH:COUNT") from None


def _one(name: str, text: str, part: str, kind: type, typed: Callable[[str], Any]) -> Any:
    if not part:
        raise InputError(f"--{name} {text} has an empty value in it, expected values with one comma between two")
    if kind is bool:
        if part.lower() not in ("true", "false"):
            raise InputError(f"--{name} has {part!r}, expected true or false")
        return part.lower() == "true"
    if kind in (int, float):
        try:
            return kind(part)
        except ValueError:
            raise InputError(f"--{name} has {part!r}, expected {CALLED[kind]}; {HELP}") from None
    return typed(part)
