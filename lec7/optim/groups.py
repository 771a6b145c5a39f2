"""Which parameter gets what: optimizers, rates and freezing by regular expressions over leaf paths."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7 import tree
from lec7.errors import InputError, nearest
from lec7.optim.leafwise import each, zeros
from lec7.typing import Params, PyTree, Scalar, ValueFn


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GroupsState:
    """The members' states, their patterns in the same order, and whose each leaf is: pairs of path and pattern."""

    inner: tuple[Any, ...]
    patterns: tuple[str, ...] = field(metadata={"static": True})
    labels: tuple[tuple[str, str], ...] = field(metadata={"static": True})

    beside_each_other = True  # and not one behind the other, as the states of a chain

    @property
    def members(self) -> dict[str, Any]:
        """The members' states by pattern."""
        return dict(zip(self.patterns, self.inner, strict=True))


class FrozenState(NamedTuple):
    """Nothing: what is frozen needs no state."""


def frozen() -> optax.GradientTransformationExtraArgs:
    """A member of `groups` for parameters that stay as they are.

    `train.make_step` computes no gradients for them; they come as zeros, so that a norm over all gradients leaves them
    out, and it keeps them whatever stands beside `groups` in a chain. In a loop of your own put weight decay into the
    members, and not beside them.

    >>> tx = groups({"head/.*": optax.sgd(0.1), "stem/.*": frozen()})
    >>> params = {"head": {"w": jnp.array(1.0)}, "stem": {"w": jnp.array(1.0)}}
    >>> sorted(frozen_paths(tx.init(params)))
    ['stem/w']
    """

    def update(updates: PyTree, state: FrozenState | Any, params: Params | None = None, **extra: Any):
        return zeros(updates), state

    return optax.GradientTransformationExtraArgs(lambda params: FrozenState(), update)


