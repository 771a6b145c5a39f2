"""A model from a Flax Linen module."""

from typing import Any

import flax.linen

from lec7 import random
from lec7.models.contract import Model, ModelState, Variables, call_arguments
from lec7.typing import Key


def from_linen(module: flax.linen.Module) -> Model:
    """A `Model` from a Linen module.

    The module is called as `module(inputs)`, with `train` or `deterministic` where its `__call__` takes
    one. Keys for its random streams (`"dropout"` and any other that `make_rng` names) come from the
    key of each call.

    Args:
        module: any; all that is not in its collection `params` is the model's state.

    >>> import jax, jax.numpy as jnp
    >>> model = from_linen(flax.linen.Dense(10))
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> outputs, state = model.apply(variables, jnp.zeros((8, 4)), train=False)
    >>> outputs.shape
    (8, 10)
    """

    def call(variables: dict[str, Any], inputs: Any, train: bool, key: Key | None, **options: Any) -> Any:
        # One default stream serves every name: Linen folds the stream's name and the module's path in.
        rngs = {"params": random.stream(key, "linen")} if key is not None else {}
        arguments = call_arguments(type(module).__call__, train=train, key=key)
        return module.apply(variables, inputs, rngs=rngs, **options, **arguments)

    def init(key: Key, inputs: Any) -> Variables:
        arguments = call_arguments(type(module).__call__, train=False, key=key)
        state = dict(module.init(key, inputs, **arguments))
        return Variables(state.pop("params", {}), state)

    def apply(variables: Variables, inputs: Any, *, train: bool, key: Key | None = None) -> tuple[Any, ModelState]:
        everything: dict[str, Any] = {"params": variables.params, **variables.state}
        if not train:
            return call(everything, inputs, train, key), variables.state
        outputs, changed = call(everything, inputs, train, key, mutable=list(variables.state))
        return outputs, {**variables.state, **changed}

    return Model(init, apply)
