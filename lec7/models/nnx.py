"""A model from a Flax NNX module."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lec7 import random, replicas
from lec7.models.contract import Init, Model, ModelState, Variables, call_arguments
from lec7.regularize import Hyperparameter
from lec7.typing import Key

_KINDS = (nnx.Param, Hyperparameter, nnx.RngState, ...)
"""What a module's variables are to a `Model`: parameters, hyperparameters, random state and state."""

_State = nnx.State[Any, Any]
"""A module's variables of one of these kinds."""


def from_nnx(build: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """A `Model` from a function that builds an NNX module.

    The module is called as `module(inputs)`, after `module.train()` or `module.eval()`, and with `key`,
    `train` or `deterministic` where its `__call__` takes one. In testing with a key, layers that have an attribute
    `deterministic` (dropout's) are in training, and the others in testing. Modules that hold `nnx.Rngs` (as
    `nnx.Dropout` does) draw from the key of each call as well: nothing keeps a mutable generator. Under `train.pmap`
    `nnx.BatchNorm` takes its statistics over all replicas.

    Args:
        build: makes the module; may close over traced numbers, when the layers keep them in
            `regularize.Hyperparameter` variables.

    >>> import jax, jax.numpy as jnp
    >>> model = from_nnx(lambda rngs: nnx.Linear(4, 10, rngs=rngs))
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> sorted(variables.params)
    ['bias', 'kernel']
    >>> outputs, state = model.apply(variables, jnp.zeros((8, 4)), train=False)
    >>> outputs.shape
    (8, 10)
    """

    def init(key: Key, inputs: Any) -> Variables:
        return variables_of(build(nnx.Rngs(key)))

    return from_outline(_outline(build), init)


def from_outline(outline: nnx.Module, init: Init) -> Model:
    """A `Model` from the outline of an NNX module, which has shapes in place of arrays; `Model.outline` is one.

    Surgery edits a copy of it: nothing is built anew, and nothing is computed.

    Args:
        outline: parameters, statistics and random state are `ShapeDtypeStruct`s, hyperparameters have their values.
        init: makes the variables.

    >>> model = from_nnx(lambda rngs: nnx.Linear(4, 10, rngs=rngs))
    >>> outline = nnx.clone(model.outline)
    >>> outline.kernel.shape
    (4, 10)
    >>> outline.dtype = jnp.bfloat16
    >>> half = from_outline(outline, model.init)
    >>> variables = half.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> half.apply(variables, jnp.zeros((8, 4)), train=False)[0].dtype
    dtype(bfloat16)
    """
    _, params_like, hyperparameters, rngs_like, state_like = nnx.split(outline, *_KINDS)

    @functools.cache
    def structure(train: bool, noisy: bool, replicated: bool) -> nnx.GraphDef[nnx.Module]:
        module = nnx.clone(outline)
        module.train() if train else module.eval()
        if noisy:
            module.set_attributes(deterministic=False, raise_if_not_found=False)
        if replicated:
            module.set_attributes(nnx.BatchNorm, axis_name=replicas.AXIS, raise_if_not_found=False)
        return nnx.graphdef(module)

    def apply(variables: Variables, inputs: Any, *, train: bool, key: Key | None = None) -> tuple[Any, ModelState]:
        module = nnx.merge(
            structure(train, noisy=not train and key is not None, replicated=replicas.are_there()),
            _from_dict(params_like, variables.params),
            hyperparameters,
            _seeded(rngs_like, key),
            _from_dict(state_like, variables.state),
        )
        outputs = module(inputs, **call_arguments(type(module).__call__, train=train, key=key))
        return outputs, variables_of(module).state if train else variables.state

    return Model(init, apply, outline)


def variables_of(module: nnx.Module) -> Variables:
    """The variables of a module: arrays, or those of an outline, which are shapes.

    Args:
        module: or the outline of one, as `from_nnx(...).outline`.

    >>> variables_of(from_nnx(lambda rngs: nnx.Linear(4, 10, rngs=rngs)).outline).params["bias"]
    ShapeDtypeStruct(shape=(10,), dtype=float32)
    """
    _, params, _, _, state = nnx.split(module, *_KINDS)
    return Variables(_to_dict(params), _to_dict(state))


def _outline(build: Callable[[nnx.Rngs], nnx.Module]) -> nnx.Module:
    """The module without arrays, of one trace, in which nothing but hyperparameters is computed."""
    traced: dict[str, Any] = {}

    def look() -> Any:
        traced["kind"], params, hyperparameters, rngs, state = nnx.split(build(nnx.Rngs(0)), *_KINDS)
        traced["shapes"] = jax.eval_shape(lambda: (params, rngs, state))
        return hyperparameters

    hyperparameters = jax.jit(look)()
    return nnx.merge(traced["kind"], hyperparameters, *traced["shapes"])


def _to_dict(state: _State) -> dict[str, Any]:
    """Plain nested dicts with text keys: the blocks of a list are "0", "1", ..."""

    def texts(node: Any) -> Any:
        return {str(key): texts(value) for key, value in node.items()} if isinstance(node, dict) else node

    return texts(nnx.to_pure_dict(state))


def _from_dict(like: _State, values: Mapping[str, Any]) -> _State:
    """The NNX state shaped as `like` that holds the arrays of nested dicts."""
    state = jax.tree.map(lambda leaf: leaf, like)
    nnx.replace_by_pure_dict(state, dict(values))
    return state


def _seeded(like: _State, key: Key | None) -> _State:
    """The random state of a module: each generator at its start, with a key of its own path's name."""
    if not jax.tree.leaves(like):
        return like
    base = jax.random.key(0) if key is None else key

    def seed(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return random.stream(base, jax.tree_util.keystr(path, simple=True, separator="/"))
        return jnp.zeros(leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(seed, like)
