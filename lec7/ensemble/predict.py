"""Predictions of many models as one, and of one model under many draws of its noise."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lec7 import random
from lec7.ensemble.soup import NO_MEMBERS, check_stacked
from lec7.errors import InputError
from lec7.models import How, Model, Variables, together
from lec7.models.together import check_how
from lec7.ranges import check_count
from lec7.typing import Key, PyTree, is_traced


def predict(model: Model, members: Variables | Iterable[Variables], inputs: Any, how: How = "probabilities") -> PyTree:
    """The probabilities of the classes as an ensemble gives them: its members' results averaged.

    Source: lecture 7, "Model Ensembles": train several models, at test time average their results.

    Args:
        model: the members' model, called in testing.
        members: variables with a leading axis of members, of which one after the other is asked; or an iterable of
            variables, of which only one at a time needs to be on the device.
        inputs: what the model sees, n examples.
        how: `"probabilities"` for their mean, `"logits"` for the softmax of the mean logits, `"vote"` for each class's
            part of the votes; `"outputs"` for the mean output of models that are no classifiers, an array or a pytree.

    Returns:
        Floats [n, classes] that sum to 1; of `"outputs"`, shaped as those of a member.

    Raises:
        InputError: there is no member, or no such way; or stacked members differ in number from array to array.

    >>> model = Model(lambda key, x: Variables({}, {}), lambda own, x, **mode: (x @ own.params["w"], own.state))
    >>> members = Variables({"w": jnp.log(jnp.array([[[0.5, 0.5]], [[0.9, 0.1]]]))}, {})
    >>> [round(float(p), 2) for p in predict(model, members, jnp.ones((1, 1)))[0]]
    [0.7, 0.3]
    """
    check_how(how)

    def answer(one: Variables) -> PyTree:
        return model.apply(one, inputs, train=False)[0]

    if isinstance(members, Variables):
        check_stacked(members)
        return _probabilities(lax.map(answer, members), how)
    compiled = jax.jit(answer)
    answers = [compiled(one) for one in members]
    if not answers:
        raise InputError(NO_MEMBERS)
    return _probabilities(jax.tree.map(lambda *of_each: jnp.stack(of_each), *answers), how)


def mc_dropout(key: Key, model: Model, variables: Variables, inputs: Any, n: int, how: How = "probabilities") -> PyTree:
    """The probabilities of the classes as one model gives them, averaged over n draws of its noise.

    Noise as in training, batch statistics as in testing. Where dropout in testing is the identity, which stands for the
    average, this takes the average itself, of n masks.

    Source: lecture 7, "Dropout: test time"; Gal and Ghahramani, "Dropout as a Bayesian Approximation", 2016,
    equation 6.

    Args:
        key: PRNG key, from which each draw's comes.
        model: called in testing with a key. One made by `models.from_linen` has noise then if its module takes
            `deterministic`.
        variables: its arrays.
        inputs: what it sees, examples [m, ...].
        n: number of draws.
        how: see `predict`.

    Returns:
        Floats [m, classes] that sum to 1.

    Raises:
        InputError: n is no int, or below 1, or there is no such way; or all draws are equal, so that the model has no
            noise in testing.

    >>> from lec7 import models
    >>> model = models.from_nnx(lambda rngs: models.MLP(4, (8,), 3, keep=0.5, rngs=rngs))
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 4)))
    >>> mc_dropout(jax.random.key(1), model, variables, jnp.ones((5, 4)), n=100).shape
    (5, 3)
    """
    check_count("n", n, "the number of draws of the noise")
    check_how(how)

    def answer(i: jax.Array) -> PyTree:
        return model.apply(variables, inputs, train=False, key=random.stream(key, "mc_dropout", i))[0]

    answers = lax.map(answer, jnp.arange(n))
    known = [leaf for leaf in jax.tree.leaves(answers) if not is_traced(leaf)]
    if n > 1 and known and all(np.all(leaf == leaf[:1]) for leaf in known):
        raise InputError(
            f"{n} draws of the model's noise gave the same outputs: in testing with a key it has none; "
            "give it a dropout that keeps less than 1, and a Linen module an argument `deterministic`"
        )
    return _probabilities(answers, how)


def _probabilities(outputs: PyTree, how: How) -> PyTree:
    """From the outputs of members, [members, n, ...]."""
    joint = together(outputs, how)
    return joint if how == "outputs" else jnp.exp(joint)
