"""What an optimizer does to each parameter, as a table."""

from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from typing import Any, NamedTuple

import jax
import optax

from lec7 import tree
from lec7.optim.decay import DecayState
from lec7.optim.groups import FrozenState, GroupsState, PathFactorState
from lec7.optim.learning_rate import LearningRateState
from lec7.table import table
from lec7.typing import Params, PyTree


class Row(NamedTuple):
    """What happens to a leaf: its transforms in order, its rate now, its decay, and the bytes of state kept for it."""

    path: str
    shape: tuple[int, ...]
    transforms: tuple[str, ...]
    learning_rate: float | None
    decay: float
    frozen: bool
    state_bytes: int


class Description(tuple[Row, ...]):
    """A row for each leaf; printed, a table."""

    def __str__(self) -> str:
        cells = [("parameter", "shape", "transforms", "rate", "decay", "state [bytes]")]
        for row in self:
            rate = "frozen" if row.frozen else "" if row.learning_rate is None else f"{row.learning_rate:.3g}"
            shape, decay = "x".join(map(str, row.shape)) or "-", f"{row.decay:.3g}" if row.decay else ""
            cells.append((row.path, shape, ", ".join(row.transforms), rate, decay, f"{row.state_bytes:,}"))
        cells.append(("total", "", "", "", "", f"{sum(row.state_bytes for row in self):,}"))
        return table(cells)


def describe(optimizer: optax.GradientTransformation, params: Params, opt_state: PyTree | None = None) -> Description:
    """What the optimizer does to each parameter: path, shape, transforms, rate now, decay, frozen or not, bytes.

    Args:
        optimizer: any Optax transformation; what it does is read off its state.
        params: the parameters.
        opt_state: the state as it is now; by default the one before the first step.

    >>> import jax.numpy as jnp
    >>> from lec7 import optim
    >>> params = {"head": {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}, "stem": jnp.zeros(5)}
    >>> tx = optim.groups({"head/.*": optim.adamw(1e-3, where=".*kernel"), "stem": optim.frozen()})
    >>> print(optim.describe(tx, params))
    parameter    shape  transforms                 rate    decay  state [bytes]
    head/bias    2      adam, decay, learning rate  0.001          16
    head/kernel  3x2    adam, decay, learning rate  0.001   0.01   48
    stem         5      frozen                      frozen         0
    total                                                          64
    """
    state = optimizer.init(params) if opt_state is None else opt_state
    leaves = tree.named(params)
    fates = {path: _Fate() for path in leaves}
    for node, paths in _nodes(state, frozenset(leaves)):
        _tell(node, {path: fates[path] for path in leaves if path in paths})
    return Description(
        Row(path, leaf.shape, tuple(fate.transforms), fate.learning_rate, fate.decay, fate.frozen, fate.state_bytes)
        for (path, leaf), fate in zip(leaves.items(), fates.values(), strict=True)
    )


@dataclass
class _Fate:
    """What is known of a leaf as the states are gone through."""

    transforms: list[str] = field(default_factory=list)
    factor: float = 1.0
    rate: float | None = None
    decay: float = 0.0
    frozen: bool = False
    state_bytes: int = 0

    @property
    def learning_rate(self) -> float | None:
        return None if self.rate is None else self.rate * self.factor


def _nodes(state: PyTree, paths: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """The states of the transforms in order, each with the leaves that it meets; one that holds others comes first."""
    if isinstance(state, GroupsState):
        for pattern, inner in state.members.items():
            yield from _nodes(inner, paths & {path for path, label in state.labels if label == pattern})
    elif isinstance(state, optax.MaskedNode | optax.EmptyState):
        return
    elif hasattr(state, "_fields") or is_dataclass(state):
        yield state, paths
        yield from _nodes(getattr(state, "inner", getattr(state, "inner_state", ())), paths)
    elif isinstance(state, tuple | list | dict):
        for part in state.values() if isinstance(state, dict) else state:
            yield from _nodes(part, paths)


def _tell(node: Any, fates: dict[str, _Fate]) -> None:
    """Writes down what a transform's state tells of the leaves that it meets."""
    for fate in fates.values():
        fate.transforms.append(_name(node))
        fate.frozen |= isinstance(node, FrozenState)
        if isinstance(node, LearningRateState):
            fate.rate = float(node.learning_rate)
    if isinstance(node, DecayState):
        for path, rate in tree.named(node.rate).items():
            fates[path].decay += float(rate)
    elif isinstance(node, PathFactorState):
        for path, factor in tree.named(node.factor).items():
            fates[path].factor *= float(factor)
    else:
        for name, leaf in tree.named(node).items():
            if name.startswith(("inner/", "inner_state/")):
                continue
            owner = next((end for end in _ends(name) if end in fates), None)
            if owner is not None and isinstance(leaf, jax.Array):
                fates[owner].state_bytes += leaf.nbytes


def _ends(name: str) -> Iterator[str]:
    """The name less its first parts: `"m/head/kernel"`, `"head/kernel"`, `"kernel"`, and the whole tree's, `""`."""
    while name:
        yield name
        name = name.partition("/")[2]
    yield ""


def _name(node: Any) -> str:
    """`"learning rate"` of a `LearningRateState`; the name that an average has."""
    if isinstance(given := getattr(node, "name", None), str):
        return given
    name = type(node).__name__.removesuffix("State").removeprefix("ScaleBy")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
