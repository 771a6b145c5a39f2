"""LoRA: weights stay as they are, and products of two thin matrices are trained beside them."""

from typing import Any

import jax
import jax.numpy as jnp

from lec7 import random, tree
from lec7.errors import InputError
from lec7.models import Model, Variables
from lec7.models.contract import ModelState
from lec7.typing import Key, Params

LORA = "lora"
"""The name of what is trained, beside the model's own parameters."""


def lora(model: Model, where: str, rank: int) -> Model:
    """The model with `W + A B` in place of each chosen weight W; A and B are parameters of their own.

    They are called `lora/`, the weight's name, and `/a` or `/b`. B begins at zero, so that nothing changes at first. A
    kernel [rows, columns, in, out] is taken for a matrix [rows * columns * in, out]. To train them and nothing else:
    `optim.groups({"lora/.*": optim.adam(1e-3), ".*": optim.frozen()})`. The paper's factor alpha / rank is left to the
    learning rate.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.

    Args:
        model: any model; it begins where this one does. Surgery on modules comes ahead of this.
        where: a regular expression over whole names of weights: `"blocks/.*/(query|value)/kernel"`.
        rank: columns of A and rows of B.

    Raises:
        InputError: `rank` is less than 1; in `init`, nothing matches, or a vector does.

    >>> from lec7.models import MLP, from_nnx
    >>> mlp = lora(from_nnx(lambda rngs: MLP(4, (8,), 3, rngs=rngs)), ".*/kernel", rank=2)
    >>> variables = mlp.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> {name: x.shape for name, x in tree.named(variables.params[LORA]).items()}
    {'head/kernel/a': (8, 2), 'head/kernel/b': (2, 3),
     'linears/0/kernel/a': (4, 2), 'linears/0/kernel/b': (2, 8)}
    """
    if rank < 1:
        raise InputError(f"rank is {rank}, expected at least 1")

    def init(key: Key, inputs: Any) -> Variables:
        params, state = model.init(key, inputs)
        if LORA in params:
            raise InputError(f"the model has parameters called {LORA!r} already; merge them first")
        chosen = tree.named(tree.select(params, where))
        factors: dict[str, dict[str, jax.Array]] = {}
        for name, leaf in tree.named(params).items():
            if not chosen[name]:
                continue
            if leaf.ndim < 2:
                raise InputError(f"{where!r} matches {name!r}, of shape {leaf.shape}; LoRA is for matrices and kernels")
            inputs_, outputs = leaf.size // leaf.shape[-1], leaf.shape[-1]
            a = jax.random.normal(random.stream(key, f"{LORA}/{name}"), (inputs_, rank), leaf.dtype)
            factors[name] = {
                "a": a / jnp.sqrt(jnp.asarray(inputs_, leaf.dtype)),
                "b": jnp.zeros((rank, outputs), leaf.dtype),
            }
        return Variables({**params, LORA: _nested(factors)}, state)

    def apply(variables: Variables, inputs: Any, *, train: bool, key: Key | None = None) -> tuple[Any, ModelState]:
        return model.apply(merge(variables), inputs, train=train, key=key)

    return Model(init, apply)


def merge(variables: Variables) -> Variables:
    """The variables of the model that `lora` was given, with the products added to its weights.

    Args:
        variables: of a model that `lora` made.

    Returns:
        The variables without the adapters.

    Raises:
        InputError: there is nothing to merge.

    >>> from lec7 import models
    >>> plain = models.from_nnx(lambda rngs: models.MLP(4, (), 3, rngs=rngs))
    >>> adapted = lora(plain, "head/kernel", rank=1)
    >>> variables = adapted.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> sorted(merge(variables).params["head"])
    ['bias', 'kernel']
    """
    if LORA not in variables.params:
        raise InputError(f"the variables have no {LORA!r}; they have {', '.join(variables.params)}")
    params = {name: node for name, node in variables.params.items() if name != LORA}
    factors = tree.named(variables.params[LORA])

    def merged(name: str, w: jax.Array) -> jax.Array:
        if f"{name}/a" not in factors:
            return w
        return w + (factors[f"{name}/a"] @ factors[f"{name}/b"]).reshape(w.shape)

    return variables._replace(params=tree.map_named(merged, params))


def _nested(leaves: dict[str, dict[str, jax.Array]]) -> Params:
    """Nested dicts from names."""
    nest: dict[str, Any] = {}
    for name, value in leaves.items():
        *parents, last = name.split("/")
        node = nest
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return nest
