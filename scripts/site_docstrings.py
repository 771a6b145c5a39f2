"""What Griffe is told of docstrings, before mkdocstrings makes the reference of them.

Examples that doctest reads become code: Markdown would take `>>>` for a quotation. And a room's functions come first,
then its classes, then its constants: `__all__` has them in the order of ASCII.
"""

import re

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1.*\S.*)*", re.MULTILINE)


def fenced(text: str) -> str:
    """The docstring with a fence around each example: from `>>>` up to the next empty line."""
    return EXAMPLE.sub(lambda found: f"\n{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


def functions_first(name: str) -> int:
    """Where a name sorts, by how it is written: `adam`, `AdamState`, `CONVENTIONS`."""
    return 0 if name[0].islower() else 2 if name.isupper() else 1


class Docstrings(griffe.Extension):
    """Called by Griffe for each thing that it reads."""

    def on_instance(self, *, obj, **kwargs):
        """Examples get their fences."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)

    def on_package(self, *, pkg, loader, **kwargs):
        """Names are put in order; and one that a file has as well, such as `optim.minimize`, is what Python finds."""
        loader.resolve_aliases()  # first, for it goes by way of the files
        for room in pkg.modules.values():
            if room.exports:
                room.exports = sorted(map(str, room.exports), key=functions_first)
            for name in room.exports or ():
                file = room.modules.get(name)
                if file is not None and name in file.members:
                    inside = file.members[name]
                    target = inside.final_target if inside.is_alias else inside
                    room.members[name] = griffe.Alias(name, target, parent=room)
