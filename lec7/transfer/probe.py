"""A linear classifier on the features of a stage: the lecture's answer to little data."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lec7 import data, losses, models, optim
from lec7.errors import InputError
from lec7.losses import check_labels
from lec7.models import Model, Variables
from lec7.train import image
from lec7.transfer.features import Pool, features
from lec7.transfer.surgery import replace_head, shorten, start_from
from lec7.typing import ArrayLike, Batch, Params

RATES = tuple(10.0**exponent for exponent in np.arange(-5, 1.5, 0.5))
"""The grid of L2 rates, on features that are standardized."""


class Linear(NamedTuple):
    """Linear classifiers, and how they do on the examples that chose among them.

    Attributes:
        kernel: of the chosen one, [features, classes], for features as they are.
        bias: of the chosen one, [classes].
        chosen: its place in the grid, int32 [].
        rates: the grid of L2 rates, [rates].
        nll: mean negative log-likelihood of each on the validation examples, [rates].
        accuracy: of each, [rates].
    """

    kernel: jax.Array
    bias: jax.Array
    chosen: jax.Array
    rates: jax.Array
    nll: jax.Array
    accuracy: jax.Array

    def __str__(self) -> str:
        lines = (
            f"{rate:>10.1e}  {nll:>8.4f}  {accuracy:>8.2%}{'  chosen' if i == int(self.chosen) else ''}"
            for i, (rate, nll, accuracy) in enumerate(zip(self.rates, self.nll, self.accuracy, strict=True))
        )
        return "\n".join((f"{'L2 rate':>10}  {'nll':>8}  {'accuracy':>8}", *lines))


class Probe(NamedTuple):
    """The network with its new head.

    Attributes:
        model: from images to logits; it begins at the variables.
        variables: its arrays.
        linear: the head, and how it was chosen.
    """

    model: Model
    variables: Variables
    linear: Linear


def linear_probe(
    model: Model,
    variables: Variables,
    source: data.ArraySource,
    at: str = "pool",
    *,
    validation: data.ArraySource | None = None,
    classes: int | None = None,
    rates: Sequence[float] = RATES,
    pool: Pool = models.mean_and_std_pool,
    inputs: Callable[[Batch], Any] = image,
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = None,
) -> Probe:
    """The network with a linear head, solved for on features of one stage that are computed once.

    Source: lecture 7, "Transfer Learning with CNNs": very little data, "use linear classifier on top layer".

    Args:
        model: of a `models.Network`.
        variables: its arrays.
        source: examples with `"label"`.
        at: `"pool"`: what the head gets; or an earlier stage, such as `"blocks/10"`, at which the network ends then.
        validation: examples that choose the L2 rate; by default a fifth of the source's, of each class alike.
        classes: by default as many as the labels say.
        rates: the grid of L2 rates.
        pool: makes vectors of the maps of an earlier stage.
        inputs: what the model sees of a batch.
        batch_size: examples at a time.
        cache: a folder to keep the features in, see `features`.

    Returns:
        The model that ends at the stage, its variables, and the classifier for each rate.

    Raises:
        InputError: there is no such stage; labels do not fit `classes`; the source is too small to hold some out.
    """
    labels = np.asarray(source.arrays["label"])
    classes = int(labels.max()) + 1 if classes is None else classes
    check_labels(labels, classes)
    options: dict[str, Any] = {
        "at": at,
        "pool": None if at == "pool" else pool,
        "inputs": inputs,
        "batch_size": batch_size,
        "cache": cache,
    }
    found = features(model, variables, source, **options)
    held_out = None
    if validation is not None:
        held_out = features(model, variables, validation, **options), np.asarray(validation.arrays["label"])
    linear = solve(found, labels, classes, held_out=held_out, rates=rates)
    if at == "pool":
        model, variables = replace_head(jax.random.key(0), model, variables, classes)
    else:
        example = jax.eval_shape(lambda: inputs(source[:1]))
        model, variables = shorten(model, variables, at, classes, example, pool=pool)
    return Probe(*with_head(model, variables, linear), linear)


def with_head(model: Model, variables: Variables, linear: Linear) -> tuple[Model, Variables]:
    """The model whose head is the linear classifier; it begins there.

    Args:
        model: of a `models.Network`.
        variables: its arrays.
        linear: of as many features as the head gets.

    Returns:
        The model and its variables.
    """
    params = {**variables.params, "head": {"kernel": linear.kernel, "bias": linear.bias}}
    variables = variables._replace(params=params)
    return start_from(model, variables), variables


def solve(
    x: ArrayLike,
    labels: ArrayLike,
    classes: int,
    *,
    held_out: tuple[ArrayLike, ArrayLike] | None = None,
    rates: Sequence[float] = RATES,
    max_steps: int = 200,
) -> Linear:
    """Multinomial logistic regression with each L2 rate, by L-BFGS, all in one program; the best one.

    Features are standardized, the rate is on `sum(W**2)` beside the mean cross-entropy, and the bias is free. The one
    with the highest likelihood on the validation examples is chosen; where these were held out, it is solved for again
    with all examples.

    Args:
        x: features [n, f].
        labels: int [n].
        classes: number of classes.
        held_out: features and labels of the validation examples; by default a fifth of the examples, of each class.
        rates: the grid.
        max_steps: of L-BFGS.

    Raises:
        InputError: `x` is no matrix; a class has too few examples to hold one out; there are no rates.

    >>> x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    >>> linear = solve(x, (x[:, 0] > 0).astype(np.int32), 2)
    >>> linear.kernel.shape, float(linear.accuracy[linear.chosen]) > 0.9
    ((2, 2), True)
    """
    x, labels = np.asarray(x, np.float32), np.asarray(labels)
    if x.ndim != 2 or len(x) != len(labels):
        raise InputError(f"features of shape {x.shape} and {len(labels)} labels, expected [n, f] and n: pool= makes it")
    if not len(rates):
        raise InputError("there are no L2 rates, expected at least one")
    check_labels(labels, classes)
    best = None
    if held_out is None and len(rates) == 1:
        held_out = x, labels
    if held_out is None:
        rows = data.stratified(labels, 0.2)
        best = solve(
            x[~rows], labels[~rows], classes, held_out=(x[rows], labels[rows]), rates=rates, max_steps=max_steps
        )
        rates, held_out = [float(best.rates[best.chosen])], (x, labels)
    kernels, biases, nll, accuracy = _solved(
        x, labels.astype(np.int32), *map(np.asarray, held_out), jnp.asarray(rates, jnp.float32), classes, max_steps
    )
    chosen = jnp.argmin(nll).astype(jnp.int32)
    fresh = Linear(kernels[chosen], biases[chosen], chosen, jnp.asarray(rates, jnp.float32), nll, accuracy)
    return fresh if best is None else best._replace(kernel=fresh.kernel, bias=fresh.bias)


@jax.jit(static_argnames=("classes", "max_steps"))
def _solved(
    x: jax.Array,
    labels: jax.Array,
    held_x: jax.Array,
    held_labels: jax.Array,
    rates: jax.Array,
    classes: int,
    max_steps: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    mean, std = x.mean(0), x.std(0)
    scale = 1 / jnp.where(std > 1e-6 * (jnp.abs(mean) + 1), std, jnp.inf)
    z = (x - mean[None, :]) * scale[None, :]

    def one(rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        def objective(params: Params) -> jax.Array:
            logits = z @ params["kernel"] + params["bias"][None, :]
            nll = losses.cross_entropy(logits, {"label": labels})["loss"]
            return nll.mean() + rate * jnp.sum(params["kernel"] ** 2)

        zeros = {"kernel": jnp.zeros((x.shape[1], classes)), "bias": jnp.zeros(classes)}
        params = optim.minimize(objective, zeros, optim.lbfgs(), max_steps=max_steps).params
        kernel = params["kernel"] * scale[:, None]
        return kernel, params["bias"] - mean @ kernel

    kernels, biases = jax.vmap(one)(rates)

    def score(kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
        metrics = losses.cross_entropy(held_x @ kernel + bias[None, :], {"label": held_labels})
        return metrics["loss"].mean(), metrics["accuracy"].mean()

    return kernels, biases, *jax.vmap(score)(kernels, biases)
