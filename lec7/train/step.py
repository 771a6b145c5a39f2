"""One training step, pure and unjitted."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from lec7 import optim, random, replicas, tree
from lec7.augment import Pipeline
from lec7.errors import InputError, entry
from lec7.losses import Loss
from lec7.models import Model, Variables
from lec7.models.contract import ModelState
from lec7.regularize import Penalty
from lec7.train.state import TrainState
from lec7.typing import Batch, Key, Metrics, Params, PyTree


class Step(Protocol):
    """From a state and a batch to the next state and the batch's mean metrics, arrays of shape ()."""

    def __call__(self, state: TrainState, batch: Batch, /) -> tuple[TrainState, Metrics]: ...  # noqa: D102


def image(batch: Batch) -> jax.Array:
    """The inputs of a batch of images as the model sees them: floats, bytes scaled to [0, 1].

    Args:
        batch: with `"image"`, bytes or floats of any shape.

    Returns:
        Floats of that shape.

    Raises:
        InputError: the batch has no `"image"`.

    >>> image({"image": jnp.array([0, 255], jnp.uint8)}).tolist()
    [0.0, 1.0]
    """
    pixels = entry(batch, "image", "say what the model sees of a batch: inputs=lambda batch: batch['x']")
    return pixels * jnp.float32(1 / 255) if pixels.dtype == jnp.uint8 else pixels


def make_step(
    model: Model,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    inputs: Callable[[Batch], Any] = image,
    *,
    augment: Callable[[Key, Batch], Batch] | None = None,
    penalty: Penalty | None = None,
) -> Step:
    """The step that moves `model`'s parameters down the mean of `loss`, and `penalty`, as `optimizer` says.

    Parameters that `optim.frozen()` holds stay as they are, bit for bit, and no gradients are computed for them. Run by
    `train.pmap`, gradients, metrics and statistics are means over the replicas, each of which has keys of its own.

    Args:
        model: called in training mode, with the stream `"model"` of the state's key at its step.
        loss: from outputs and batch to values for each example; `"loss"` is minimized.
        optimizer: any Optax transformation; it gets `value`, `grad` and `value_fn` as extra arguments.
        inputs: what the model sees of a batch.
        augment: from the stream `"augment"` at the state's step and a batch to the batch that is trained on, such as
            `lec7.augment.on_batch` makes.
        penalty: from parameters to named values, of `lec7.regularize`, which are added to `"loss"`.

    Returns:
        A `Step`; its metrics are the loss's means, what the penalty is made of, the learning rates in force, and what
        `optim.monitor` and `optim.skip_nonfinite` tell.

    Raises:
        InputError: `augment` or `penalty` is no function of what it gets; in the step, the penalty has a name that the
            loss has, or one of them has one of the optimizer's.

    Run it as `train.jit(step)`, or several at a time as `train.jit(train.scan(step, 50))`; on many devices as
    `train.jit(train.sharded(step, mesh))` or `train.pmap(step)`.

    >>> import lec7, optax
    >>> model = lec7.models.from_nnx(lambda rngs: lec7.models.MLP(2, (), 3, rngs=rngs))
    >>> tx = optax.sgd(0.1)
    >>> step = make_step(model, lec7.losses.cross_entropy, tx)
    >>> state = lec7.train.init(jax.random.key(0), model, tx, jnp.zeros((1, 2)))
    >>> batch = {"image": jnp.ones((4, 2)), "label": jnp.zeros(4, int)}
    >>> state, metrics = jax.eval_shape(step, state, batch)
    >>> sorted(metrics), metrics["loss"].shape
    (['accuracy', 'loss'], ())
    """
    for name, given, such in (
        ("augment", augment, "a function of a key and a batch: augment.on_batch(augment.pipeline(...))"),
        ("penalty", penalty, "a function of the parameters: regularize.l2(1e-4), or regularize.penalties of several"),
    ):
        if given is not None and not callable(given):
            raise InputError(f"{name} is {given!r}, expected {such}")
    if isinstance(augment, Pipeline):
        raise InputError("augment is a pipeline of images; for batches it is augment.on_batch(augment.pipeline(...))")

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = replicas.own(random.stream(state.key, "model", state.step))
        frozen = optim.frozen_paths(state.opt_state)
        if augment is not None:
            batch = augment(replicas.own(random.stream(state.key, "augment", state.step)), batch)

        def objective(params: Params) -> tuple[jax.Array, tuple[Metrics, ModelState]]:
            params = replicas.shared(params)
            params = tree.map_named(lambda name, x: jax.lax.stop_gradient(x) if name in frozen else x, params)
            outputs, model_state = model.apply(Variables(params, state.model_state), inputs(batch), train=True, key=key)
            metrics = {name: jnp.mean(values) for name, values in loss(outputs, batch).items()}
            if penalty is not None:
                metrics = _penalized(metrics, penalty(params))
            return metrics["loss"], (metrics, model_state)

        (value, (metrics, model_state)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        value, metrics, model_state = replicas.mean((value, metrics, model_state))
        params, opt_state = optim.apply_gradients(
            optimizer,
            grads,
            state.opt_state,
            state.params,
            value=value,
            grad=grads,
            value_fn=lambda params: replicas.mean(objective(params)[0]),
        )
        new = TrainState(
            step=state.step + 1,
            key=state.key,
            params=tree.map_named(lambda name, old, x: old if name in frozen else x, state.params, params),
            model_state=_unless_skipped(state, opt_state, model_state),
            opt_state=opt_state,
        )
        told = optim.learning_rates(opt_state) | optim.diagnostics(opt_state)
        if taken := metrics.keys() & told.keys():
            raise InputError(f"loss and penalty gave {min(taken)!r}, which is what the optimizer tells; rename it")
        return new, metrics | told

    return step


def _penalized(metrics: Metrics, terms: Metrics) -> Metrics:
    """The metrics with a penalty's terms, and these in the loss."""
    if not isinstance(terms, Mapping):
        raise InputError(f"the penalty gave {terms}, expected values by name, such as {{'l2': value}}")
    if taken := metrics.keys() & terms.keys():
        raise InputError(
            f"the penalty gave {min(taken)!r}, which the loss gives as well; give the penalty another name, as in "
            "regularize.l2(rate, name='l2')"
        )
    return metrics | terms | {"loss": sum(terms.values(), metrics["loss"])}


def _unless_skipped(before: TrainState, opt_state: PyTree, model_state: ModelState) -> ModelState:
    """The model's new state, or the old one where `skip_nonfinite` skipped the step: batch statistics are NaN then."""
    old, new = optim.skipped(before.opt_state), optim.skipped(opt_state)
    if old is None or new is None:
        return model_state
    skip = new.total > old.total
    return jax.tree.map(lambda was, now: jnp.where(skip, was, now), before.model_state, model_state)
