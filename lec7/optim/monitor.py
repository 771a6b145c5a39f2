"""What a researcher looks at while training: norms of gradients, updates and parameters, by groups of leaves."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lec7 import tree
from lec7.errors import InputError
from lec7.optim.apply import Applying, apply_gradients
from lec7.optim.finite import SkipState
from lec7.optim.leafwise import square, zeros
from lec7.optim.second_order import Found
from lec7.schedules import PlateauState
from lec7.typing import Params, PyTree, wide


class MonitorState(NamedTuple):
    """The figures of the latest step by name, float32 arrays of shape (), and the inner state."""

    figures: dict[str, jax.Array]
    inner: PyTree


def monitor(tx: optax.GradientTransformation, groups: Mapping[str, str] | None = None) -> Applying:
    """`tx` as it is, and the L2 norms of what goes in and comes out.

        gradient_norm    |g|, as the gradients come in
        update_norm      |u|, as the updates go out
        parameter_norm   |x|, of the parameters that the step starts from
        update_ratio     |u| / |x|; around 1e-3 for a healthy learning rate, and 0 where x is all zeros

    A group has the same figures under its name: `"gradient_norm/head"`. Before the first step gradients and
    updates count as zeros. Inside of `accumulate` the figures are those of whole steps, around it those of
    micro-batches. Squares are summed in float32 or wider.

    Source: lecture 6 of the same course, "Babysitting the Learning Process", for the ratio.

    Args:
        tx: any Optax transformation.
        groups: regular expressions over whole leaf paths by the group's name, see `lec7.tree.select`.

    Raises:
        InputError: from `init` where a pattern matches no leaf; from `update` without parameters.

    >>> tx = monitor(optax.sgd(0.5), groups={"head": "head/.*"})
    >>> x = {"head": {"kernel": jnp.array([3.0, 4.0])}, "stem": {"kernel": jnp.array([12.0])}}
    >>> _, state = tx.update(x, tx.init(x), x)
    >>> figures = diagnostics(state)
    >>> float(figures["gradient_norm"]), float(figures["update_norm"]), float(figures["update_norm/head"])
    (13.0, 6.5, 2.5)
    """
    patterns = dict(groups or {})
    tx = optax.with_extra_args_support(tx)

    def measure(grads: PyTree, updates: PyTree, params: Params) -> dict[str, jax.Array]:
        members = {"": jax.tree.map(lambda _: True, params)}
        members |= {f"/{name}": tree.select(params, pattern) for name, pattern in patterns.items()}
        g, u, x = (jax.tree.map(_square, values) for values in (grads, updates, params))
        figures: dict[str, jax.Array] = {}
        for group, member in members.items():
            gradient, update, parameter = (_norm(squares, member) for squares in (g, u, x))
            figures |= {
                f"gradient_norm{group}": gradient,
                f"update_norm{group}": update,
                f"parameter_norm{group}": parameter,
                f"update_ratio{group}": jnp.where(parameter > 0, update / jnp.where(parameter > 0, parameter, 1), 0),
            }
        return figures

    def init(params: Params) -> MonitorState:
        nothing = zeros(params)
        return MonitorState(measure(nothing, nothing, params), tx.init(params))

    def update(grads: PyTree, state: MonitorState, params: Params | None = None, **extra: Any):
        if params is None:
            raise InputError("monitor measures parameters: call update(grads, state, params)")
        updates, inner = tx.update(grads, state.inner, params, **extra)
        return updates, MonitorState(measure(grads, updates, params), inner)

    def apply(grads: PyTree, state: MonitorState, params: Params, **extra: Any):
        if isinstance(tx, Applying):
            new, inner = apply_gradients(tx, grads, state.inner, params, **extra)
            updates = jax.tree.map(lambda new, x: new.astype(wide(x.dtype)) - x.astype(wide(x.dtype)), new, params)
        else:
            # Not the difference of the parameters: it has lost what is smaller than their last bit.
            updates, inner = tx.update(grads, state.inner, params, **extra)
            new = optax.apply_updates(params, updates)
        return new, MonitorState(measure(grads, updates, params), inner)

    return Applying(init, update, apply)


def diagnostics(opt_state: PyTree) -> dict[str, jax.Array]:
    """The figures of every `monitor` in an optimizer's state, and what other transforms of lec7 have to tell.

    `skip_nonfinite` has `"skipped"`, steps in all, and `"skipped_in_row"`, up to now; `schedules.reduce_on_plateau` has
    `"plateau_scale"`, which the learning rates in force do not contain. The optimizers of second order have
    `"step_size"`, the length of the latest step in lengths of its direction, the `"evaluations"` that it took to find,
    and `"failed_searches"`, those in a row, up to now.

    Args:
        opt_state: state of an optimizer, chained and nested in any way.

    Returns:
        Arrays of shape () by name; where there are several of a kind, their names end in `/0`, `/1`, ...,
        an outer one before those inside of it. Empty where there are none.

    >>> from lec7 import optim
    >>> sorted(diagnostics(optim.skip_nonfinite(optax.sgd(0.1), limit=5).init(jnp.ones(2))))
    ['skipped', 'skipped_in_row']
    """
    return (
        _numbered([state.figures for state in tree.nodes(opt_state, MonitorState)])
        | _numbered([{"skipped": s.total, "skipped_in_row": s.in_row} for s in tree.nodes(opt_state, SkipState)])
        | _numbered([{"plateau_scale": state.scale} for state in tree.nodes(opt_state, PlateauState)])
        | _numbered([_of_search(found) for found in tree.nodes(opt_state, Found)])
    )


def _of_search(found: Found) -> dict[str, jax.Array]:
    return {"step_size": found.step_size, "evaluations": found.evaluations, "failed_searches": found.failures}


def _numbered(dicts: list[dict[str, jax.Array]]) -> dict[str, jax.Array]:
    if len(dicts) == 1:
        return dicts[0]
    return {f"{name}/{i}": value for i, figures in enumerate(dicts) for name, value in figures.items()}


def _square(x: jax.Array) -> jax.Array:
    return jnp.sum(square(x.astype(wide(x.dtype))))


def _norm(squares: PyTree, member: PyTree) -> jax.Array:
    """The root of the sum of the members' squares, float32 []."""
    chosen = [square for square, inside in zip(*map(jax.tree.leaves, (squares, member)), strict=True) if inside]
    return jnp.sqrt(sum(chosen, start=jnp.zeros(()))).astype(jnp.float32)
