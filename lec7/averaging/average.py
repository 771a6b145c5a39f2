"""How a rule for averaging becomes a gradient transformation that goes last in a chain."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike

from lec7.errors import InputError
from lec7.ranges import WHOLE_FROM_ONE, check
from lec7.typing import Params, PyTree, is_traced

Kept = TypeVar("Kept")
"""What a rule keeps."""

Rule = tuple[Callable[[Params], Kept], Callable[[Kept, Params, jax.Array], Kept]]
"""How it begins, and how it goes on: `init` and `observe` of `average`."""


class Due(NamedTuple):
    """Which steps are looked at, as numbers of steps taken, the step at hand included.

    Attributes:
        first: the first of them, int32 of shape ().
        later: from a number, not below that, to whether it is one of them.
    """

    first: int | jax.Array
    later: Callable[[jax.Array], jax.Array]


@runtime_checkable
class Average(Protocol):
    """What a rule keeps where it is an average: arrays that tell the parameters to evaluate with."""

    def averaged(self, params: Params) -> Params:
        """The average, shaped and typed as `params`; `params` themselves where nothing was averaged yet."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AverageState:
    """The state of an average.

    Attributes:
        t: steps seen, int32 [].
        first: the first one that is looked at, int32 [].
        kept: what the rule keeps.
        name: the average's.
    """

    has_own_dtype = True  # `optim.mixed_precision` leaves it alone
    t: jax.Array
    first: jax.Array
    kept: Any
    name: str = field(metadata={"static": True})


def average(
    name: str,
    init: Callable[[Params], Kept],
    observe: Callable[[Kept, Params, jax.Array], Kept],
    due: Due | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation that leaves updates as they are and lets a rule see the parameters after them.

    Args:
        name: what the average is called in `averaged_params`, in logs and in messages.
        init: from the parameters to what the rule keeps; a pytree with a method `averaged` is found by
            `averaged_params`, see `Average`.
        observe: from what is kept, the parameters after the update, and the number of steps taken, this one
            included, to what is kept.
        due: which steps are looked at, see `Due`; by default all.

    Raises:
        InputError: the name is empty, or has a slash in it.

    >>> from typing import NamedTuple
    >>> from lec7 import averaging
    >>> class Largest(NamedTuple):
    ...     most: jax.Array
    ...     def averaged(self, params):
    ...         return self.most
    >>> tx = average("largest", Largest, lambda kept, x, t: Largest(jnp.maximum(kept.most, x)))
    >>> state = tx.init(jnp.array(1.0))
    >>> _, state = tx.update(jnp.array(-3.0), state, jnp.array(1.0))
    >>> float(averaging.averaged_params(state, jnp.array(-2.0)))
    1.0
    """
    if not name or "/" in name:
        raise InputError(f"name is {name!r}, expected one without a slash, which in figures ends it: test_{name}/loss")

    def start(params: Params) -> Any:
        first = jnp.array(1 if due is None else due.first, jnp.int32)
        return AverageState(jnp.zeros((), jnp.int32), first, init(params), name)

    def update(
        updates: PyTree, state: AverageState | Any, params: Params | None = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        if params is None:
            raise InputError(f"{name} averages parameters: call update(updates, state, params)")
        t = state.t + 1
        # Outside of the condition, where it is the very sum that the step makes, rounding included.
        new = optax.apply_updates(params, updates)

        def seen():
            return observe(state.kept, new, t)

        if due is None:
            return updates, replace(state, t=t, kept=seen())
        looked_at = (t >= state.first) & due.later(t)
        return updates, replace(state, t=t, kept=lax.cond(looked_at, seen, lambda: state.kept))

    return optax.GradientTransformationExtraArgs(start, update)


def check_single(state: AverageState) -> None:
    """Refuses the state of many runs, where what is told of it is read from the device."""
    if state.t.ndim:
        raise InputError(
            f"the average {state.name!r} is one of members, along an axis of {state.t.shape[0]}, expected that of one "
            "run; take one's: jax.tree.map(lambda x: x[i], (opt_state, params))"
        )


def interval(name: str, given: int | jax.Array, meaning: str) -> jax.Array:
    """A number of steps, as an int32 array of shape ().

    Raises:
        InputError: it is no single number, or it is known and no whole one of at least 1.
    """
    check(name, given, WHOLE_FROM_ONE, meaning)
    return jnp.asarray(given, jnp.int32)


def every_so_often(every: int | jax.Array) -> Due | None:
    """The steps that are multiples of `every`; None, which is all of them, where that is known to be 1."""
    steps = interval("every", every, "the number of steps from one that is averaged to the next")
    return None if not is_traced(every) and every == 1 else Due(steps, lambda t: t % steps == 0)


def check_dtype(dtype: DTypeLike | None) -> None:
    """Refuses to keep an average in what has no fractions."""
    if dtype is not None and not jnp.issubdtype(dtype, jnp.inexact):
        raise InputError(
            f"dtype is {jnp.dtype(dtype)}, expected a floating one such as jnp.float32; None is the default's"
        )


def where_kept(
    of_leaf: Callable[..., jax.Array],
    kept: PyTree,
    params: Params,
    others: Callable[[jax.Array], jax.Array] = lambda x: x,
) -> Params:
    """`of_leaf(kept, x)` for each leaf that is kept, in the parameter's dtype; `others(x)` for those of others."""

    def is_others(node: PyTree) -> bool:
        return isinstance(node, optax.MaskedNode)

    def one(kept: jax.Array | optax.MaskedNode, x: jax.Array) -> jax.Array:
        return others(x) if is_others(kept) else of_leaf(kept, x).astype(x.dtype)

    return jax.tree.map(one, kept, params, is_leaf=is_others)
