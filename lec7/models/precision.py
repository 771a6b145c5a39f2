"""In which precision a model computes, as a policy beside the model and not as flags inside of it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from lec7.errors import InputError, nearest
from lec7.models.contract import Model, ModelState, Variables
from lec7.models.nnx import from_outline
from lec7.typing import DTypeLike, Key, PyTree


class Precision(NamedTuple):
    """A policy: the dtype that a model computes in, and that of its outputs.

    Parameters, and all that the optimizer and batch norm keep, have the dtype that they are made with.

    Source: Micikevicius et al., "Mixed Precision Training", 2018; bfloat16 has float32's range, so that no loss needs
    to be scaled.

    Attributes:
        compute: parameters and inputs are rounded to it ahead of each call.
        output: what the loss gets.
    """

    compute: DTypeLike
    output: DTypeLike = jnp.float32


POLICIES = {"bf16": Precision(jnp.bfloat16)}
"""Those that have a name on the command line; float32 is what a model does by itself."""


def precision(name: str) -> Precision:
    """The policy of this name.

    Args:
        name: "bf16".

    Raises:
        InputError: there is none.

    >>> precision("bf16").output.__name__
    'float32'
    """
    if name not in POLICIES:
        raise InputError(f"no precision {name!r}{nearest(name, list(POLICIES))}; known are {', '.join(POLICIES)}")
    return POLICIES[name]


def in_precision(model: Model, policy: Precision) -> Model:
    """The model that computes as the policy says, with the same parameters; gradients come back in their dtype.

    Parameters and inputs are rounded, and layers of Flax NNX get it as their `dtype` where they have none, so that
    batch norm, which sums in float32, gives its outputs back in it. In a Linen module give its norms a `dtype`
    yourself: they answer in the dtype of their statistics.

    Args:
        model: any model; surgery needs it as it was, so that this comes last.
        policy: such as `Precision(jnp.bfloat16)`.

    >>> import lec7
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(4, (8,), 2, rngs=rngs))
    >>> half = in_precision(model, precision("bf16"))
    >>> variables = half.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> (outputs, _), hidden = half.apply(variables, jnp.ones((1, 4)), train=False), variables.params["head"]["kernel"]
    >>> outputs.dtype, hidden.dtype
    (dtype('float32'), dtype('float32'))
    >>> bool((outputs == outputs.astype(jnp.bfloat16)).all())
    True
    """
    if model.outline is not None:
        model = from_outline(_with_dtype(model.outline, policy.compute), model.init)

    def apply(variables: Variables, inputs: Any, *, train: bool, key: Key | None = None) -> tuple[Any, ModelState]:
        rounded = Variables(_cast(variables.params, policy.compute), variables.state)
        outputs, state = model.apply(rounded, _cast(inputs, policy.compute), train=train, key=key)
        kept = jax.tree.map(lambda new, old: new.astype(old.dtype), state, variables.state)
        return _cast(outputs, policy.output), kept

    return Model(model.init, apply)


def _with_dtype(outline: nnx.Module, dtype: DTypeLike) -> nnx.Module:
    """The outline of a module whose layers compute in a dtype, but for those that have one of their own."""
    copy = nnx.clone(outline)
    for _, module in nnx.iter_modules(copy):
        if getattr(module, "dtype", dtype) is None:
            module.dtype = dtype  # pyright: ignore[reportAttributeAccessIssue]
    return copy


def _cast(values: PyTree, dtype: DTypeLike) -> PyTree:
    """Floating arrays in a dtype; others as they are."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, values)
