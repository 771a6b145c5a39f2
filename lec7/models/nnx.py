"""A model from a Flax NNX module."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lec7 import random
from lec7.models.contract import Model, Variables, call_arguments
from lec7.regularize import Hyperparameter


def from_nnx(build: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """A `Model` from a function that builds an NNX module.

    The module is called as `module(inputs)`, after `module.train()` or `module.eval()`, and with `key`,
    `train` or `deterministic` where its `__call__` takes one. In testing with a key, layers that have an attribute
    `deterministic` (dropout's) are in training, and the others in testing. Modules that hold `nnx.Rngs` (as
    `nnx.Dropout` does) draw from the key of each call as well: nothing keeps a mutable generator.

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
    filters = (nnx.Param, Hyperparameter, nnx.RngState, ...)
    traced: dict[str, Any] = {}

    def look() -> Any:
        """The hyperparameters' values; beside them, what the module is made of, in one trace."""
        module = build(nnx.Rngs(0))
        module.train()
        traced["training"], params, hyperparameters, rngs, state = nnx.split(module, *filters)
        traced["like"] = jax.eval_shape(lambda: (params, rngs, state))
        module.eval()
        traced["testing"], *_ = nnx.split(module, *filters)
        module.set_attributes(deterministic=False, raise_if_not_found=False)
        traced["noisy"], *_ = nnx.split(module, *filters)
        return hyperparameters

    # Compiled, so that nothing of the module is computed beside them.
    hyperparameters = jax.jit(look)()
    training, testing, noisy = traced["training"], traced["testing"], traced["noisy"]
    params_like, rngs_like, state_like = traced["like"]

    def init(key, inputs):
        module = build(nnx.Rngs(key))
        _, params, _, _, state = nnx.split(module, *filters)
        return Variables(_to_dict(params), _to_dict(state))

    def apply(variables, inputs, *, train, key=None):
        module = nnx.merge(
            training if train else testing if key is None else noisy,
            _from_dict(params_like, variables.params),
            hyperparameters,
            _seeded(rngs_like, key),
            _from_dict(state_like, variables.state),
        )
        outputs = module(inputs, **call_arguments(type(module).__call__, train=train, key=key))
        return outputs, _to_dict(nnx.split(module, *filters)[4]) if train else variables.state

    return Model(init, apply, build)


def _to_dict(state) -> dict[str, Any]:
    """Plain nested dicts with text keys: the blocks of a list are "0", "1", ..."""

    def texts(node):
        return {str(key): texts(value) for key, value in node.items()} if isinstance(node, dict) else node

    return texts(nnx.to_pure_dict(state))


def _from_dict(like, values):
    """The NNX state shaped as `like` that holds the arrays of nested dicts."""
    state = jax.tree.map(lambda leaf: leaf, like)
    nnx.replace_by_pure_dict(state, dict(values))
    return state


def _seeded(like, key):
    """The random state of a module: each generator at its start, with a key of its own path's name."""
    if not jax.tree.leaves(like):
        return like
    base = jax.random.key(0) if key is None else key

    def seed(path, leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return random.stream(base, jax.tree_util.keystr(path, simple=True, separator="/"))
        return jnp.zeros(leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(seed, like)
