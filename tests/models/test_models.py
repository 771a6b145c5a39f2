import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lec7 import tree
from lec7.models import CNN, MLP, Model, Variables, from_linen, from_nnx
from lec7.regularize import Dropout


class Linen(flax.linen.Module):
    keep: float = 0.5

    @flax.linen.compact
    def __call__(self, x, train: bool):
        x = flax.linen.Dense(16)(x)
        x = flax.linen.BatchNorm(use_running_average=not train)(x)
        return flax.linen.Dropout(1 - self.keep, deterministic=not train)(x)


class Nnx(nnx.Module):
    """Flax's own layers, which hold their generators."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(4, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.first, self.second = nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        x = self.norm(self.linear(x))
        return jnp.concatenate([self.first(jnp.ones_like(x)), self.second(jnp.ones_like(x)), x], -1)


class Keyed(nnx.Module):
    """lec7's layer, which gets its key with each call."""

    def __init__(self, rngs):
        self.linear, self.dropout = nnx.Linear(4, 16, rngs=rngs), Dropout(0.5)
        self.norm = nnx.BatchNorm(16, rngs=rngs)

    def __call__(self, x, *, key=None):
        return self.dropout(self.norm(self.linear(x)), key=key)


def plain_init(key, inputs):
    return Variables({"w": jax.random.normal(key, (4, 16))}, {"calls": jnp.zeros(())})


def plain_apply(variables, inputs, *, train, key=None):
    noise = jax.random.normal(key, (16,)) if train else jnp.zeros(16)
    outputs = inputs @ variables.params["w"] + noise[None]
    return outputs, {"calls": variables.state["calls"] + train}


MODELS = {
    "linen": lambda: from_linen(Linen()),
    "nnx": lambda: from_nnx(Nnx),
    "nnx, keyed": lambda: from_nnx(Keyed),
    "mlp": lambda: from_nnx(lambda rngs: MLP(4, (8, 8), 16, keep=0.5, rngs=rngs)),
    "plain": lambda: Model(plain_init, plain_apply),
}
WITHOUT_NOISE_IN_TESTING = ("linen", "plain")  # their one argument `train` switches noise and statistics together
X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_the_contract(key, name):
    """One key gives one output, another key another; testing needs no key, and changes no state with one or without."""
    model = MODELS[name]()
    variables = model.init(key, X[:1])
    apply = jax.jit(model.apply, static_argnames="train")
    one, state = apply(variables, X, train=True, key=key)
    same, _ = apply(variables, X, train=True, key=key)
    other, _ = apply(variables, X, train=True, key=jax.random.key(1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert jax.tree.structure(state) == jax.tree.structure(variables.state)
    assert any(
        not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(variables.state), strict=True)
    )

    tested, unchanged = apply(variables, X, train=False)
    again, _ = apply(variables, X, train=False)
    np.testing.assert_array_equal(tested, again)
    noisy, unchanged_too = apply(variables, X, train=False, key=key)
    assert np.array_equal(tested, noisy) == (name in WITHOUT_NOISE_IN_TESTING)
    for state in (unchanged, unchanged_too):
        for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(variables.state), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_variables_are_plain_dicts_with_text_keys_all_the_way_down(key, name):
    variables = MODELS[name]().init(key, X[:1])

    def check(node):
        if isinstance(node, dict):
            assert all(isinstance(name, str) for name in node)
            for child in node.values():
                check(child)
        else:
            assert isinstance(node, jax.Array)

    check(variables.params)
    check(variables.state)


def test_linen_and_nnx_agree_on_the_same_weights(key):
    model, other = from_linen(Linen()), from_nnx(Keyed)
    linen, mine = model.init(key, X[:1]), other.init(key, X[:1])
    params = {"linear": linen.params["Dense_0"], "norm": linen.params["BatchNorm_0"]}
    a, _ = model.apply(linen, X, train=False)
    b, _ = other.apply(Variables(params, mine.state), X, train=False)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_two_dropout_layers_of_one_module_draw_apart(key):
    model = from_nnx(Nnx)
    outputs, _ = model.apply(model.init(key, X[:1]), X, train=True, key=key)
    assert not np.array_equal(outputs[:, :16], outputs[:, 16:32])


def test_linen_streams_of_layers_draw_apart(key):
    class Two(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, x, deterministic: bool):
            drop = [flax.linen.Dropout(0.5, deterministic=deterministic) for _ in range(2)]
            return drop[0](x), drop[1](x)

    model = from_linen(Two())
    (a, b), _ = model.apply(model.init(key, X), jnp.ones((8, 16)), train=True, key=key)
    assert not np.array_equal(a, b)


def test_a_leaf_has_one_name(key):
    model = from_nnx(lambda rngs: CNN((8, 8, 1), (4, 4), 8, 10, rngs=rngs))
    variables = model.init(key, jnp.zeros((1, 8, 8, 1)))
    assert "convs/1/kernel" in tree.paths(variables.params)
    assert tree.paths(variables.state) == ["norms/0/mean", "norms/0/var", "norms/1/mean", "norms/1/var"]


def test_a_layers_number_may_be_traced(key):
    def loss(keep):
        model = from_nnx(lambda rngs: MLP(4, (8,), 16, keep=keep, rngs=rngs))
        return model.apply(model.init(key, X[:1]), X, train=True, key=key)[0]

    lanes = jax.jit(jax.vmap(loss))(jnp.array([0.4, 0.9]))
    for lane, keep in zip(lanes, (0.4, 0.9), strict=True):
        np.testing.assert_allclose(lane, loss(keep), rtol=1e-5, atol=1e-6)


def test_init_is_a_function_of_the_key(key):
    model = MODELS["mlp"]()
    a, b, c = model.init(key, X), model.init(key, X), model.init(jax.random.key(1), X)
    np.testing.assert_array_equal(a.params["head"]["kernel"], b.params["head"]["kernel"])
    assert not np.array_equal(a.params["head"]["kernel"], c.params["head"]["kernel"])
