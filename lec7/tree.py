"""Leaves of a pytree by name.

A leaf is called by the keys on its way, joined by slashes: `"blocks/3/conv/kernel"`. Patterns are
regular expressions that must match the whole of that path.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.tree_util import KeyPath

from lec7.errors import InputError, nearest
from lec7.typing import PyTree

Node = TypeVar("Node")
"""A type that `nodes` is to find."""


def path_name(path: KeyPath[Any]) -> str:
    """A JAX key path as a name: dict keys, indices and attributes joined by slashes."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def paths(tree: PyTree) -> list[str]:
    """The names of a tree's leaves, in the order of `jax.tree.leaves`.

    Args:
        tree: any pytree.

    >>> paths({"head": {"kernel": 1.0, "bias": 0.0}, "blocks": [2.0, 3.0]})
    ['blocks/0', 'blocks/1', 'head/bias', 'head/kernel']
    """
    return [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def named(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by name.

    Args:
        tree: any pytree.

    >>> named({"head": {"kernel": 1.0, "bias": 0.0}})
    {'head/bias': 0.0, 'head/kernel': 1.0}
    """
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def nbytes(tree: PyTree) -> int:
    """Bytes of a tree's arrays, or of arrays of its shapes.

    Args:
        tree: of arrays, or of shapes with dtypes.

    >>> nbytes({"kernel": jax.ShapeDtypeStruct((4, 2), "float32"), "bias": jax.ShapeDtypeStruct((2,), "float32")})
    40
    """
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def map_named(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    """`jax.tree.map` whose function gets the leaf's name first.

    Args:
        function: from a name and a leaf of each tree to a leaf.
        tree: any pytree.
        *rest: others of its structure.

    Returns:
        A tree of its structure.

    >>> map_named(lambda name, x: x if name.endswith("kernel") else 0.0, {"kernel": 2.0, "bias": 1.0})
    {'bias': 0.0, 'kernel': 2.0}
    """
    return jax.tree_util.tree_map_with_path(lambda path, *xs: function(path_name(path), *xs), tree, *rest)


def select(tree: PyTree, where: str) -> PyTree:
    """Which leaves a pattern matches: the tree with a bool for each leaf.

    Args:
        tree: any pytree.
        where: a regular expression over whole leaf paths.

    Raises:
        InputError: the pattern matches no leaf, or is no regular expression.

    >>> select({"head": {"kernel": 1.0}, "stem": {"kernel": 2.0}}, "head/.*")
    {'head': {'kernel': True}, 'stem': {'kernel': False}}
    >>> select({"head": {"kernel": 1.0}}, "haed/.*")
    Traceback (most recent call last):
    ...
    lec7.errors.InputError: no leaf matches 'haed/.*'; did you mean 'head/.*'?
    """
    try:
        regex = re.compile(where)
    except re.error as error:
        raise InputError(f"{where!r} is no regular expression: {error}") from None
    names = paths(tree)
    if not any(regex.fullmatch(name) for name in names):
        raise InputError(f"no leaf matches {where!r}{_hint(where, names)}")
    return map_named(lambda name, _: regex.fullmatch(name) is not None, tree)


def nodes(tree: PyTree, kind: type[Node]) -> list[Node]:
    """The nodes of a type in a pytree, in order; an outer one before those inside of it.

    Args:
        tree: any pytree.
        kind: the type of the nodes.

    >>> from typing import NamedTuple
    >>> class Average(NamedTuple):
    ...     mean: float
    >>> nodes({"a": [Average(1.0), 2.0], "b": (Average(3.0),)}, Average)
    [Average(mean=1.0), Average(mean=3.0)]
    """

    def is_kind(node: PyTree) -> bool:
        return isinstance(node, kind)

    found = [node for node in jax.tree.leaves(tree, is_leaf=is_kind) if is_kind(node)]
    return [inner for node in found for inner in (node, *nodes(children(node), kind))]


def children(node: Any) -> list[Any]:
    """What a node holds, one level down; a leaf holds nothing.

    >>> children({"a": [1.0, 2.0], "b": 3.0})
    [[1.0, 2.0], 3.0]
    """
    parts = jax.tree.leaves(node, is_leaf=lambda part: part is not node)
    return [part for part in parts if part is not node]


def _hint(pattern: str, names: list[str]) -> str:
    """The nearest thing that would have matched: the pattern made one of whole names, or its head put right."""
    if not names:
        return "; the tree has no leaves"
    part = f"({pattern})" if "|" in pattern else pattern
    for whole in (f".*/{part}", f".*{part}", f"{part}/.*", f"{part}.*", f".*{part}.*"):
        if any(re.fullmatch(whole, name) for name in names):
            return f"; did you mean {whole!r}? a pattern is of whole names"
    literal = re.match(r"[\w/.-]*?(?=/?\.\*|$)", pattern)
    if literal and literal[0]:
        depth = literal[0].count("/") + 1
        heads = sorted({"/".join(name.split("/")[:depth]) for name in names})
        if hint := nearest(literal[0], heads):
            return hint.replace("'?", pattern[literal.end() :] + "'?")
    return nearest(pattern, names) or f"; the leaves are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"


__all__ = ["map_named", "named", "nbytes", "nodes", "paths", "select"]
