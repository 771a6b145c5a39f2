"""The step downhill, and the rates in force."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7.optim.groups import GroupsState
from lec7.optim.leafwise import each
from lec7.ranges import NOT_NEGATIVE, check
from lec7.typing import Params, PyTree, Scalar, Schedule


class LearningRateState(NamedTuple):
    """Steps taken (int32 array of shape ()), and the rate of the latest one (of the first one, before it)."""

    t: jax.Array
    learning_rate: jax.Array


def scale_by_learning_rate(learning_rate: Scalar | Schedule) -> optax.GradientTransformationExtraArgs:
    """The step downhill: `-a * g`, where `a` is a number or a schedule's value.

    The rate in force is kept in the state, for the logs; its type is the same for numbers and schedules.

    Source: lecture 7, "SGD": `x -= learning_rate * dx`.

    Args:
        learning_rate: `a`; a schedule gets the number of steps taken, from 0.

    Raises:
        InputError: the learning rate is a number that is known and negative or not finite.

    >>> import jax.numpy as jnp
    >>> tx = scale_by_learning_rate(lambda step: 0.5 ** step)
    >>> g = jnp.array(1.0)
    >>> update, state = tx.update(g, tx.init(g))
    >>> update, state = tx.update(g, state)
    >>> float(update), float(state.learning_rate)
    (-0.5, 0.5)
    """
    if not callable(learning_rate):
        check("learning_rate", learning_rate, NOT_NEGATIVE, "how far a step goes; uphill goes a loss of the other sign")

    def rate(t: jax.Array) -> jax.Array:
        return jnp.asarray(learning_rate(t) if callable(learning_rate) else learning_rate, float)

    def init(params: Params) -> LearningRateState:
        t = jnp.zeros((), jnp.int32)
        return LearningRateState(t, rate(t))

    def update(updates: PyTree, state: LearningRateState | Any, params: Params | None = None, **extra: Any):
        a = rate(state.t)
        return each(lambda g: -a * g, updates), LearningRateState(state.t + 1, a)

    return optax.GradientTransformationExtraArgs(init, update)


def learning_rates(opt_state: PyTree) -> dict[str, jax.Array]:
    """The rates in force, by name: for each `scale_by_learning_rate` in an optimizer's state.

    A single one is called `"learning_rate"`; one in a member of `groups` has the member's pattern behind it; further
    ones of the same name are numbered.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    Returns:
        Arrays of shape () by name, or [lanes].

    >>> import jax.numpy as jnp
    >>> state = scale_by_learning_rate(0.5).init(jnp.array(0.0))
    >>> {name: float(rate) for name, rate in learning_rates((optax.EmptyState(), state)).items()}
    {'learning_rate': 0.5}
    """
    rates: dict[str, jax.Array] = {}
    for name, rate in _rates(opt_state, "learning_rate"):
        number = sum(known.partition("#")[0] == name for known in rates)
        rates[f"{name}#{number + 1}" if number else name] = rate
    return rates


def _rates(opt_state: PyTree, name: str) -> Iterator[tuple[str, jax.Array]]:
    def is_known(node: PyTree) -> bool:
        return isinstance(node, LearningRateState | GroupsState)

    for node in jax.tree.leaves(opt_state, is_leaf=is_known):
        if isinstance(node, LearningRateState):
            yield name, node.learning_rate
        elif isinstance(node, GroupsState):
            for pattern, inner in node.members.items():
                yield from _rates(inner, f"{name}/{pattern}")
