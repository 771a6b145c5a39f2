"""Which parameter gets what."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from lec7 import averaging, losses, models, optim, train
from lec7.errors import InputError

PARAMS = {
    "backbone": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}
GRADS = jax.tree.map(lambda x: 0.5 * x, PARAMS)


def run(tx, params, grads, steps=1):
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_each_group_is_its_optimizer_alone(same):
    tx = optim.groups({"head/.*": optim.adam(1e-2), "backbone/.*": optim.momentum(1e-3)})
    params, _ = run(tx, PARAMS, GRADS, steps=5)
    for name, alone in (("head", optim.adam(1e-2)), ("backbone", optim.momentum(1e-3))):
        same(params[name], run(alone, PARAMS[name], GRADS[name], steps=5)[0])


def test_the_first_match_wins():
    tx = optim.groups({".*/bias": optim.sgd(1.0), "head/.*": optim.sgd(0.1), ".*": optim.sgd(0.0)})
    params, _ = run(tx, PARAMS, GRADS)
    moved = jax.tree.map(lambda x: round(float(1 - x.ravel()[0]), 4), params)
    assert moved == {"backbone": {"kernel": 0.0, "bias": 0.5}, "head": {"kernel": 0.05, "bias": 0.5}}


BAD = {
    "an unmatched leaf": ({"haed/.*": optim.sgd(1.0)}, "no leaf matches 'haed/.*'; did you mean 'head/.*'"),
    "a leaf left over": ({"head/.*": optim.sgd(1.0)}, "no group has the parameter 'backbone/bias'"),
    "a pattern without a leaf": (
        {".*": optim.sgd(1.0), "head/.*": optim.sgd(0.1)},
        "each leaf that 'head/.*' matches goes to a pattern ahead of it",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_patterns_that_miss_are_told(what):
    members, message = BAD[what]
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        optim.groups(members).init(PARAMS)


def test_groups_nest_and_members_see_their_own_gradients_value_and_value_function():
    seen = {}

    def update(updates, state, params=None, *, value, grad, value_fn, **extra):
        seen.update(value=value, leaves=len(jax.tree.leaves(grad)), again=value_fn(params))
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx = optim.groups({"head/.*": optim.groups({".*/bias": spy, ".*": optim.sgd(1.0)}), ".*": optim.frozen()})

    def value_fn(params):
        return sum(jnp.sum(x) for x in jax.tree.leaves(params))

    state = tx.init(PARAMS)
    tx.update(GRADS, state, PARAMS, value=jnp.array(7.0), grad=GRADS, value_fn=value_fn)
    assert seen == {"value": 7.0, "leaves": 1, "again": value_fn(PARAMS)}
    assert optim.frozen_paths(state) == {"backbone/kernel", "backbone/bias"}


def test_a_member_s_clipping_is_over_its_own_norm():
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optim.sgd(1.0))
    grads = {"backbone": jax.tree.map(lambda x: 1e3 * x, GRADS["backbone"]), "head": GRADS["head"]}
    params, _ = run(optim.groups({"head/.*": clipped, ".*": optim.frozen()}), PARAMS, grads)
    norm = optax.tree.norm(GRADS["head"])
    np.testing.assert_allclose(1 - params["head"]["bias"], 0.5 / norm, rtol=1e-5)


class TwoLayers(nnx.Module):
    def __init__(self, rngs):
        self.backbone = nnx.Linear(64, 64, rngs=rngs)
        self.head = nnx.Linear(64, 8, rngs=rngs)

    def __call__(self, x):
        return self.head(jax.nn.relu(self.backbone(x)))


BATCH = {
    "image": jnp.asarray(np.random.default_rng(0).normal(size=(32, 64)), jnp.float32),
    "label": jnp.arange(32) % 8,
}


def two_layers(tx):
    model = models.from_nnx(TwoLayers)
    step = train.make_step(model, losses.cross_entropy, tx)
    return step, train.init(jax.random.key(0), model, tx, BATCH["image"])


def test_frozen_is_frozen(same):
    """Bit for bit after a hundred steps, with clipping and weight decay all about it; without state, without a norm."""
    members = {"head/.*": optim.adamw(1e-2, weight_decay=0.1), "backbone/.*": optim.frozen()}
    norms = []

    def spy(updates, state, params=None, **extra):
        norms.append((optax.tree.norm(updates), optax.tree.norm(updates["head"])))
        return updates, state

    tx = optax.chain(
        optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), spy),
        optax.clip_by_global_norm(0.1),
        optim.groups(members),
        optax.add_decayed_weights(1e-3),
        averaging.ema(0.9),
    )
    step, state = two_layers(tx)
    start = state
    for metrics in [step(state, BATCH)[1]]:
        assert float(metrics["learning_rate/head/.*"]) == pytest.approx(1e-2)
    np.testing.assert_array_equal(*norms[0])
    jitted = jax.jit(step)
    for _ in range(100):
        state, _ = jitted(state, BATCH)
    same(state.params["backbone"], start.params["backbone"])
    assert not np.allclose(state.params["head"]["kernel"], start.params["head"]["kernel"])
    moments = jax.tree.leaves(optim.groups(members).init(start.params))
    assert sum(x.size for x in moments) < 3 * (64 * 8 + 8) + 10


def test_frozen_gradients_are_not_computed():
    """The compiled step has fewer operations: neither the product for the frozen kernel's gradient, nor Adam's."""

    def flops(tx):
        step, state = two_layers(tx)
        return jax.jit(step).lower(state, BATCH).compile().cost_analysis()["flops"]

    free = flops(optim.groups({".*": optim.adam(1e-2)}))
    frozen = flops(optim.groups({"head/.*": optim.adam(1e-2), ".*": optim.frozen()}))
    assert free - frozen > 2 * 32 * 64 * 64


def test_factors_by_path():
    tx = optim.scale_by_path({r"(\w+)/kernel": lambda layer: {"head": 1.0, "backbone": 0.1}[layer], ".*/bias": 2.0})
    updates, _ = tx.update(GRADS, tx.init(PARAMS))
    factors = jax.tree.map(lambda u, g: round(float((u / g).ravel()[0]), 5), updates, GRADS)
    assert factors == {"backbone": {"kernel": 0.1, "bias": 2.0}, "head": {"kernel": 1.0, "bias": 2.0}}
    with pytest.raises(InputError, match="no leaf matches 'body"):
        optim.scale_by_path({"body/.*": 0.1}).init(PARAMS)


def test_weight_decay_reaches_what_it_is_told_to(x64):
    params = jax.tree.map(lambda x: jnp.asarray(2.0 * np.asarray(x)), PARAMS)
    zeros = jax.tree.map(jnp.zeros_like, params)
    coupled = optax.chain(optim.coupled_weight_decay(0.1, where=".*/kernel"), optim.sgd(0.5))
    updates, _ = coupled.update(zeros, coupled.init(params), params)
    np.testing.assert_allclose(updates["head"]["kernel"], -0.5 * 0.1 * 2)
    np.testing.assert_array_equal(updates["head"]["bias"], 0)
    schedule = optim.adamw(0.5, weight_decay=lambda t: 0.1 * (t + 1), where="head/.*")
    state = schedule.init(params)
    for t in range(2):
        updates, state = schedule.update(zeros, state, params)
        np.testing.assert_allclose(updates["head"]["kernel"], -0.5 * 0.1 * (t + 1) * 2)
    with pytest.raises(InputError, match="no leaf matches"):
        optim.adamw(0.1, where="kernels").init(params)
    with pytest.raises(InputError, match="needs the parameters"):
        coupled.update(zeros, coupled.init(params))


def test_the_description_tells_each_leaf_s_fate():
    tx = optax.chain(
        optim.scale_by_path({"head/.*": 0.5}),
        optim.groups({"head/.*": optim.adamw(1e-2, weight_decay=0.1, where=".*/kernel"), ".*": optim.frozen()}),
    )
    rows = {row.path: row for row in optim.describe(tx, PARAMS)}
    kernel, frozen = rows["head/kernel"], rows["backbone/kernel"]
    assert (kernel.shape, kernel.frozen, kernel.state_bytes) == ((2, 2), False, 2 * 4 * 4)
    np.testing.assert_allclose([kernel.learning_rate, kernel.decay], [5e-3, 0.1], rtol=1e-6)
    assert rows["head/bias"].decay == 0
    assert (frozen.frozen, frozen.state_bytes, frozen.learning_rate) == (True, 0, None)
    assert "frozen" in str(optim.describe(tx, PARAMS)).splitlines()[2]


def test_optax_s_own_states_are_described_too():
    rows = optim.describe(optax.adam(1e-3), PARAMS)
    assert rows[0].transforms == ("adam",)
    assert sum(row.state_bytes for row in rows) == 2 * sum(x.nbytes for x in jax.tree.leaves(PARAMS))


def test_rates_are_told_by_group():
    tx = optim.groups({"head/.*": optim.adam(1e-2), ".*": optim.sgd(lambda t: 0.5**t)})
    rates = optim.learning_rates(tx.init(PARAMS))
    assert {name: round(float(rate), 5) for name, rate in rates.items()} == {
        "learning_rate/head/.*": 0.01,
        "learning_rate/.*": 1.0,
    }
    twice = optax.chain(optim.sgd(1.0), optim.sgd(2.0)).init(PARAMS)
    assert list(optim.learning_rates(twice)) == ["learning_rate", "learning_rate#2"]
