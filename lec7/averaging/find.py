"""Averages and snapshots in an optimizer's state, wherever they sit in it."""

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import optax

from lec7 import tree
from lec7.averaging.average import Average, AverageState, check_single
from lec7.averaging.rings import Snapshots
from lec7.errors import InputError, nearest
from lec7.typing import Params, PyTree


def averaged_params(opt_state: PyTree, params: Params, name: str | None = None) -> Params:
    """The parameters to evaluate with: the average that a transform keeps somewhere in `opt_state`.

    Averages of one name in several members of `groups` are one, each of its own leaves; leaves that none of them has
    are as they are.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.
        params: the parameters as they are now.
        name: which average, where there are several.

    Raises:
        InputError: there is no average, or several and no name, or none of that name; or it stands where it can't count
            right, see `names`.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> tx = optax.chain(optax.sgd(0.1), averaging.ema(0.9, name="fast"), averaging.ema(0.999, name="slow"))
    >>> x = jnp.array(1.0)
    >>> float(averaged_params(tx.init(x), x, "slow"))
    1.0
    >>> averaged_params(tx.init(x), x)
    Traceback (most recent call last):
    lec7.errors.InputError: the optimizer state holds 2 averages of the parameters, expected one; say which: 'fast', ...
    """
    known = names(opt_state)
    if not known:
        what = "end the chain with one of lec7.averaging, as in optax.chain(optimizer, averaging.ema(0.999))"
        if snapshots_in(opt_state):
            what = f"snapshots are no average, averaging.snapshot_members gives them; for an average {what}"
        wanted = "one" if name is None else repr(name)
        raise InputError(f"the optimizer state holds 0 averages of the parameters, expected {wanted}; {what}")
    if name is None and len(known) != 1:
        which = ", ".join(map(repr, known))
        raise InputError(
            f"the optimizer state holds {len(known)} averages of the parameters, expected one; say which: {which}"
        )
    if name is not None and name not in known:
        raise InputError(f"the optimizer state holds no average {name!r}{nearest(name, known)}; it has {known}")
    return averages(opt_state, params)[name or known[0]]


def averages(opt_state: PyTree, params: Params) -> dict[str, Params]:
    """All averages of the parameters by name, in the order of the optimizer's state; empty where there are none.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.
        params: the parameters as they are now.

    Returns:
        Averages, shaped as the parameters; of one that has not begun the parameters themselves.

    Raises:
        InputError: two averages of one name have a leaf in common; or see `names`.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> x = jnp.array(1.0)
    >>> {name: float(mean) for name, mean in averages(averaging.ema(0.9).init(x), x).items()}
    {'ema': 1.0}
    """
    found: dict[str, Params] = {}
    for state in _states(opt_state, Average):
        mine = state.kept.averaged(params)
        found[state.name] = _joined(state.name, params, found[state.name], mine) if state.name in found else mine
    return found


def names(opt_state: PyTree) -> list[str]:
    """The names of all averages in an optimizer's state, in order.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    Raises:
        InputError: an average stands behind a transform that holds steps back (`optim.accumulate`,
            `optim.skip_nonfinite`, `optax.MultiSteps`, ...) in one chain, where it can't know of the steps that don't
            count, and belongs inside; or ahead of one that changes the updates which it has seen: it belongs last.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> names(optax.chain(optax.sgd(0.1), averaging.ema(0.9), averaging.lawa(3)).init(jnp.array(1.0)))
    ['ema', 'lawa']
    """
    return list(dict.fromkeys(state.name for state in _states(opt_state, Average)))


