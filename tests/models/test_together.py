"""Outputs of members as one, against NumPy in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7.errors import InputError
from lec7.models import together

OUTPUTS = np.random.default_rng(0).normal(size=(5, 7, 4)) * 3


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def share(x):
    return np.eye(4)[x.argmax(-1)]


ORACLES = {
    "probabilities": lambda x, w: np.tensordot(w, softmax(x), 1),
    "logits": lambda x, w: softmax(np.tensordot(w, x, 1)),
    "vote": lambda x, w: np.tensordot(w, share(x), 1),
    "outputs": lambda x, w: np.exp(np.tensordot(w, x, 1)),
}
WEIGHTS = {"all alike": None, "some more": [1.0, 2.0, 0.5, 3.0, 1.0], "some not": [1.0, 0.0, 1.0, 0.0, 0.0]}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("how", ORACLES)
def test_it_is_the_mean_that_it_says(x64, how, weights):
    w = np.ones(5) if WEIGHTS[weights] is None else np.array(WEIGHTS[weights])
    got = together(jnp.asarray(OUTPUTS), how, None if WEIGHTS[weights] is None else jnp.asarray(w))
    np.testing.assert_allclose(np.exp(got), ORACLES[how](OUTPUTS, w / w.sum()), rtol=1e-12)


@pytest.mark.parametrize("how", ["probabilities", "logits", "vote"])
def test_softmax_of_what_comes_out_is_what_comes_out(how):
    joint = together(jnp.asarray(OUTPUTS, jnp.float32), how)
    np.testing.assert_allclose(jax.nn.softmax(joint), np.exp(joint), rtol=1e-5)


@pytest.mark.parametrize("how", ORACLES)
def test_a_member_that_does_not_count_may_hold_anything(how):
    outputs = jnp.asarray(OUTPUTS, jnp.float32).at[1].set(jnp.nan)
    got = together(outputs, how, jnp.array([1.0, 0.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(got, together(outputs[jnp.array([0, 2, 3, 4])], how), rtol=1e-5)


def test_of_one_member_it_is_that_member():
    logits = jnp.asarray(OUTPUTS[:1], jnp.float32)
    np.testing.assert_allclose(jnp.exp(together(logits)), jax.nn.softmax(logits[0]), rtol=1e-6)


@pytest.mark.parametrize("how", ORACLES)
def test_outputs_in_bfloat16_are_averaged_in_float32(how):
    rounded = jnp.asarray(OUTPUTS, jnp.bfloat16)
    got = together(rounded, how)
    assert got.dtype == jnp.float32
    expected = ORACLES[how](np.asarray(rounded, np.float64), np.full(5, 0.2))
    np.testing.assert_allclose(np.exp(got), expected, rtol=1e-4)


def test_several_arrays_are_averaged_each_or_refused():
    got = together({"a": jnp.asarray(OUTPUTS), "b": jnp.ones((5, 2))}, "outputs")
    np.testing.assert_allclose(got["a"], OUTPUTS.mean(0), rtol=1e-4, atol=1e-6)
    assert got["b"].shape == (2,)
    with pytest.raises(InputError, match="outputs are a tuple, expected one array of logits for 'vote'; say how="):
        together((jnp.ones((5, 2)),), "vote")


def test_an_unknown_way_is_refused_with_the_ways_there_are():
    with pytest.raises(InputError, match="how is 'logit'; did you mean 'logits'\\?, expected one of 'probabilities'"):
        together(jnp.zeros((2, 3, 4)), "logit")  # pyright: ignore[reportArgumentType]