def groups(members: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformationExtraArgs:
    """An optimizer for each group of parameters; the first pattern that matches a leaf's path has it.

    Members see their own leaves alone: a clipping by global norm in one is over that group. States are kept for a
    member's leaves and no others.

    Args:
        members: from regular expressions over whole leaf paths to optimizers; `frozen()` is one.

    Raises:
        InputError: in `init`, a leaf that no pattern matches, or a pattern that gets no leaf.

    >>> tx = groups({"head/.*": optax.sgd(1.0), ".*": optax.sgd(0.1)})
    >>> params = {"head": {"w": jnp.array(0.0)}, "stem": {"w": jnp.array(0.0)}}
    >>> updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    >>> float(updates["head"]["w"]), round(float(updates["stem"]["w"]), 6)
    (-1.0, -0.1)
    """
    optimizers = {pattern: optax.with_extra_args_support(member) for pattern, member in members.items()}

    def init(params: Params) -> Any:
        labels = _first_matches(params, list(optimizers))
        inner = tuple(member.init(_only(params, labels, pattern)) for pattern, member in optimizers.items())
        return GroupsState(inner, tuple(optimizers), tuple(labels.items()))

    def update(
        updates: PyTree,
        state: GroupsState | Any,
        params: Params | None = None,
        *,
        grad: PyTree | None = None,
        value_fn: ValueFn | None = None,
        **extra: Any,
    ) -> tuple[PyTree, Any]:
        labels, inner = dict(state.labels), []
        for (pattern, member), before in zip(optimizers.items(), state.inner, strict=True):

            def part(whole: PyTree, pattern: str = pattern) -> PyTree:
                return _only(whole, labels, pattern)

            if grad is not None:
                extra["grad"] = part(grad)
            if value_fn is not None and params is not None:
                extra["value_fn"] = lambda mine: value_fn(_filled(params, mine))
            own = None if params is None else part(params)
            mine, after = member.update(part(updates), before, own, **extra)
            updates = _filled(updates, mine)
            inner.append(after)
        return updates, replace(state, inner=tuple(inner))

    return optax.GradientTransformationExtraArgs(init, update)


def frozen_paths(opt_state: PyTree) -> frozenset[str]:
    """The paths of the leaves that `frozen()` holds, in an optimizer's state nested in any way.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    >>> from lec7 import optim
    >>> params = {"head": jnp.ones(2), "stem": jnp.ones(2)}
    >>> frozen_paths(optim.groups({"head": optim.sgd(0.1), ".*": optim.frozen()}).init(params))
    frozenset({'stem'})
    """
    paths: set[str] = set()
    for node in tree.nodes(opt_state, GroupsState):
        still = {pattern for pattern, inner in node.members.items() if isinstance(inner, FrozenState)}
        paths |= {path for path, pattern in node.labels if pattern in still}
    return frozenset(paths)


class PathFactorState(NamedTuple):
    """The factor of each leaf, arrays of shape ()."""

    factor: PyTree


def scale_by_path(
    factors: Mapping[str, Scalar | Callable[..., Scalar]],
) -> optax.GradientTransformationExtraArgs:
    r"""A factor for each update by its path, for layer-wise and discriminative learning rates; the first match counts.

    Leaves that no pattern matches have a factor of 1.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning", 2018, section 3.2 (discriminative fine-tuning).

    Args:
        factors: from regular expressions over whole leaf paths to a number, or to a function of the expression's
            groups, which are texts: `{r"blocks/(\d+)/.*": lambda i: 0.8 ** (12 - int(i))}`.

    Raises:
        InputError: in `init`, a pattern that gets no leaf.

    >>> tx = scale_by_path({r"blocks/(\d+)/.*": lambda i: 0.5 ** (1 - int(i))})
    >>> params = {"blocks": [{"w": jnp.array(1.0)}, {"w": jnp.array(1.0)}], "head": jnp.array(1.0)}
    >>> updates, _ = tx.update(params, tx.init(params))
    >>> jax.tree.map(float, updates)
    {'blocks': [{'w': 0.5}, {'w': 1.0}], 'head': 1.0}
    """

    def factor(labels: Mapping[str, str], name: str) -> jax.Array:
        if name not in labels:
            return jnp.ones((), float)
        value = factors[labels[name]]
        if callable(value):
            match = re.fullmatch(labels[name], name)
            value = value(*(match.groups() if match else ()))
        return jnp.asarray(value, float)

    def init(params: Params) -> PathFactorState:
        labels = _first_matches(params, list(factors), all_leaves=False)
        return PathFactorState(tree.map_named(lambda name, _: factor(labels, name), params))

    def update(updates: PyTree, state: PathFactorState | Any, params: Params | None = None, **extra: Any):
        return each(lambda g, factor: factor * g, updates, state.factor), state

    return optax.GradientTransformationExtraArgs(init, update)


def _first_matches(params: PyTree, patterns: list[str], all_leaves: bool = True) -> dict[str, str]:
    """For each leaf path the first pattern that matches it."""
    masks = {pattern: tree.named(tree.select(params, pattern)) for pattern in patterns}
    labels: dict[str, str] = {}
    for name in tree.paths(params):
        match = next((pattern for pattern in patterns if masks[pattern][name]), None)
        if match is not None:
            labels[name] = match
        elif all_leaves:
            raise InputError(
                f"no group has the parameter {name!r}{nearest(name, patterns)}; the patterns are "
                f"{', '.join(map(repr, patterns))}; end with '.*' to take what is left"
            )
    for pattern in patterns:
        if pattern not in labels.values():
            raise InputError(f"each leaf that {pattern!r} matches goes to a pattern ahead of it; put {pattern!r} first")
    return labels


def _only(whole: PyTree, labels: Mapping[str, str], pattern: str) -> PyTree:
    """The tree with the leaves of one group; the others are empty nodes, which `jax.tree.map` passes by."""
    return tree.map_named(lambda name, leaf: leaf if labels.get(name) == pattern else optax.MaskedNode(), whole)


def _filled(whole: PyTree, part: PyTree) -> PyTree:
    """The tree with a group's leaves in their places."""

    def is_empty(node: PyTree) -> bool:
        return isinstance(node, optax.MaskedNode)

    return jax.tree.map(lambda mine, leaf: leaf if is_empty(mine) else mine, part, whole, is_leaf=is_empty)
