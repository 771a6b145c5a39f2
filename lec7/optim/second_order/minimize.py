"""From an objective and a start to a minimum."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lec7 import tree
from lec7.errors import InputError
from lec7.optim.groups import frozen_paths
from lec7.optim.second_order.line_search import Found, Outcome
from lec7.optim.second_order.objective import check_params, once
from lec7.optim.second_order.told import Told
from lec7.optim.second_order.vectors import largest
from lec7.ranges import NOT_NEGATIVE, WHOLE_FROM_ONE, check
from lec7.typing import Params, PyTree, Scalar, ValueFn, is_traced

IDLE = 50
"""Steps along searched lines that may go by without a lower value or a smaller gradient than ever before."""


class Status(Told):
    """Why a solve ended."""

    RUNNING = 0, "It has not ended."
    CONVERGED = 1, "The gradient is as small as was asked for."
    MAX_STEPS = 2, "As many steps were taken as were allowed; allow more, or a larger gradient."
    NO_PROGRESS = (
        3,
        "Steps lower neither the value nor the gradient any more: the value is as low as its rounding lets it be, or "
        "the gradient is not its own; allow a larger gradient, or take parameters in float64.",
    )
    UNBOUNDED = 4, "The value falls without end; add what keeps it from below, such as a penalty on large parameters."
    NOT_FINITE = 5, "The value or the gradient is NaN or infinite; start where they are not, or take smaller steps."


class Result(NamedTuple):
    """Where `minimize` ended: arrays, with a leading axis under `vmap`.

    Attributes:
        params: the parameters.
        value: of the objective there, [].
        grad_norm: magnitude of the largest entry of the gradient there, but for frozen parameters, [].
        steps: updates of the optimizer, int32 [].
        evaluations: of value and gradient together, the one at the start included, int32 [].
        status: why it ended, a `Status`, int32 []: `Status(int(result.status)).sentence` tells it.
        products: of the curvature with a vector, int32 []; a dense Hessian takes one for each parameter.
        opt_state: the optimizer's state, with the averages that it may have.
    """

    params: Params
    value: jax.Array
    grad_norm: jax.Array
    steps: jax.Array
    evaluations: jax.Array
    status: jax.Array
    products: jax.Array
    opt_state: PyTree


class Progress(NamedTuple):
    """What a callback is told after a step: arrays of shape (), and the parameters.

    Attributes:
        step: updates taken.
        value: the objective's.
        grad_norm: of its gradient, the largest entry.
        evaluations: of value and gradient, up to now.
        products: of the curvature with a vector, up to now.
        params: as they are after the step.
    """

    step: jax.Array
    value: jax.Array
    grad_norm: jax.Array
    evaluations: jax.Array
    products: jax.Array
    params: Params


class _Solve(NamedTuple):
    """Where a solve stands.

    The value and the gradient are those at the parameters; `best` are the lowest value and the smallest gradient that
    there were, and `idle` the steps since then.
    """

    params: Params
    value: jax.Array
    grad: PyTree
    opt_state: PyTree
    steps: jax.Array
    evaluations: jax.Array
    products: jax.Array
    best: tuple[jax.Array, jax.Array]
    idle: jax.Array
    status: jax.Array


def minimize(
    value_fn: ValueFn,
    params: Params,
    optimizer: optax.GradientTransformation,
    *,
    rtol: Scalar = 0.0,
    atol: Scalar = 1e-5,
    max_steps: int | jax.Array = 1000,
    callback: Callable[[Progress], Any] | None = None,
) -> Result:
    """Steps of an optimizer until the gradient is small: `max |g| <= atol + rtol max |g at the start|`.

    Parameters that `optim.frozen()` holds have no part in that.

    One compiled loop, in which the objective is traced once. What the optimizer knows of the point that it went to is
    taken over from its state, and evaluated otherwise, as for Adam. It ends as well where no progress can be made, and
    says why. Called again with the same function and optimizer it compiles nothing; inside of `jit` and `vmap` it is
    part of their program. So a function that is called again with other data in it gives the old results: jit a
    function of the data that calls `minimize`.

    Args:
        value_fn: the objective, from parameters to a value of shape ().
        params: where to start, a pytree of floating arrays.
        optimizer: any Optax transformation; those of second order search for the length of a step.
        rtol: the gradient that is small enough, as part of the one at the start.
        atol: the gradient that is small enough.
        max_steps: updates at most.
        callback: is called on the host after each step; under `vmap`, for each lane until all have ended.

    Raises:
        InputError: a parameter is not floating, the value is no single number, a number is out of range, or there is no
            optimizer.

    >>> f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> from lec7 import optim
    >>> result = optim.minimize(f, jnp.array([-1.2, 1.0]), optim.lbfgs())
    >>> result.params.round(2).tolist(), Status(int(result.status)).sentence
    ([1.0, 1.0], 'The gradient is as small as was asked for.')
    """
    params = jax.tree.map(jnp.asarray, params)
    check_params(params)
    check("rtol", rtol, NOT_NEGATIVE, "the gradient that is small enough, as part of the one at the start")
    check("atol", atol, NOT_NEGATIVE, "the gradient that is small enough")
    check("max_steps", max_steps, WHOLE_FROM_ONE, "the number of updates at most")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise InputError(f"the optimizer is {optimizer!r}, expected an Optax transformation such as optim.lbfgs()")
    most = max_steps if is_traced(max_steps) else min(int(max_steps), jnp.iinfo(jnp.int32).max)
    return _compiled(value_fn, optimizer, callback)(params, rtol, atol, most)


@lru_cache(maxsize=32)
def _compiled(
    value_fn: ValueFn, optimizer: optax.GradientTransformation, callback: Callable[[Progress], Any] | None
) -> Callable[..., Result]:
    objective, tx = once(value_fn), optax.with_extra_args_support(optimizer)
    evaluate = jax.value_and_grad(objective)

    def solve(params: Params, rtol: jax.Array, atol: jax.Array, max_steps: jax.Array) -> Result:
        value, grad = evaluate(params)
        opt_state = tx.init(params)
        frozen = frozen_paths(opt_state)

        def size(grad: PyTree) -> jax.Array:
            return largest({name: g for name, g in tree.named(grad).items() if name not in frozen})

        g = size(grad)
        small = atol + rtol * g

        def status(value: jax.Array, g: jax.Array, steps: jax.Array, falling: jax.Array, stuck: jax.Array) -> jax.Array:
            now = jnp.where(steps >= max_steps, Status.MAX_STEPS, Status.RUNNING)
            now = jnp.where(stuck, Status.NO_PROGRESS, now)
            now = jnp.where(falling, Status.UNBOUNDED, now)
            now = jnp.where(g <= small, Status.CONVERGED, now)
            return jnp.where(jnp.isfinite(value) & jnp.isfinite(g), now, Status.NOT_FINITE).astype(jnp.int32)

        def step(s: _Solve) -> _Solve:
            known = {"value": s.value, "grad": s.grad, "value_fn": objective}
            updates, opt_state = tx.update(s.grad, s.opt_state, s.params, **known)
            params, steps = optax.apply_updates(s.params, updates), s.steps + 1
            evaluations, products, falling, stuck = s.evaluations, s.products, s.steps < 0, s.steps < 0
            found = next(iter(tree.nodes(opt_state, Found)), None)
            if found is not None and _is_same(found.step, updates):
                value, grad = found.value.astype(s.value.dtype), found.grad
            else:
                (value, grad), evaluations = evaluate(params), evaluations + 1

            g = size(grad)
            lower = s.best[0] - value > jnp.finfo(value.dtype).eps * jnp.abs(value)
            idle = jnp.where(lower | (g < s.best[1]), 0, s.idle + 1)
            best = jnp.minimum(s.best[0], value), jnp.minimum(s.best[1], g)
            if found is not None:
                evaluations, products = evaluations + found.evaluations, products + found.products
                falling = found.outcome == Outcome.FALLING
                # A step that failed is followed by one down the gradient.
                stuck = (found.failures > 1) | (idle >= IDLE)
            if callback is not None:
                jax.debug.callback(callback, Progress(steps, value, g, evaluations, products, params))
            now = status(value, g, steps, falling, stuck)
            return _Solve(params, value, grad, opt_state, steps, evaluations, products, best, idle, now)

        none = jnp.zeros((), jnp.int32)
        begun = status(value, g, none, none > 0, none > 0)
        start = _Solve(params, value, grad, opt_state, none, none + 1, none, (value, g), none, begun)
        end = lax.while_loop(lambda s: s.status == Status.RUNNING, step, start)
        return Result(
            end.params, end.value, size(end.grad), end.steps, end.evaluations, end.status, end.products, end.opt_state
        )

    return jax.jit(solve)


def _is_same(step: PyTree, updates: PyTree) -> bool:
    """Whether the updates are the very arrays of the step that was searched, and not what a chain made of them."""
    a, b = jax.tree.leaves(step), jax.tree.leaves(updates)
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
