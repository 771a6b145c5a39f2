"""Nested dicts to arrays by name, and the choice of a part of them."""

from collections.abc import Collection, Mapping
from typing import Any

from lec7.errors import InputError, nearest

DEEPEST, MOST, LONGEST = 100, 2**18, 500
"""Dicts in each other, entries in all and letters of a name: a few bytes can describe more than can be walked."""


def quote(name: object) -> str:
    """A name out of a file as messages show it, whatever is in it.

    >>> quote("a" * 1000)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"
    """
    text = str(name)
    return repr(text if len(text) <= 60 else text[:60] + "...")


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array, or describes one: it has a shape and a dtype."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def flatten(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """The leaves of nested dicts by name: keys joined by slashes, in the order of the dicts. None is nothing.

    Raises:
        InputError: a key is neither text nor a whole number, two leaves have one name, or there is no end of it.

    >>> flatten({"head": {"kernel": 1, "bias": None}, "blocks": {0: {}, 1: 2}})
    {'head/kernel': 1, 'blocks/1': 2}
    """
    leaves: dict[str, Any] = {}
    rest: list[tuple[str, Any, int]] = [("", tree, 0)]
    walked = 0
    while rest:
        name, node, depth = rest.pop()
        if isinstance(node, Mapping):
            walked += len(node)
            if depth > DEEPEST or walked > MOST or len(name) > LONGEST:
                raise InputError(
                    f"it has more than {DEEPEST} dicts in each other, {MOST:,} entries or {LONGEST} letters in a name: "
                    "no weights are like it"
                )
            if strange := next((key for key in node if not isinstance(key, str | int)), None):
                raise InputError(f"{quote(name)} has a key that is {_kind(strange)}; names are text or whole numbers")
            join = f"{name}/" if depth else ""
            rest.extend((f"{join}{key}", value, depth + 1) for key, value in reversed(list(node.items())))
        elif node is not None:
            if name in leaves:
                raise InputError(f"it has two entries that are called {quote(name)}")
            leaves[name] = node
    return leaves


def choose(tree: Mapping[Any, Any], item: str | None, *, unwrap: bool = False) -> dict[str, Any]:
    """The arrays of a tree by name, or those of a part of it.

    Args:
        tree: nested dicts whose leaves are arrays, descriptions of arrays, or anything else.
        item: the part, by its name up to a slash; its arrays' names go on behind it. By default all of the tree.
        unwrap: whether the one dict of arrays at the top is taken where no item is named, whatever is beside it.

    Raises:
        InputError: there is no such part or no telling which one is meant, or what was chosen is not all arrays.

    >>> from numpy import ones
    >>> choose({"epoch": 3, "model": {"weight": ones(2)}}, None, unwrap=True)
    {'weight': array([1., 1.])}
    >>> choose({"epoch": 3, "model": {"weight": ones(2)}}, None)
    Traceback (most recent call last):
    lec7.errors.InputError: 'epoch' is an int, where arrays were expected; item=... chooses a part of: 'epoch' (an int),
    'model' (1 array)
    """
    leaves = flatten(tree)
    if item is None and unwrap and any(isinstance(value, Mapping) for value in tree.values()):
        item = _only(tree, leaves)
    prefix = f"{item}/" if item else ""
    chosen = {name.removeprefix(prefix): leaf for name, leaf in leaves.items() if name.startswith(prefix)}
    if not chosen and item is not None:
        parts = [name for name in _parts(leaves) if len(name) < 100][:1000]  # A comparison of names takes its time.
        what = f"{quote(item)} is {_kind(leaves[item])}, no part" if item in leaves else f"there is no {quote(item)}"
        raise InputError(f"{what} to take arrays from{nearest(item, parts)}. There are: {_listing(leaves)}")
    if not chosen:
        raise InputError("it has no arrays in it")
    if (other := next((name for name, leaf in chosen.items() if not is_array(leaf)), None)) is not None:
        raise InputError(
            f"{quote(prefix + other)} is {_kind(chosen[other])}, where arrays were expected; "
            f"item=... chooses a part of: {_listing(leaves)}"
        )
    return chosen


def _only(tree: Mapping[Any, Any], leaves: Mapping[str, Any]) -> str:
    """The name of the one dict of arrays at the top."""
    dicts = {str(name): flatten(value).values() for name, value in tree.items() if isinstance(value, Mapping)}
    found = [name for name, inside in dicts.items() if inside and all(map(is_array, inside))]
    if len(found) != 1 or any(map(is_array, tree.values())):
        raise InputError(f"say by item=... which part is meant. There are: {_listing(leaves)}")
    return found[0]


def _parts(leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The leaves of each part at the top, by what their names go on with; a leaf there is a part by itself."""
    parts: dict[str, dict[str, Any]] = {}
    for name, leaf in leaves.items():
        first, _, rest = name.partition("/")
        parts.setdefault(first, {})[rest] = leaf
    return parts


def _listing(leaves: Mapping[str, Any], most: int = 12) -> str:
    """What is at the top, for a message."""
    parts = _parts(leaves)
    kinds = {
        name: _kind(inside[""]) if inside.keys() == {""} else _count(inside.values()) for name, inside in parts.items()
    }
    shown = [f"{quote(name)} ({kind})" for name, kind in list(kinds.items())[:most]]
    return ", ".join(shown) + (f" and {len(kinds) - most} more" if len(kinds) > most else "")


def _count(leaves: Collection[Any]) -> str:
    arrays = sum(map(is_array, leaves))
    others = f", {len(leaves) - arrays} other entries" if len(leaves) > arrays else ""
    return f"{arrays} array{'' if arrays == 1 else 's'}{others}"


def _kind(leaf: object) -> str:
    kind = "array" if is_array(leaf) else type(leaf).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
