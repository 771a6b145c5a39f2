"""What a field is over, as one writes it on a command line."""

import re
from collections.abc import Callable
from typing import Any

from lec7.errors import InputError
from lec7.sweep.space import Span, linear, log

HELP = "0.1,0.3 are values; log:1e-4:1e-1:16 and lin:0:0.5:6 are so many, ends included; 0:4 are the ints 0 to 3"
SPAN = re.compile(r"(?P<kind>log|lin):(?P<rest>.*)")
INTS = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")


def is_over(text: str, default: Any) -> bool:
    """Whether a text is about several values of a field, whose default tells its type.

    >>> is_over("log:1e-4:1e-1:16", 1e-3), is_over("0:4", 0), is_over("adam,sgd", "adam"), is_over("0:4", "a path")
    (True, True, True, False)
    """
    number = isinstance(default, int | float) and not isinstance(default, bool)
    return "," in text or (number and ":" in text)


def parse(name: str, text: str, default: Any, typed: Callable[[str], Any]) -> Span | range | list[Any]:
    """The values that a text is about.

    Args:
        name: the field.
        text: of the command line, or of a sweep's configuration.
        default: the field's.
        typed: from the text of one value to the value.

    Raises:
        InputError: it can't be read.

    >>> parse("seed", "0:4", 0, int)
    range(0, 4)
    >>> parse("dropout", "0.3,0.5", 0.1, float)
    [0.3, 0.5]
    >>> str(parse("rate", "log:1e-4:1e-1:16", 0.1, float))
    'log:0.0001:0.1:16'
    """
    if found := SPAN.fullmatch(text):
        return _span(name, text, found["kind"], found["rest"].split(":"))
    if isinstance(default, int) and not isinstance(default, bool) and ":" in text:
        if not (found := INTS.fullmatch(text)):
            raise InputError(f"--{name} {text} can't be read, expected FROM:TO or FROM:TO:STEP of ints; {HELP}")
        start, stop, step = found.groups()
        ints = range(int(start), int(stop), int(step or 1)) if step != "0" else range(0)
        if not ints:
            raise InputError(f"--{name} {text} is empty, expected a range that goes up, such as 0:4 for 0 to 3")
        return ints
    if isinstance(default, float) and ":" in text:
        raise InputError(f"--{name} {text} can't be read; {HELP}")
    return [_one(name, text, part, default, typed) for part in text.split(",")]


def _span(name: str, text: str, kind: str, parts: list[str]) -> Span:
    try:
        low, high, *count = parts
        numbers = float(low), float(high), *map(int, count)
        return (log if kind == "log" else linear)(*numbers)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except InputError as error:
        raise InputError(f"--{name} {error}") from None
    except (ValueError, TypeError):
        raise InputError(f"--{name} {text} can't be read, expected {kind}:LOW:HIGH:COUNT") from None


def _one(name: str, text: str, part: str, default: Any, typed: Callable[[str], Any]) -> Any:
    if not part:
        raise InputError(f"--{name} {text} has an empty value in it, expected values with one comma between two")
    if isinstance(default, bool):
        if part.lower() not in ("true", "false"):
            raise InputError(f"--{name} has {part!r}, expected true or false")
        return part.lower() == "true"
    for kind, called in ((int, "an int"), (float, "a number")):
        if type(default) is kind:
            try:
                return kind(part)
            except ValueError:
                raise InputError(f"--{name} has {part!r}, expected {called}; {HELP}") from None
    return typed(part)
