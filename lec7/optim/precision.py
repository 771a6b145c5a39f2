"""Parameters in bfloat16 (or float16) with a master copy in float32."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from lec7 import random, tree
from lec7.errors import InputError
from lec7.optim.apply import Applying, apply_gradients
from lec7.typing import Key, Params, PyTree, ValueFn, wide


class PrecisionState(NamedTuple):
    """Steps taken (int32 []), the key of the rounding, the master copy in float32 or wider, the inner state.

    The key is there whether or not rounding is stochastic, so that the state has one type.
    """

    t: jax.Array
    key: Key
    master: PyTree
    inner: PyTree


def cast(params: Params, dtype: DTypeLike) -> Params:
    """The tree with its floating leaves in `dtype`, in memory of their own; other leaves as they are.

    Args:
        params: any pytree.
        dtype: such as `jnp.bfloat16`.

    Returns:
        A tree of the same shapes.

    >>> cast({"w": jnp.ones(2), "n": jnp.array(3)}, jnp.bfloat16)["w"].dtype
    dtype(bfloat16)
    """
    return jax.tree.map(lambda x: jnp.array(x, dtype) if _is_floating(x) else x, params)


def mixed_precision(
    tx: optax.GradientTransformation,
    params: DTypeLike = jnp.bfloat16,
    state: DTypeLike = jnp.float32,
    key: Key | None = None,
) -> Applying:
    """`tx` on a float32 master copy of parameters that the model holds in `params`.

    A step adds to the master what the parameters are too coarse for, and rounds: in bfloat16, which has 8
    bits, 1 - 0.001 is 1. The master is what trains: parameters changed from outside come back at the next step.

    `tx` sees gradients and parameters in float32, so that an average inside of it is one of the master; a
    `grad` among the extra arguments is widened too, and a `value_fn` rounds what it is called with. Cast the
    parameters with `cast(params, jnp.bfloat16)` before `init`. The updates of `update` are in float32, since
    the difference of two bfloat16 is none, and give the rounded master once they are added; through
    `apply_gradients` the parameters are the rounded master without that detour.

    Source: Micikevicius et al., "Mixed Precision Training", 2018; for stochastic rounding, Gupta et al.,
    "Deep Learning with Limited Numerical Precision", 2015.

    Args:
        tx: any Optax transformation.
        params: dtype of the model's floating parameters.
        state: dtype in which the inner state's floating arrays that have the shape of a parameter are kept;
            scalars stay as they are, averages (`lec7.averaging`) are in the dtype that they were made with, and `tx`
            computes in its own dtype. Beware of bfloat16 for a second moment
            of `b2 = 0.999`: a step changes it by less than its last bit.
        key: rounds the master stochastically, up or down with an expected value of the master itself, where
            given; to nearest otherwise.

    Raises:
        InputError: a dtype is not floating; `init` gets a floating parameter of another dtype than `params`;
            or `update` gets no parameters.

    >>> tx = mixed_precision(optax.sgd(1e-3))
    >>> x = jnp.ones((), jnp.bfloat16)
    >>> state = tx.init(x)
    >>> for _ in range(100):
    ...     x, state = apply_gradients(tx, jnp.ones_like(x), state, x)
    >>> float(x), round(float(state.master), 4)
    (0.8984375, 0.9)
    """
    low, kept = jnp.dtype(params), jnp.dtype(state)
    for name, dtype in {"params": low, "state": kept}.items():
        if not jnp.issubdtype(dtype, jnp.floating):
            raise InputError(f"{name} is {dtype}, expected a floating dtype such as jnp.bfloat16")
    full = wide(low)
    tx = optax.with_extra_args_support(tx)

    def init(params: Params) -> PrecisionState:
        for name, x in tree.named(params).items():
            if _is_floating(x) and x.dtype != low:
                raise InputError(
                    f"parameter {name!r} is {x.dtype}, expected {low}: give init and the model "
                    f"precision.cast(params, jnp.{low}), or say mixed_precision(tx, params=jnp.{x.dtype})"
                )
        master = cast(params, full)
        rounding = jax.random.key(0) if key is None else key
        return PrecisionState(jnp.zeros((), jnp.int32), rounding, master, _stored(tx.init(master), master, kept))

    def load(inner: PyTree, master: PyTree) -> PyTree:
        """The inner state as `tx` made it."""
        own = jax.eval_shape(tx.init, master)
        return jax.tree.map(lambda x, like: x if x.dtype == like.dtype else x.astype(like.dtype), inner, own)

    def rounded(state: PrecisionState) -> Params:
        if key is None:
            return cast(state.master, low)

        def stochastic(name: str, x: jax.Array) -> jax.Array:
            return stochastic_round(random.stream(state.key, name, state.t), x, low) if _is_floating(x) else x

        return tree.map_named(stochastic, state.master)

    def apply(grads: PyTree, state: PrecisionState, params: Params, **extra: Any) -> tuple[Params, PrecisionState]:
        if extra.get("grad") is not None:
            extra = extra | {"grad": cast(extra["grad"], full)}
        if extra.get("value_fn") is not None:
            extra = extra | {"value_fn": _at_rounded(extra["value_fn"], low)}
        inner = load(state.inner, state.master)
        master, inner = apply_gradients(tx, cast(grads, full), inner, state.master, **extra)
        state = PrecisionState(state.t + 1, state.key, master, _stored(inner, master, kept))
        return rounded(state), state

    def update(grads: PyTree, state: PrecisionState, params: Params | None = None, **extra: Any):
        if params is None:
            raise InputError("mixed_precision moves parameters to a rounded copy: call update(grads, state, params)")
        new, state = apply(grads, state, params, **extra)
        # XLA is free to drop the rounding (xla_allow_excess_precision) where it sees both of the conversions.
        new = jax.lax.optimization_barrier(new)
        return jax.tree.map(jnp.subtract, cast(new, full), cast(params, full)), state

    return Applying(init, update, apply)


def _stored(inner: PyTree, master: PyTree, kept: DTypeLike) -> PyTree:
    """The inner state as it is kept: arrays shaped like a parameter in `kept`, but for what has its own dtype."""
    shapes = {x.shape for x in jax.tree.leaves(master)} - {()}

    def one(x: Any) -> Any:
        return x if _has_own_dtype(x) or not _is_floating(x) or x.shape not in shapes else x.astype(kept)

    return jax.tree.map(one, inner, is_leaf=_has_own_dtype)


def stochastic_round(key: Key, x: jax.Array, dtype: DTypeLike) -> jax.Array:
    """One of the two numbers of `dtype` around each x, such that the expected value is x.

        q = spacing of dtype at x
        floor(x / q) * q,  and one q more with probability x / q - floor(x / q)

    Every line is exact in x's own dtype: q is a power of two. Infinities and NaN stay.

    Source: Gupta et al., "Deep Learning with Limited Numerical Precision", 2015, section 3.1.

    Args:
        key: as `jax.random.key` makes it.
        x: floating array.
        dtype: what to round to; the result's dtype.

    >>> x = jnp.full(8, 1 + 1 / 512)  # a quarter of bfloat16's spacing above 1
    >>> sorted(set(stochastic_round(jax.random.key(0), x, jnp.bfloat16).tolist()))
    [1.0, 1.0078125]
    """
    info = jnp.finfo(dtype)
    _, exponent = jnp.frexp(x)  # x = m * 2**exponent, 0.5 <= |m| < 1
    # A spacing below the smallest normal number would be flushed to 0 on some backends.
    least = max(info.minexp - info.nmant, jnp.finfo(x.dtype).minexp)
    q = jnp.ldexp(jnp.ones((), x.dtype), jnp.maximum(exponent - 1 - info.nmant, least))
    floor = jnp.floor(x / q)
    up = jax.random.uniform(random.typed(key), x.shape, x.dtype) < x / q - floor
    return ((floor + up) * q).astype(dtype)


def _at_rounded(value_fn: ValueFn, low: DTypeLike) -> ValueFn:
    """The objective as the model has it, of parameters in float32."""
    return lambda params: value_fn(cast(params, low))


def _has_own_dtype(node: Any) -> bool:
    """Whether a node of a state says that it knows its dtype better, as an average does."""
    return getattr(node, "has_own_dtype", False)


def _is_floating(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)
