"""Optimizers that begin later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import optim
from lec7.errors import InputError


def path(tx, steps):
    """Parameters after each step on a quadratic."""

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(2 * x, state, x)
        return (x + updates, state), x + updates

    x = jnp.array([1.0, -2.0])
    return jax.lax.scan(step, (x, tx.init(x)), length=steps)[1]


@pytest.mark.parametrize("make", [optim.adam, optim.nesterov, optim.rmsprop])
def test_it_waits_and_then_is_as_if_it_began_there(make):
    late = path(optim.from_step(make(0.1), 4), 10)
    assert (late[:4] == jnp.array([[1.0, -2.0]])).all()
    np.testing.assert_allclose(late[4:], path(make(0.1), 6), atol=1e-6)


def test_the_step_may_be_traced():
    paths = jax.vmap(lambda first: path(optim.from_step(optim.adam(0.1), first), 6))(jnp.arange(3))
    for first in range(3):
        np.testing.assert_allclose(paths[first], path(optim.from_step(optim.adam(0.1), first), 6), rtol=1e-6)


@pytest.mark.parametrize("first", [-1, 0.5, jnp.nan])
def test_a_step_is_a_whole_number(first):
    with pytest.raises(InputError, match="expected a whole number, at least 0; give the step of the first update"):
        optim.from_step(optim.adam(0.1), first)
