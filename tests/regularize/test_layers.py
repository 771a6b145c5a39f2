"""What the layers add to the functions: a key for each call, testing, and numbers that may be traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lec7 import ensemble, models, regularize
from lec7.errors import InputError
from lec7.regularize import Hyperparameter

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 3)), jnp.float32)
LAYERS = {
    "Dropout": (lambda rate: regularize.Dropout(rate), regularize.dropout),
    "SpatialDropout": (lambda rate: regularize.SpatialDropout(rate), regularize.spatial_dropout),
    "StochasticDepth": (lambda rate: regularize.StochasticDepth(rate), regularize.stochastic_depth),
    "GaussianNoise": (lambda rate: regularize.GaussianNoise(rate), regularize.gaussian_noise),
    "FractionalMaxPool": (
        lambda rate: regularize.FractionalMaxPool((4, 5), "random", overlapping=False),
        lambda key, x, rate: regularize.fractional_max_pool(key, x, (4, 5), "random", overlapping=False),
    ),
}
every = pytest.mark.parametrize("name", LAYERS)


@every
def test_in_training_it_is_the_function(name, key):
    make, function = LAYERS[name]
    np.testing.assert_array_equal(make(0.6)(X, key=key), function(key, X, 0.6))


@every
def test_in_testing_it_is_the_identity_or_regions_evenly_spaced(name):
    layer = LAYERS[name][0](0.6)
    layer.eval()
    even = regularize.even_max_pool(X, (4, 5), overlapping=False)
    np.testing.assert_array_equal(layer(X), even if name == "FractionalMaxPool" else X)


@pytest.mark.parametrize("name", [*LAYERS, "DropConnect"])
def test_in_training_without_a_key_it_is_refused(name):
    layer = regularize.DropConnect(3, 2, 0.5, rngs=nnx.Rngs(0)) if name == "DropConnect" else LAYERS[name][0](0.6)
    with pytest.raises(InputError, match=f"{name} has no key in training; call it with key=..., or call eval()"):
        layer(X)


def test_a_pool_takes_one_number_for_both_sides_and_knows_its_kinds(key):
    square, pair = regularize.FractionalMaxPool(3), regularize.FractionalMaxPool((3, 3))
    images = jax.random.normal(key, (2, 7, 8, 1))
    np.testing.assert_array_equal(square(images, key=key), pair(images, key=key))
    with pytest.raises(InputError, match=r"no kind 'rnadom'.*did you mean 'random'"):
        regularize.FractionalMaxPool(3, "rnadom")
    with pytest.raises(InputError, match=r"output_shape is \(3,\), expected height and width"):
        regularize.FractionalMaxPool((3,))


def test_rates_out_of_range_are_refused():
    for make in (regularize.Dropout, regularize.SpatialDropout, regularize.StochasticDepth):
        with pytest.raises(InputError, match="the chance to keep"):
            make(0.0)
    with pytest.raises(InputError, match="the chance to keep"):
        regularize.DropConnect(3, 2, 2.0, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="standard deviation"):
        regularize.GaussianNoise(-1.0)


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_drop_connect_is_a_product_with_dropped_weights(per_example, use_bias, key):
    bias = nnx.initializers.normal()
    layer = regularize.DropConnect(3, 4, 0.5, per_example, rngs=nnx.Rngs(0), use_bias=use_bias, bias_init=bias)
    kernel, bias = layer.linear.kernel[...], np.asarray(layer.linear.bias[...]) if use_bias else np.zeros(4)
    weights = regularize.drop_connect(key, kernel, 0.5, examples=2 if per_example else None)
    for x in (X, X[:, 0, 0]):
        expected = [np.asarray(x[i]) @ np.asarray(weights[i] if per_example else weights) + bias for i in range(2)]
        np.testing.assert_allclose(layer(x, key=key), expected, rtol=1e-5, atol=1e-6)
    layer.eval()
    np.testing.assert_allclose(layer(X), np.asarray(X) @ np.asarray(kernel) + bias, rtol=1e-5, atol=1e-6)


class Net(nnx.Module):
    """A residual block of everything, which hands its key on by layer."""

    def __init__(self, rate, rngs):
        self.conv = nnx.Conv(3, 3, (3, 3), rngs=rngs)
        self.noise = regularize.GaussianNoise(1 - rate)
        self.spatial = regularize.SpatialDropout(rate)
        self.depth = regularize.StochasticDepth(rate)
        self.pool = regularize.FractionalMaxPool((3, 3))
        self.head = regularize.DropConnect(27, 2, rate, per_example=True, rngs=rngs)

    def __call__(self, x, *, key=None):
        keys = [None] * 5 if key is None else jax.random.split(key, 5)
        x = self.noise(x, key=keys[0])
        x = x + self.depth(self.spatial(self.conv(x), key=keys[1]), key=keys[2])
        return self.head(self.pool(x, key=keys[3]).reshape(len(x), -1), key=keys[4])


def net(rate):
    return models.from_nnx(lambda rngs: Net(rate, rngs))


@pytest.mark.slow
def test_a_model_of_all_layers_trains_tests_and_has_noise_in_testing(key):
    model = net(0.7)
    variables = model.init(key, X)
    assert sorted(variables.params) == ["conv", "head"]
    assert sorted(variables.params["head"]["linear"]) == ["bias", "kernel"]

    def loss(params, key):
        return jnp.sum(model.apply(variables._replace(params=params), X, train=True, key=key)[0] ** 2)

    first, second = (jax.jit(jax.grad(loss))(variables.params, jax.random.key(i)) for i in range(2))
    assert all(jnp.any(a != b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    tested, _ = model.apply(variables, X, train=False)
    np.testing.assert_array_equal(tested, model.apply(variables, X, train=False)[0])
    noisy, _ = model.apply(variables, X, train=False, key=key)
    np.testing.assert_allclose(noisy, model.apply(variables, X, train=True, key=key)[0], rtol=1e-5, atol=1e-6)
    assert ensemble.mc_dropout(key, model, variables, X, n=3).shape == (2, 2)


def test_the_layers_rates_may_be_swept(key):
    """Rates are leaves of the module, and no metadata of its graph."""
    state = nnx.state(Net(0.7, nnx.Rngs(0)), Hyperparameter)
    assert len(jax.tree.leaves(state)) == 4
    variables = net(0.7).init(key, X)
    lanes = jax.jit(jax.vmap(lambda rate: net(rate).apply(variables, X, train=True, key=key)[0]))(jnp.array([0.7, 1.0]))
    for lane, rate in zip(lanes, (0.7, 1.0), strict=True):
        alone, _ = net(rate).apply(variables, X, train=True, key=key)
        np.testing.assert_allclose(lane, alone, rtol=1e-5, atol=1e-5)


def test_averaged_draws_of_a_layer_come_close_to_the_exact_mean(key):
    """Of a linear layer under DropConnect the mean is the layer in testing: five standard deviations."""
    layer, x, n = regularize.DropConnect(3, 4, 0.5, rngs=nnx.Rngs(0)), X[:, 0, 0], 4000
    mean = regularize.averaged(key, lambda key: layer(x, key=key), n)
    deviation = np.sqrt(np.asarray(x) ** 2 @ np.asarray(layer.linear.kernel[...]) ** 2 * (1 - 0.5) / 0.5)
    layer.eval()
    assert np.all(np.abs(mean - layer(x)) < 5 * deviation / np.sqrt(n))
