"""A model that computes in bfloat16, over parameters in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from lec7 import losses, models, optim, train
from lec7.errors import InputError

BF16 = models.precision("bf16")


def network():
    return models.from_nnx(lambda rngs: models.MLP(16, (32, 16), 8, keep=0.8, rngs=rngs))


def dtypes_of(model, shape):
    """The dtypes of what a model multiplies in training, in products of matrices and in convolutions."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)
    program = jax.make_jaxpr(lambda v, x: model.apply(v, x, train=True, key=jax.random.key(0)))(variables, x)
    found = set()

    def look(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                found.update(one.aval.dtype.name for one in equation.invars)
            for inner in jaxprs_in_params(equation.params):
                look(inner)

    look(program.jaxpr)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda rngs: models.CNN((32, 32, 3), (8, 8), 16, 8, rngs=rngs),
        lambda rngs: models.resnet18(classes=4, rngs=rngs),
        lambda rngs: models.efficientnet_lite0(classes=4, rngs=rngs),
        lambda rngs: models.vit_tiny(classes=4, size=32, rngs=rngs),
    ],
    ids=["cnn", "resnet", "efficientnet", "vit"],
)
def test_products_are_in_bfloat16(build):
    model = models.from_nnx(build)
    assert dtypes_of(model, (2, 32, 32, 3)) == {"float32"}
    assert dtypes_of(models.in_precision(model, BF16), (2, 32, 32, 3)) == {"bfloat16"}


def test_a_layer_s_own_dtype_counts():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.exact = nnx.Linear(4, 4, dtype=jnp.float32, rngs=rngs)

        def __call__(self, x):
            return self.exact(x)

    assert dtypes_of(models.in_precision(models.from_nnx(Net), BF16), (2, 4)) == {"float32"}


def test_all_that_is_kept_is_in_float32():
    model, tx = models.in_precision(network(), BF16), optim.adam(1e-2)
    state = train.init(jax.random.key(0), model, tx, jnp.zeros((1, 16)))
    batch = {"image": jnp.ones((4, 16)), "label": jnp.arange(4)}
    after, metrics = train.jit(train.make_step(model, losses.cross_entropy, tx))(jax.tree.map(jnp.copy, state), batch)
    assert metrics["loss"].dtype == jnp.float32
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)


@pytest.mark.slow
def test_it_trains_as_float32_does_but_for_its_rounding(small):
    ends = {}
    for name, model in (("float32", small.model), ("bf16", models.in_precision(small.model, BF16))):
        step, state = train.make_step(model, losses.cross_entropy, small.optimizer), small.init()
        for state, _ in train.fit(step, state, small.source, steps=30, batch_size=20, every=30):
            ends[name] = state.params["head"]["kernel"]
    difference = np.abs(ends["bf16"] - ends["float32"])
    assert 0 < difference.max() < 0.05


@pytest.mark.slow
def test_gradients_are_near_those_of_float32():
    x, y = jax.random.normal(jax.random.key(1), (32, 16)), jnp.arange(32) % 8
    variables = network().init(jax.random.key(0), x)

    def slope(model):
        def loss(params):
            outputs, _ = model.apply(models.Variables(params, variables.state), x, train=False)
            return losses.cross_entropy(outputs, {"label": y})["loss"].mean()

        return jax.grad(loss)(variables.params)

    for exact, rounded in zip(
        jax.tree.leaves(slope(network())), jax.tree.leaves(slope(models.in_precision(network(), BF16))), strict=True
    ):
        assert rounded.dtype == jnp.float32
        assert jnp.linalg.norm(rounded - exact) <= 0.2 * jnp.linalg.norm(exact) + 1e-6


def test_integers_go_through_and_outputs_may_be_anything():
    def init(key, inputs):
        return models.Variables({"table": jnp.ones((5, 3))}, {"calls": jnp.zeros((), jnp.int32)})

    def apply(variables, inputs, *, train, key=None):
        assert inputs.dtype == jnp.int32
        row = variables.params["table"][inputs]
        return {"row": row, "index": inputs}, {"calls": variables.state["calls"] + 1}

    model = models.in_precision(models.Model(init, apply), models.Precision(jnp.float16, jnp.bfloat16))
    variables = model.init(jax.random.key(0), jnp.zeros(2, jnp.int32))
    outputs, state = model.apply(variables, jnp.zeros(2, jnp.int32), train=True)
    assert (outputs["row"].dtype, outputs["index"].dtype, state["calls"].dtype) == (jnp.bfloat16, jnp.int32, jnp.int32)


def test_a_precision_that_there_is_none_of_is_refused():
    with pytest.raises(InputError, match=r"no precision 'bf61'; did you mean 'bf16'\?; known are bf16"):
        models.precision("bf61")