def begun(opt_state: PyTree, more: int = 0) -> dict[str, bool]:
    """Which averages, and snapshots, have looked at parameters by now, or will have after more steps, by name.

    What has not stands for nothing yet: `averaged_params` are the parameters themselves. Of many runs an average has
    begun if it has in each, and snapshots if they have in one. It is read from the device.

    Args:
        opt_state: state of an optimizer, chained and nested in any way, of one run or of many along an axis.
        more: a number of steps, of which none is held back.

    Raises:
        InputError: see `names`.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> state = optax.chain(averaging.ema(0.9), averaging.swa(100), averaging.snapshots(3, 500)).init(jnp.array(1.0))
    >>> begun(state), begun(state, more=100)
    ({'ema': False, 'swa': False, 'snapshots': False}, {'ema': True, 'swa': True, 'snapshots': False})
    """
    of_runs = {
        state.name: np.any if isinstance(state.kept, Snapshots) else np.all for state in _states(opt_state, object)
    }
    found = jax.device_get(begun_arrays(opt_state, more))
    return {name: bool(has(found[name])) for name, has in of_runs.items()}


def begun_arrays(opt_state: PyTree, more: int = 0) -> dict[str, jax.Array]:
    """`begun` as arrays of bool, on the device: for each run of those along an axis; traceable.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.
        more: steps from now, as of `begun`.

    Returns:
        Arrays by name, bool [] or [runs].

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> begun_arrays(averaging.ema(0.9).init(jnp.array(1.0)))
    {'ema': Array(False, dtype=bool)}
    """
    found: dict[str, Any] = {}
    for state in _states(opt_state, object):
        found[state.name] = found.get(state.name, False) | (state.t + more >= state.first)
    return found


def snapshots_in(opt_state: PyTree) -> Snapshots | None:
    """What `snapshots` keeps in an optimizer's state; None where there is none.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    Raises:
        InputError: there are several; or see `names`.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> snapshots_in(averaging.ema(0.9).init(jnp.array(1.0))) is None
    True
    """
    found = _states(opt_state, Snapshots)
    if len(found) > 1:
        raise InputError(
            f"the optimizer state holds {len(found)} transforms that take snapshots, expected one; put a single "
            "averaging.snapshots(k, period) at the end of the chain, behind optim.groups where there are groups"
        )
    return found[0].kept if found else None


def snapshot_members(opt_state: PyTree, params: Params) -> Params:
    """The snapshots taken so far, stacked in the order of time: members of an ensemble, on the device.

    The number of them is read from the device, so that this can't be traced; `snapshots_in(...).members` can.

    Args:
        opt_state: state of an optimizer with `snapshots` somewhere in it.
        params: the parameters as they are now.

    Returns:
        Parameters with a leading axis of members.

    Raises:
        InputError: there is no such transform, or no cycle has ended yet; or the state is that of several runs.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> tx = averaging.snapshots(k=2, period=1)
    >>> x = jnp.array(1.0)
    >>> _, state = tx.update(jnp.array(0.5), tx.init(x), x)
    >>> snapshot_members(state, x).tolist()
    [1.5]
    """
    found = snapshots_in(opt_state)
    for state in _states(opt_state, Snapshots):
        check_single(state)
    if found is None:
        raise InputError(
            "the optimizer state holds no snapshots; end the chain with averaging.snapshots(k, period), "
            "where period is that of schedules.cyclic_cosine"
        )
    if not int(found.n):
        raise InputError("no snapshot is taken yet: the first cycle has not ended; train until it has")
    return jax.tree.map(lambda x: x[: int(found.n)], found.members(params))


class Vacant(NamedTuple):
    """The place of an average that was taken out."""


def take_out(opt_state: PyTree) -> tuple[PyTree, list[AverageState]]:
    """The optimizer's state with averages and snapshots taken out, and these, in order.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    Returns:
        The state with a placeholder for each average, and the averages.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> rest, taken = take_out(optax.chain(optax.identity(), averaging.ema(0.9)).init(jnp.array(1.0)))
    >>> rest, [state.name for state in taken]
    ((EmptyState(), Vacant()), ['ema'])
    """
    rest = jax.tree.map(lambda node: Vacant() if _is_average(node) else node, opt_state, is_leaf=_is_average)
    return rest, tree.nodes(opt_state, AverageState)


