"""Prints each public name of lec7 with its signature, room by room.

    .venv/bin/python scripts/public_face.py [ROOM ...]

What a room's `__all__` has is public. A name that stands in two rooms, or has no docstring, is told at the end, and the
script then ends with 1.
"""

import enum
import importlib
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import lec7
from lec7.errors import short
from lec7.typing import ArrayLike, DTypeLike


def names(room: str) -> Iterator[tuple[str, object]]:
    """The public names of a room, in the order of its `__all__`, with what they are."""
    module = importlib.import_module(f"lec7.{room}")
    for name in module.__all__:
        yield name, getattr(module, name)


def told(name: str, thing: object) -> str:
    """One line: `adam(learning_rate: Scalar | Schedule, b1: Scalar = 0.9, ...) -> GradientTransformation`."""
    if isinstance(thing, type) and issubclass(thing, BaseException | enum.Enum):
        return f"class {name}"
    if not isinstance(thing, type | FunctionType):
        return f"{name} = {short(thing)}"
    try:
        signature = str(inspect.signature(thing))
    except ValueError:
        signature = "(...)"
    kind = "class " if isinstance(thing, type) else ""
    signature = signature.replace(str(ArrayLike), "ArrayLike").replace(str(DTypeLike), "DTypeLike")
    signature = re.sub(r"<function (\w+)[^>]*>|<class '[\w.]*?(\w+)'>", r"\1\2", signature)
    signature = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", signature)
    return f"{kind}{name}{signature.removesuffix(' -> None') if kind else signature}"


def main(rooms: list[str]) -> int:
    """Prints, and says with the exit code whether all is as it should be."""
    where, silent, total = defaultdict(list), [], 0
    for room in rooms or sorted(lec7.__all__):
        found = list(names(room))
        print(f"\n{room}  ({len(found)})")
        for name, thing in found:
            print(f"  {told(name, thing)}")
            if not isinstance(thing, type | FunctionType) or thing is Any:
                continue
            where[thing].append(f"{room}.{name}")
            if not inspect.getdoc(thing):
                silent.append(f"{room}.{name}")
        total += len(found)
    twice = [" = ".join(paths) for paths in where.values() if len(paths) > 1]
    print(f"\n{total} names; by two paths: {', '.join(twice) or 'none'}; no docstring: {', '.join(silent) or 'none'}")
    return 1 if twice or silent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
