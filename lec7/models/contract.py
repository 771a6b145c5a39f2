"""What a model is: two pure functions over nested dicts of arrays."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from lec7.typing import Key, Params

ModelState = Mapping[str, Any]
"""What a model carries along beside its parameters (batch statistics, ...): nested dicts of arrays."""


class Variables(NamedTuple):
    """A model's arrays.

    Attributes:
        params: a pytree of arrays, which are trained.
        state: one of those that are carried along, such as running means; empty where there are none.
    """

    params: Params
    state: ModelState


class Init(Protocol):
    """Makes a model's variables from a key and a batch of inputs, of which the shape counts."""

    def __call__(self, key: Key, inputs: Any) -> Variables: ...  # noqa: D102


class Apply(Protocol):
    """Maps inputs to outputs and to the state after them.

    In training, `key` is for noise, such as dropout's. In testing there is none, unless a key is given: then the noise
    is that of training, while statistics are those that `state` holds.
    """

    def __call__(  # noqa: D102
        self, variables: Variables, inputs: Any, *, train: bool, key: Key | None = None
    ) -> tuple[Any, ModelState]: ...


class Model(NamedTuple):
    """Two pure functions, whatever library wrote the layers; a plain pair of functions is one already.

    >>> import jax.numpy as jnp
    >>> def init(key, inputs):
    ...     return Variables({"w": jnp.zeros((inputs.shape[-1], 10))}, {})
    >>> def apply(variables, inputs, *, train, key=None):
    ...     return inputs @ variables.params["w"], variables.state
    >>> model = Model(init, apply)

    Attributes:
        init: makes the variables.
        apply: what the model computes.
        outline: the Flax NNX module behind them, without its arrays; the surgery of `lec7.transfer` edits a copy.
    """

    init: Init
    apply: Apply
    outline: Any = None


def call_arguments(call: Callable[..., Any], *, train: bool, key: Key | None) -> dict[str, Any]:
    """Of the ways in which a Flax module may ask for mode and key, the ones in its signature."""
    names = inspect.signature(call).parameters
    offers = {"train": train, "deterministic": not train and key is None, "key": key}
    return {name: value for name, value in offers.items() if name in names}


def count(params: Params) -> int:
    """The number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
