"""Surgery gives new models and leaves the old ones as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_network as tiny

from lec7 import losses, models, optim, train, transfer, tree
from lec7.errors import InputError


def logits(model, variables, x):
    return model.apply(variables, x, train=False)[0]


@pytest.fixture(autouse=True)
def untouched():
    """Whatever a test does, the pretrained variables are as they were."""
    _, variables = tiny.pretrained()
    before = jax.tree.map(np.array, variables)
    yield
    assert jax.tree.all(jax.tree.map(np.array_equal, before, variables))


@pytest.mark.slow
def test_a_new_head_gives_each_class_the_same_chance():
    model, variables = transfer.replace_head(jax.random.key(0), *tiny.pretrained(), 10)
    found = losses.cross_entropy(logits(model, variables, tiny.images(6)), {"label": jnp.arange(6)})
    np.testing.assert_allclose(found["loss"], np.log(10), rtol=1e-6)
    assert variables.params["blocks"] is tiny.pretrained()[1].params["blocks"]
    assert model.init(jax.random.key(5), tiny.images(1)) is variables


def test_a_small_head_is_drawn_from_the_key():
    heads = [
        transfer.replace_head(jax.random.key(seed), *tiny.pretrained(), 500, std=0.01)[1].params["head"]["kernel"]
        for seed in (0, 0, 1)
    ]
    assert (heads[0] == heads[1]).all()
    assert not (heads[0] == heads[2]).any()
    assert abs(float(heads[0].std()) - 0.01) < 0.001


@pytest.mark.parametrize("at", tiny.STAGES[:-1])
def test_a_network_is_what_lies_below_a_cut_and_what_lies_beyond(at):
    model, variables = tiny.pretrained()
    x = tiny.images(3)
    below = logits(transfer.cut(model, at), variables, x)
    above = logits(transfer.rest(model, at), variables, below)
    np.testing.assert_array_equal(above, logits(model, variables, x))


def test_what_lies_beyond_a_cut_is_not_computed():
    model, variables = tiny.pretrained()

    def flops(model):
        cost = jax.jit(lambda v, x: logits(model, v, x)).lower(variables, tiny.images(2)).cost_analysis()
        return cost["flops"]

    assert flops(transfer.cut(model, "stem")) < 0.2 * flops(model)


def test_the_rest_trains_with_dropout_as_the_whole_does():
    model, variables = tiny.pretrained()
    key, x = jax.random.key(3), tiny.images(4)
    frozen = transfer.freeze_statistics(model)
    whole, _ = frozen.apply(variables, x, train=True, key=key)
    below, _ = transfer.cut(frozen, "blocks/1").apply(variables, x, train=True, key=key)
    above, _ = transfer.rest(frozen, "blocks/1").apply(variables, below, train=True, key=key)
    np.testing.assert_allclose(above, whole, rtol=1e-6)
    assert not np.allclose(whole, logits(model, variables, x))


@pytest.mark.parametrize("at", ["stem", "blocks/1"])
def test_a_shorter_network_pools_the_stage_at_which_it_ends(at):
    model, variables = tiny.pretrained()
    x = tiny.images(3)
    short, arrays = transfer.shorten(model, variables, at, 5, x)
    np.testing.assert_allclose(logits(short, arrays, x), 0)
    pooled = models.mean_and_std_pool(logits(transfer.cut(model, at), variables, x))
    np.testing.assert_allclose(logits(transfer.cut(short, "pool"), arrays, x), pooled, rtol=1e-6)
    assert short.init(jax.random.key(0), x) is arrays
    left = {name.rsplit("/", 1)[0] for name in tree.paths(arrays.params)}
    assert "neck/conv" not in left
    assert ("blocks/2/layer/conv" in left) is False
    fresh = models.variables_of(short.outline)
    assert jax.tree.structure(fresh) == jax.tree.structure(arrays)


def test_frozen_batch_norm_is_bit_identical_after_training():
    model, variables = tiny.pretrained()
    frozen = transfer.freeze_statistics(model)
    tx = optim.adam(1e-2)
    state = train.init(jax.random.key(0), frozen, tx, tiny.images(1))
    step = train.jit(train.make_step(frozen, losses.cross_entropy, tx))
    for _ in range(5):
        state, _ = step(state, tiny.source()[:20])
    assert jax.tree.all(jax.tree.map(np.array_equal, state.model_state, variables.state))
    assert not np.allclose(state.params["stem"]["conv"]["kernel"], variables.params["stem"]["conv"]["kernel"])


def test_batch_norms_are_frozen_by_name():
    model, variables = tiny.pretrained()
    partly = transfer.freeze_statistics(model, "(stem|blocks/[01])/.*")
    _, state = partly.apply(variables, tiny.images(5), train=True, key=jax.random.key(0))
    same = tree.named(jax.tree.map(np.array_equal, state, variables.state))
    assert {name.split("/norm")[0] for name, is_same in same.items() if is_same} == {
        "stem",
        "blocks/0/layer",
        "blocks/1/layer",
    }


def test_a_gray_image_is_one_of_three_equal_channels():
    model, variables = tiny.pretrained()
    gray = tiny.images(3)[..., :1]
    one = models.from_nnx(
        lambda rngs: models.Network(
            models.ConvNorm(1, 6, size=3, stride=2, activation=jax.nn.relu, rngs=rngs),
            [tiny.Block(6, rngs) for _ in range(4)],
            models.ConvNorm(6, 12, activation=jax.nn.relu, rngs=rngs),
            models.mean_pool,
            tiny.network(rngs=rngs).head,
        )
    )
    adapted = variables._replace(params=transfer.adapt_input(variables.params, 1))
    expected = logits(model, variables, jnp.repeat(gray, 3, -1))
    np.testing.assert_allclose(logits(one, adapted, gray), expected, rtol=1e-4, atol=1e-5)
    back = adapted._replace(params=transfer.adapt_input(adapted.params, 3))
    np.testing.assert_allclose(logits(model, back, jnp.repeat(gray, 3, -1)), expected, rtol=1e-4, atol=1e-5)


def test_lora_begins_as_the_model_and_merges_into_it():
    model, _ = tiny.pretrained()
    adapted = transfer.lora(model, "blocks/.*/kernel", rank=2)
    arrays = adapted.init(jax.random.key(1), tiny.images(1))
    x = tiny.images(4)
    np.testing.assert_array_equal(logits(adapted, arrays, x), logits(model, model.init(jax.random.key(1), x), x))
    moved = arrays._replace(
        params=jax.tree.map(lambda p: p + jnp.sin(jnp.arange(p.size) * 1.7).reshape(p.shape), arrays.params)
    )
    merged = transfer.merge(moved)
    np.testing.assert_allclose(logits(model, merged, x), logits(adapted, moved, x), rtol=1e-5)
    ranks = [
        np.linalg.matrix_rank(np.reshape(w - (moved.params["blocks"][i]["layer"]["conv"]["kernel"]), (-1, 6)), tol=1e-4)
        for i, w in ((i, merged.params["blocks"][i]["layer"]["conv"]["kernel"]) for i in "0123")
    ]
    assert ranks == [2] * 4


def test_lora_alone_is_trained_where_the_rest_is_frozen():
    model, variables = tiny.pretrained()
    adapted = transfer.freeze_statistics(transfer.start_from(model, variables))
    adapted = transfer.lora(adapted, "blocks/.*/kernel", rank=2)
    tx = optim.groups({"lora/.*": optim.adam(1e-2), ".*": optim.frozen()})
    state = train.init(jax.random.key(0), adapted, tx, tiny.images(1))
    step = train.jit(train.make_step(adapted, losses.cross_entropy, tx))
    first = None
    for _ in range(20):
        state, metrics = step(state, tiny.source()[:])
        first = first if first is not None else float(metrics["loss"])
    assert float(metrics["loss"]) < first
    assert jax.tree.all(
        jax.tree.map(np.array_equal, {k: v for k, v in state.params.items() if k != "lora"}, variables.params)
    )


def test_several_operations_compose():
    model, variables = transfer.replace_head(jax.random.key(0), *tiny.pretrained(), 3)
    model = transfer.rest(transfer.freeze_statistics(model), "blocks/2")
    out, state = model.apply(variables, jnp.ones((2, 4, 4, 6)), train=True, key=jax.random.key(0))
    assert out.shape == (2, 3)
    assert jax.tree.all(jax.tree.map(np.array_equal, state, variables.state))


@pytest.mark.parametrize(
    ("operate", "told"),
    [
        (lambda m, v: transfer.cut(m, "blocks/11"), r"no module 'blocks/11'; did you mean 'blocks/\d'"),
        (lambda m, v: transfer.rest(m, "head"), r"no stage 'head' here; there are stem, blocks/0, .*pool"),
        (lambda m, v: transfer.shorten(m, v, "neck", 3, tiny.images(1)), "no stage 'neck' here"),
        (lambda m, v: transfer.replace_head(jax.random.key(0), m, v, 0), "classes is 0, expected at least 1"),
        (lambda m, v: transfer.replace_head(jax.random.key(0), m, v, 3, at="neck"), "'neck' is a ConvNorm"),
        (
            lambda m, v: transfer.freeze_statistics(m, "head/.*"),
            "no batch norm matches 'head/.*'; there are blocks/0",
        ),
        (lambda m, v: transfer.adapt_input(v.params, 1, at="stem/kernel"), "no kernel 'stem/kernel'"),
        (lambda m, v: transfer.lora(m, "head/bias", 2).init(jax.random.key(0), tiny.images(1)), "of shape \\(7,\\)"),
        (lambda m, v: transfer.merge(v), "the variables have no 'lora'"),
        (lambda m, v: transfer.cut(models.Model(m.init, m.apply), "stem"), "not made by models.from_nnx"),
    ],
)
def test_what_can_not_be_done_is_told(operate, told):
    with pytest.raises(InputError, match=told):
        operate(*tiny.pretrained())


def test_a_step_of_the_head_alone_costs_a_forward_pass_and_the_head():
    """By XLA's count of operations; the issue allows a tenth more."""
    model, variables = tiny.pretrained()
    model = transfer.freeze_statistics(transfer.start_from(model, variables))
    x = tiny.source()[:20]

    def flops(function, *arguments):
        return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]

    def head(params, pooled):
        return losses.cross_entropy(pooled @ params["kernel"] + params["bias"][None, :], x)["loss"].mean()

    forward = flops(lambda v, x: logits(model, v, x), variables, x["image"])
    top = flops(jax.grad(head), variables.params["head"], jnp.ones((20, 12)))

    def cost(groups):
        tx = optim.groups(groups)
        state = train.init(jax.random.key(0), model, tx, tiny.images(1))
        return flops(train.make_step(model, losses.cross_entropy, tx), state, x)

    assert cost({"head/.*": optax.sgd(0.1), ".*": optim.frozen()}) < 1.1 * (forward + top)
    assert cost({".*": optax.sgd(0.1)}) > 2 * forward
