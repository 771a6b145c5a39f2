"""What an optimizer does to each parameter, as a table."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import optax

from lec7 import tree
from lec7.optim.decay import DecayState
from lec7.optim.groups import FrozenState, GroupsState, PathFactorState
from lec7.optim.learning_rate import LearningRateState
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
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        )
        return "\n".join(lines)


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
    return Description(_row(path, leaf.shape, state, list(leaves)) for path, leaf in leaves.items())


def _row(path: str, shape: tuple[int, ...], state: PyTree, paths: list[str]) -> Row:
    nodes = list(_nodes(state, path))
    rates = [float(node.learning_rate) for node in nodes if isinstance(node, LearningRateState)]
    factors = [float(tree.named(node.factor)[path]) for node in nodes if isinstance(node, PathFactorState)]
    rate = rates[-1] if rates else None
    for factor in factors:
        rate = None if rate is None else rate * factor
    return Row(
        path,
        shape,
        tuple(_name(node) for node in nodes),
        rate,
        sum(float(tree.named(node.rate)[path]) for node in nodes if isinstance(node, DecayState)),
        any(isinstance(node, FrozenState) for node in nodes),
        sum(_bytes(node, path, paths) for node in nodes if not isinstance(node, DecayState | PathFactorState)),
    )


def _nodes(state: PyTree, path: str) -> Iterator[Any]:
    """The states of the transforms that a leaf meets, in order; those that contain others come ahead of them."""
    if isinstance(state, GroupsState):
        yield from _nodes(state.members[dict(state.labels)[path]], path) if path in dict(state.labels) else ()
    elif isinstance(state, optax.MaskedNode | optax.EmptyState):
        return
    elif isinstance(state, tuple) and hasattr(state, "_fields"):
        inner = getattr(state, "inner", getattr(state, "inner_state", ()))
        yield state
        yield from _nodes(inner, path)
    elif isinstance(state, tuple | list):
        for part in state:
            yield from _nodes(part, path)


def _name(node: Any) -> str:
    """`"learning rate"` of a `LearningRateState`."""
    name = type(node).__name__.removesuffix("State").removeprefix("ScaleBy")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _bytes(node: Any, path: str, paths: list[str]) -> int:
    """Bytes of a node's own leaves that are shaped for one parameter: whose longest parameter path at the end it is."""
    own = node._asdict()
    own.pop("inner", None)
    own.pop("inner_state", None)
    total = 0
    for name, leaf in tree.named(own).items():
        ends = [other for other in paths if name == other or name.endswith(f"/{other}")]
        if ends and max(ends, key=len) == path and isinstance(leaf, jax.Array):
            total += leaf.nbytes
    return total
