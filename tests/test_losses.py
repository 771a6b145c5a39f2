import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import losses

RNG = np.random.default_rng(0)
LABELS = jnp.array([0, 3, 3, 1])


def loss(logits):
    return losses.cross_entropy(logits, {"label": LABELS})["loss"].sum()


def theirs(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).sum()


@pytest.mark.parametrize("scale", [1, 100, 1e4])
@pytest.mark.parametrize("of", [lambda f: f, jax.grad, jax.hessian, lambda f: jax.grad(lambda x: jax.grad(f)(x)[0, 1])])
def test_cross_entropy_and_its_derivatives_are_optaxs(x64, scale, of):
    logits = jnp.asarray(scale * RNG.normal(size=(4, 5)))
    np.testing.assert_allclose(of(loss)(logits), of(theirs)(logits), rtol=1e-12, atol=1e-12)


def test_forward_and_reverse_mode_agree(x64):
    logits, tangent = (jnp.asarray(RNG.normal(size=(4, 5))) for _ in range(2))
    _, forward = jax.jvp(loss, (logits,), (tangent,))
    np.testing.assert_allclose(forward, jnp.vdot(jax.grad(loss)(logits), tangent), rtol=1e-12)


def test_the_loss_at_even_odds_is_log_classes():
    out = losses.cross_entropy(jnp.zeros((4, 10)), {"label": LABELS})
    np.testing.assert_allclose(out["loss"], np.log(10), rtol=1e-6)


def test_accuracy_is_of_the_largest_logit():
    logits = jax.nn.one_hot(jnp.array([0, 3, 1, 1]), 5)
    assert losses.cross_entropy(logits, {"label": LABELS})["accuracy"].tolist() == [1, 1, 0, 1]


def test_squared_error_is_half_the_squared_distance():
    out = losses.squared_error(jnp.zeros((2, 3, 2)), {"target": jnp.ones((2, 3, 2))})
    assert out["loss"].tolist() == [3.0, 3.0]
