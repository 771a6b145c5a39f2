"""Surgery on models and their arrays: another head, a part of the network, other inputs, statistics that stay.

All of it is pure: what comes out is new, and what went in is as it was. It works on models of `models.from_nnx`, by
changing what their modules are built of; names are those of modules, `"blocks/10"` or `"head"`.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lec7 import models, random, tree
from lec7.errors import InputError, nearest
from lec7.models import Model, Variables
from lec7.models.network import Function
from lec7.typing import Key, Params


def start_from(model: Model, variables: Variables) -> Model:
    """The model whose `init` gives these variables, whatever the key: training begins at them.

    Args:
        model: any.
        variables: of its `init`'s structure.

    >>> from lec7.models import MLP, from_nnx
    >>> mlp = from_nnx(lambda rngs: MLP(4, (), 3, rngs=rngs))
    >>> trained = mlp.init(jax.random.key(1), jnp.zeros((1, 4)))
    >>> start_from(mlp, trained).init(jax.random.key(2), jnp.zeros((1, 4))) is trained
    True
    """
    return model._replace(init=lambda key, inputs: variables)


def stages(model: Model) -> tuple[str, ...]:
    """The names of a network's parts, from images to logits, as `cut`, `rest` and `plan` take them.

    Args:
        model: of a `models.Network`.

    Returns:
        Names such as `"stem"`, `"blocks/0"`, `"neck"`, `"pool"` and `"head"`.

    Raises:
        InputError: it is another one's.

    >>> net = models.from_nnx(
    ...     lambda rngs: models.Network(
    ...         models.ConvNorm(3, 4, rngs=rngs), [], jax.nn.relu, models.mean_pool, nnx.Linear(4, 2, rngs=rngs)
    ...     )
    ... )
    >>> stages(net)
    ('stem', 'pool', 'head')
    """
    return _network(_outline(model), "head", "").stages


def replace_head(
    key: Key, model: Model, variables: Variables, classes: int, *, std: float = 0.0, at: str = "head"
) -> tuple[Model, Variables]:
    """The model with a new linear head; all other arrays are the very same.

    With a head of zeros each class is as probable as any, and the loss of the first step is `log(classes)`.

    Source: lecture 7, "Transfer Learning with CNNs": reinitialize the last layer and train it.

    Args:
        key: for the new weights, where `std` is not 0.
        model: made by `models.from_nnx`.
        variables: its arrays.
        classes: number of outputs.
        std: standard deviation of the new weights (normal); the bias is 0.
        at: name of the module that is replaced, an `nnx.Linear`.

    Returns:
        The model, which begins at the variables that come with it; and these.

    Raises:
        InputError: there is no such module, it is not linear, or `classes` is less than 1.

    >>> from lec7.models import MLP, from_nnx
    >>> mlp = from_nnx(lambda rngs: MLP(4, (8,), 3, rngs=rngs))
    >>> trained = mlp.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> mlp, new = replace_head(jax.random.key(1), mlp, trained, 10)
    >>> new.params["head"]["kernel"].shape, new.params["linears"] is trained.params["linears"]
    ((8, 10), True)
    """
    if classes < 1:
        raise InputError(f"classes is {classes}, expected at least 1")

    def edit(module: nnx.Module) -> None:
        old = _module(module, at)
        if not isinstance(old, nnx.Linear):
            raise InputError(f"{at!r} is a {type(old).__name__}, expected an nnx.Linear; at= names the classifier")
        *parents, last = at.split("/")
        setattr(_module(module, "/".join(parents)), last, _linear(old.in_features, classes, old.use_bias))

    edited = _edited(model, edit)
    old = functools.reduce(lambda node, part: node[part], at.split("/"), variables.params)
    kernel = old["kernel"]
    new: dict[str, Any] = {
        "kernel": std * jax.random.normal(random.typed(key), (kernel.shape[0], classes), kernel.dtype)
    }
    if "bias" in old:
        new["bias"] = jnp.zeros(classes, old["bias"].dtype)
    variables = variables._replace(params=_replaced(variables.params, at, new))
    return start_from(edited, variables), variables


def shorten(
    model: Model,
    variables: Variables,
    at: str,
    classes: int,
    inputs: Any,
    *,
    pool: Callable[[jax.Array], jax.Array] = models.mean_and_std_pool,
) -> tuple[Model, Variables]:
    """The network that ends at an earlier stage, with a linear head of zeros on what is pooled there.

    For images unlike those that the network was trained on, of which its top layers know too much and too little.

    Source: lecture 7, "Transfer Learning with CNNs": very little data, very different data set, "try linear classifier
    from different stages"; Yosinski et al., "How transferable are features in deep neural networks?", 2014.

    Args:
        model: of a `models.Network`.
        variables: its arrays.
        at: `"stem"` or one of the blocks, such as `"blocks/10"`.
        classes: number of outputs.
        inputs: a batch as the model sees it, or a `ShapeDtypeStruct`; its shape counts.
        pool: from the stage's output [n, ..., channels] to features [n, f].

    Returns:
        The model, which begins at the variables that come with it; and these, without those of what is left out.

    Raises:
        InputError: the model is no `Network`, or has no such stage.

    >>> net = models.from_nnx(
    ...     lambda rngs: models.Network(
    ...         models.ConvNorm(3, 4, rngs=rngs), [], jax.nn.relu, models.mean_pool, nnx.Linear(4, 2, rngs=rngs)
    ...     )
    ... )
    >>> images = jnp.zeros((1, 8, 8, 3))
    >>> variables = jax.eval_shape(net.init, jax.random.key(0), images)
    >>> _, shorter = shorten(net, variables, "stem", 3, images)
    >>> shorter.params["head"]["kernel"].shape  # means and standard deviations of 4 channels
    (8, 3)
    """
    if classes < 1:
        raise InputError(f"classes is {classes}, expected at least 1")
    below = cut(model, at)
    pooled = jax.eval_shape(lambda arrays, x: pool(below.apply(arrays, x, train=False)[0]), variables, inputs)

    def edit(module: nnx.Module) -> None:
        network = _network(module, at, "stem", "blocks/")
        kept = 0 if at == "stem" else int(at.removeprefix("blocks/")) + 1
        network.blocks = nnx.List(network.blocks[:kept])
        network.neck, network.pool = Function(lambda x: x), Function(pool)
        network.head = _linear(pooled.shape[-1], classes)

    edited = _edited(model, edit)
    like = models.variables_of(edited.outline)
    head = {"kernel": jnp.zeros((pooled.shape[-1], classes), pooled.dtype), "bias": jnp.zeros(classes, pooled.dtype)}
    params, state = (_common(old, new) for old, new in zip(variables, like, strict=True))
    shorter = Variables({**params, "head": head}, state)
    return start_from(edited, shorter), shorter


def cut(model: Model, at: str) -> Model:
    """The model up to a module, whose output is its own: features of any stage.

    It takes the variables of the whole model, and what lies beyond is not computed. The module must be called outside
    of loops and of `remat`.

    Args:
        model: made by `models.from_nnx`.
        at: name of a module, such as `"blocks/10"`.

    Raises:
        InputError: there is no such module; when applied, it was not reached.

    >>> from lec7.models import MLP, from_nnx
    >>> mlp = from_nnx(lambda rngs: MLP(4, (8, 6), 3, rngs=rngs))
    >>> variables = mlp.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> features, _ = cut(mlp, "norms/1").apply(variables, jnp.ones((5, 4)), train=False)
    >>> features.shape
    (5, 6)
    """

    def stop(call: Callable[..., Any], self: nnx.Module, *arguments: Any, **options: Any) -> NoReturn:
        raise _Reached(call(self, *arguments, **options))

    def catch(call: Callable[..., Any], self: nnx.Module, *arguments: Any, **options: Any) -> Any:
        try:
            call(self, *arguments, **options)
        except _Reached as reached:
            return reached.output
        raise InputError(f"the model did not call {at!r}, at which it was cut")

    def edit(module: nnx.Module) -> None:
        _wrap_call(_module(module, at), stop)
        _wrap_call(module, catch)

    return _edited(model, edit)


def rest(model: Model, at: str) -> Model:
    """What lies beyond a cut: `rest(model, at)` of `cut(model, at)` is the model.

    It takes the variables of the whole model, and outputs of `cut(model, at)` in place of images. So the features
    below the cut are computed once, and what is above is trained on them.

    Args:
        model: of a `models.Network`: lec7's pretrained families are.
        at: one of its stages but the head, such as `"blocks/10"`; beyond `"pool"` lies the head alone.

    Returns:
        A model from outputs of `cut(model, at)` to logits [n, classes].

    Raises:
        InputError: the model is no `Network`, or has no such stage.

    >>> net = models.from_nnx(
    ...     lambda rngs: models.Network(
    ...         models.ConvNorm(3, 4, rngs=rngs), [], jax.nn.relu, models.mean_pool, nnx.Linear(4, 2, rngs=rngs)
    ...     )
    ... )
    >>> head, variables = rest(net, "pool"), models.variables_of(net.outline)
    >>> jax.eval_shape(lambda v, x: head.apply(v, x, train=False)[0], variables, jnp.zeros((5, 4))).shape
    (5, 2)
    """

    def edit(module: nnx.Module) -> None:
        names = _network(module, at, "stem", "blocks/", "neck", "pool").stages
        for name in names[: names.index(at) + 1]:
            _wrap_call(_module(module, name), lambda call, self, x, **options: x)

    return _edited(model, edit)


def freeze_statistics(model: Model, where: str = ".*") -> Model:
    """The model whose batch norms stay in testing while it is trained: their statistics are used, and never change.

    Args:
        model: made by `models.from_nnx`.
        where: a regular expression over whole names of modules, such as `"blocks/[0-9]/.*"`.

    Raises:
        InputError: there are batch norms, and none matches.

    >>> from lec7.models import MLP, from_nnx
    >>> mlp = freeze_statistics(from_nnx(lambda rngs: MLP(4, (8,), 3, rngs=rngs)))
    >>> variables = mlp.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> _, state = mlp.apply(variables, jnp.ones((5, 4)), train=True, key=jax.random.key(1))
    >>> bool(jax.tree.all(jax.tree.map(jnp.array_equal, state, variables.state)))
    True
    """

    def as_in_testing(
        call: Callable[..., Any],
        self: nnx.Module,
        x: jax.Array,
        use_running_average: bool | None = None,
        **options: Any,
    ) -> jax.Array:
        return call(self, x, use_running_average=True, **options)

    def edit(module: nnx.Module) -> None:
        norms = {name: node for name, node in _modules(module).items() if isinstance(node, nnx.BatchNorm)}
        chosen = [node for name, node in norms.items() if re.fullmatch(where, name)]
        if norms and not chosen:
            raise InputError(f"no batch norm matches {where!r}; there are {', '.join(norms)}")
        for norm in chosen:
            _wrap_call(norm, as_in_testing)

    return _edited(model, edit)


def adapt_input(params: Params, channels: int, at: str = "stem/conv/kernel") -> Params:
    """Parameters for images of another number of channels; what the network gives of gray images stays the same.

    To one channel the weights of all are summed, which is the network's own answer to gray as three equal channels
    (where these are normalized alike). To more channels they are repeated in turn, and scaled so that equal channels
    give what they gave.

    Args:
        params: nested dicts.
        channels: of the new images.
        at: name of the first kernel, [rows, columns, channels, out]. In the new model's `init` are the old parameters
            still: `start_from(model, Variables(params, state))`.

    Raises:
        InputError: there is no such kernel, or `channels` is less than 1.

    >>> params = {"stem": {"conv": {"kernel": jnp.ones((3, 3, 3, 8))}}}
    >>> gray = adapt_input(params, 1)["stem"]["conv"]["kernel"]
    >>> gray.shape, float(gray[0, 0, 0, 0])
    ((3, 3, 1, 8), 3.0)
    """
    if channels < 1:
        raise InputError(f"channels is {channels}, expected at least 1")
    leaves = tree.named(params)
    if at not in leaves or leaves[at].ndim != 4:
        kernels = [name for name, leaf in leaves.items() if leaf.ndim == 4]
        raise InputError(f"there is no kernel {at!r}{nearest(at, kernels)}; at= names that of the first convolution")
    kernel = leaves[at]
    old = kernel.shape[2]
    if channels < old:
        new = jnp.repeat(kernel.sum(2, keepdims=True) / channels, channels, axis=2)
    else:
        turns = np.arange(channels) % old
        new = kernel[:, :, turns] / jnp.asarray(np.bincount(turns)[turns], kernel.dtype)[None, None, :, None]
    return _replaced(params, at, new)


class _Reached(Exception):
    """What a cut model has computed; ends its call there."""

    def __init__(self, output: Any):
        super().__init__()
        self.output = output


def _edited(model: Model, edit: Callable[[nnx.Module], None]) -> Model:
    """The model of a module that is edited; it begins where the model does."""
    outline = nnx.clone(_outline(model))
    edit(outline)
    return models.from_outline(outline, model.init)


def _outline(model: Model) -> nnx.Module:
    if model.outline is None:
        raise InputError(
            "the model was not made by models.from_nnx, whose modules surgery changes; in other models change the "
            "module yourself, ahead of lora"
        )
    return model.outline


def _linear(inputs: int, classes: int, use_bias: bool = True) -> nnx.Linear:
    """A head without values."""
    return nnx.eval_shape(lambda: nnx.Linear(inputs, classes, use_bias=use_bias, rngs=nnx.Rngs(0)))


def _wrap_call(module: nnx.Module, around: Callable[..., Any]) -> None:
    """Gives one module a `__call__` of its own: `around(the call of its class, module, ...)`."""
    kind = type(module)

    @functools.wraps(kind.__call__)
    def call(self: nnx.Module, *arguments: Any, **options: Any) -> Any:
        return around(kind.__call__, self, *arguments, **options)

    object.__setattr__(module, "__class__", type(kind.__name__, (kind,), {"__call__": call}))


def _network(module: nnx.Module, at: str, *kinds: str) -> models.Network:
    """The module, a `Network` that has the stage `at`, whose name begins with one of `kinds`."""
    if not isinstance(module, models.Network):
        raise InputError(f"the model is a {type(module).__name__}, expected a lec7.models.Network")
    names = [name for name in module.stages if name.startswith(kinds)]
    if at not in names:
        raise InputError(f"the model has no stage {at!r}{nearest(at, names)} here; there are {', '.join(names)}")
    return module


def _common(old: Any, new: Any) -> Any:
    """Of nested dicts, the part that others have as well."""
    if not isinstance(new, Mapping):
        return old
    return {name: _common(old[name], node) for name, node in new.items() if name in old}


def _modules(module: nnx.Module) -> dict[str, nnx.Module]:
    return {"/".join(map(str, path)): node for path, node in nnx.iter_modules(module)}


def _module(module: nnx.Module, at: str) -> nnx.Module:
    """The module called `at`; the model itself is called the empty text."""
    modules = _modules(module)
    if at not in modules:
        names = [name for name in modules if name]
        raise InputError(f"the model has no module {at!r}{nearest(at, names)}; it has {', '.join(names[:12])}, ...")
    return modules[at]


def _replaced(params: Params, at: str, new: Any) -> Params:
    """Nested dicts with another value at a name; the dicts on the way are new, the others the same."""
    first, _, others = at.partition("/")
    return {**params, first: _replaced(params[first], others, new) if others else new}