def put_in(opt_state: PyTree, averages: Sequence[AverageState]) -> PyTree:
    """The optimizer's state with these averages in the places of those that `take_out` took.

    Args:
        opt_state: with placeholders, as of `take_out`.
        averages: as many as there are placeholders, in order.

    >>> import jax.numpy as jnp
    >>> from lec7 import averaging
    >>> state = optax.chain(optax.identity(), averaging.ema(0.9)).init(jnp.array(1.0))
    >>> put_in(*take_out(state)) == state
    True
    """
    left = iter(averages)

    def is_vacant(node: PyTree) -> bool:
        return isinstance(node, Vacant)

    return jax.tree.map(lambda node: next(left) if is_vacant(node) else node, opt_state, is_leaf=is_vacant)


def _states(opt_state: PyTree, kind: Any) -> list[AverageState]:
    """The states of those averages that keep what is of a kind, in order."""
    _check_places(opt_state)
    _check_last(opt_state)
    return [state for state in tree.nodes(opt_state, AverageState) if isinstance(state.kept, kind)]


def _is_average(node: Any) -> bool:
    return isinstance(node, AverageState)


def _joined(name: str, params: Params, one: Params, other: Params) -> Params:
    """An average of some leaves and one of others, as one; the leaves that neither has are those of `params`."""

    def join(path: str, x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        if a is not x and b is not x:
            raise InputError(
                f"the optimizer state holds two averages {name!r} of {path!r}; give one another name, as in "
                "averaging.ema(0.999, name='slow')"
            )
        return b if a is x else a

    return tree.map_named(join, params, one, other)


@runtime_checkable
class HoldingBack(Protocol):
    """The state of a transform that may hold steps back, such as that of `optim.accumulate`."""

    holds_back_steps: bool


HOLDING_BACK: Any = (HoldingBack, optax.MultiStepsState, optax.ApplyIfFiniteState)


def _check_places(node: PyTree, chain: bool = True) -> None:
    """Refuses averages beside a transform that holds steps back, or ahead of one, in one chain, named or not."""
    if isinstance(node, AverageState):
        return
    parts = tree.children(node)
    if chain and _is_chain(node):
        for part, other in itertools.permutations(parts, 2):
            if (holding := tree.nodes(part, HOLDING_BACK)) and (states := tree.nodes(other, AverageState)):
                holder = type(holding[0]).__name__.removesuffix("State")
                raise InputError(
                    f"the average {states[0].name!r} stands in a chain with {holder}, where it would count steps that "
                    "are held back; put it inside: optim.accumulate(optax.chain(optimizer, averaging.ema(0.999)), k)"
                )
    for part in parts:
        _check_places(part, chain=not getattr(node, "beside_each_other", False))


def _check_last(node: PyTree, seen: str | None = None, chain: bool = True) -> str | None:
    """The average that has seen the updates once they are through; refuses what would change them after that.

    Args:
        node: the state of a transform.
        seen: the average that has seen the updates on their way to it.
        chain: whether a tuple is that of a chain.
    """
    if isinstance(node, AverageState):
        return node.name
    if chain and _is_chain(node):
        for part in tree.children(node):
            seen = _check_last(part, seen)
        return seen
    inside = [part for part in tree.children(node) if tree.nodes(part, AverageState)]
    if seen is not None and not inside:
        raise InputError(
            f"the average {seen!r} stands in a chain ahead of a transform ({type(node).__name__}), which may change "
            "the updates that it has seen; put it last: optax.chain(optimizer, averaging.ema(0.999))"
        )
    beside = getattr(node, "beside_each_other", False)
    return next(filter(None, [_check_last(part, seen, chain=not beside) for part in inside]), None)


def _is_chain(node: PyTree) -> bool:
    return type(node) in (tuple, OrderedDict)
