import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lec7.data import HostOrder, InOrder, batch_indices, permute
from lec7.data.order import _divmod_product
from lec7.errors import InputError

jitted = jax.jit(batch_indices, static_argnums=(2, 3))


@pytest.mark.parametrize("length", [1, 2, 3, 7, 100, 1797, 60000])
def test_permute_is_one_to_one(key, length):
    image = np.asarray(permute(key, jnp.arange(length), length, epoch=3))
    np.testing.assert_array_equal(np.sort(image), np.arange(length))


def test_an_epoch_sees_each_example_once_even_where_batches_straddle_epochs(key):
    length, size = 10, 4
    stream = np.concatenate([batch_indices(key, step, length, size) for step in range(15)])
    for epoch in stream.reshape(-1, length):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(length))


def test_epochs_and_keys_differ(key):
    orders = [np.asarray(permute(k, jnp.arange(1000), 1000, e)) for k in (key, jax.random.key(1)) for e in range(2)]
    for i in range(4):
        for j in range(i):
            # Two random permutations of n agree in about one place (Poisson of mean 1).
            assert np.sum(orders[i] == orders[j]) < 10


def test_places_are_uniform_and_neighbours_are_torn_apart(key):
    length, epochs = 97, 2000
    images = np.asarray(jax.jit(jax.vmap(lambda e: permute(key, jnp.arange(length), length, e)))(jnp.arange(epochs)))
    for place in (0, 50, 96):
        counts = np.bincount(images[:, place], minlength=length)
        chi2 = np.sum((counts - epochs / length) ** 2 / (epochs / length))
        # 96 degrees of freedom: mean 96, standard deviation 13.9.
        assert chi2 < 96 + 5 * 13.9
    steps = np.diff(images, axis=1) % length
    # A random permutation keeps a pair of neighbours together with chance 1 / (length - 1).
    assert np.mean(steps == 1) < 2 / length


def test_a_traced_step_is_the_known_one(key):
    traced = jax.jit(lambda step: batch_indices(key, step, 1437, 128))
    for step in (0, 11, 12345):
        np.testing.assert_array_equal(traced(step), batch_indices(key, step, 1437, 128))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2**16), st.integers(1, 2**30))
def test_the_product_is_exact_beyond_32_bits(step, batch_size, length):
    epochs, places = _divmod_product(np.uint32(step), batch_size, length)
    assert (int(epochs), int(places)) == (step * batch_size // length % 2**32, step * batch_size % length)


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_batch_that_the_data_set_cannot_fill_is_refused(key, size):
    with pytest.raises(InputError, match=f"batch_size is {size}, expected 1 to 10"):
        batch_indices(key, 0, 10, size)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.one_of(st.integers(1, 20), st.integers(1, 2**30), st.just(2**30)),
    st.integers(1, 2000),
    st.integers(0, 2**31 - 1),
)
def test_the_order_on_the_host_is_that_on_the_device(step, length, batch_size, seed):
    key, batch_size = jax.random.key(seed), min(batch_size, length)
    found = HostOrder(key, length, batch_size).indices(step)
    np.testing.assert_array_equal(found, jitted(key, step, length, batch_size))
    assert found.dtype == np.int32


@pytest.mark.parametrize("order", [HostOrder(jax.random.key(0), 10, 4), InOrder(4)])
def test_the_order_of_several_steps_is_that_of_each(order):
    steps = np.array([[3, 0], [7, 10**6]])
    expected = [[order.indices(step) for step in row] for row in steps.tolist()]
    np.testing.assert_array_equal(order.indices(steps), expected)


def test_the_order_on_the_host_goes_on_from_epoch_to_epoch(key):
    order = pickle.loads(pickle.dumps(HostOrder(key, 10, 4)))
    for step in (*range(15), 2**31 - 1):
        np.testing.assert_array_equal(order.indices(step), batch_indices(key, step, 10, 4))
    epochs = np.concatenate([order.indices(step) for step in range(15)]).reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(10), (6, 1)))


def test_the_order_on_the_host_draws_large_batches_and_single_examples(key):
    np.testing.assert_array_equal(HostOrder(key, 10**6, 10**5).indices(12), batch_indices(key, 12, 10**6, 10**5))
    assert [HostOrder(key, 1, 1).indices(step).tolist() for step in (0, 7)] == [[0], [0]]


def test_the_order_on_the_host_refuses_what_the_device_refuses(key):
    with pytest.raises(InputError, match="batch_size is 11, expected 1 to 10"):
        HostOrder(key, 10, 11)
    with pytest.raises(InputError, match="expected a typed one"):
        HostOrder(jax.random.PRNGKey(0), 10, 5)
