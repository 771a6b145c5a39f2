"""Predictions of many as one, of one under many masks, and of one that many were stirred into."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import ensemble, models
from lec7.errors import InputError
from lec7.models import Model, Variables

X = jnp.asarray(np.random.default_rng(0).normal(size=(9, 4)), jnp.float32)
MODEL = models.from_nnx(lambda rngs: models.MLP(4, (16,), 3, keep=0.7, rngs=rngs))


def variables(seed):
    """With statistics that are not those of the start."""
    start = MODEL.init(jax.random.key(seed), X)
    _, state = MODEL.apply(start, 3 * X + 1, train=True, key=jax.random.key(seed))
    return start._replace(state=state)


LIST = [variables(seed) for seed in range(5)]
STACKED = jax.tree.map(lambda *xs: jnp.stack(xs), *LIST)


@pytest.mark.parametrize("how", ["probabilities", "logits", "vote", "outputs"])
def test_members_stacked_or_one_at_a_time_say_the_same(how):
    stacked = ensemble.predict(MODEL, STACKED, X, how)
    np.testing.assert_allclose(ensemble.predict(MODEL, LIST, X, how), stacked, rtol=1e-5, atol=1e-6)
    outputs = np.stack([MODEL.apply(one, X, train=False)[0] for one in LIST])
    expected = models.together(jnp.asarray(outputs), how)
    np.testing.assert_allclose(stacked, expected if how == "outputs" else jnp.exp(expected), rtol=1e-5, atol=1e-6)


def test_of_an_iterable_one_member_is_looked_at_at_a_time():
    asked = []

    def members():
        for i, one in enumerate(LIST):
            asked.append(i)
            yield one
            assert asked[-1] == i  # nobody has asked for the next while this one was in use

    ensemble.predict(MODEL, members(), X)
    assert asked == [0, 1, 2, 3, 4]


def test_no_members_are_refused():
    with pytest.raises(InputError, match="the ensemble has no members"):
        ensemble.predict(MODEL, [], X)


def test_stacked_members_that_are_none_or_not_stacked_are_refused():
    none = jax.tree.map(lambda x: x[:0], STACKED)
    scalar = Variables({"w": jnp.ones(3), "scale": jnp.float32(1)}, {})
    for ask in (
        lambda members: ensemble.predict(MODEL, members, X),
        ensemble.soup,
        lambda members: list(ensemble.each(members)),
    ):
        with pytest.raises(InputError, match="the ensemble has no members, expected at least one"):
            ask(none)
        with pytest.raises(
            InputError, match=r"arrays differ in their leading axis, of members \(3 in params/head/bias"
        ):
            ask(LIST[0])
        with pytest.raises(
            InputError, match=r"\(none in params/scale, 3 in params/w\); of one model give \[variables\]"
        ):
            ask(scalar)


def test_a_soup_of_different_networks_is_refused():
    wide = models.from_nnx(lambda rngs: models.MLP(4, (17,), 3, rngs=rngs)).init(jax.random.key(0), X)
    with pytest.raises(InputError, match=r"member 1 has params/head/kernel of shape \(17, 3\), member 0 of \(16, 3\)"):
        ensemble.soup([LIST[0], wide])
    with pytest.raises(InputError, match=r"member 2 has params/w of shape None, member 0 of \(2,\)"):
        ensemble.soup([Variables({"w": jnp.ones(2)}, {})] * 2 + [Variables({}, {})])


def test_mc_dropout_is_the_mean_over_masks_with_the_statistics_of_testing():
    """Dropout by hand on the hidden layer, with batch norm's running means: the mean over many masks comes close."""
    own, key = variables(1), jax.random.key(7)
    got = ensemble.mc_dropout(key, MODEL, own, X, n=4000)
    p, s = jax.tree.map(np.asarray, (own.params, own.state["norms"]["0"]))
    h = np.asarray(X) @ p["linears"]["0"]["kernel"]
    scale, bias = p["norms"]["0"]["scale"], p["norms"]["0"]["bias"]
    h = np.maximum((h - s["mean"]) / np.sqrt(s["var"] + 1e-5) * scale + bias, 0)
    masks = np.random.default_rng(1).random((4000, 9, 16)) < 0.7
    logits = (masks * h / 0.7) @ p["head"]["kernel"] + p["head"]["bias"]
    each = np.asarray(jax.nn.softmax(logits))
    deviation = each.std(0) * np.sqrt(2 / 4000)
    assert (np.abs(got - each.mean(0)) < 5 * deviation + 1e-6).all()


def test_the_same_key_gives_the_same_masks_and_each_mask_is_another():
    one, same, other = (ensemble.mc_dropout(jax.random.key(seed), MODEL, LIST[0], X, n=3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.allclose(one, ensemble.mc_dropout(jax.random.key(1), MODEL, LIST[0], X, n=1))


def test_mc_dropout_can_be_compiled():
    compiled = jax.jit(lambda own, x, key: ensemble.mc_dropout(key, MODEL, own, x, n=3))
    expected = ensemble.mc_dropout(jax.random.key(1), MODEL, LIST[0], X, n=3)
    np.testing.assert_allclose(compiled(LIST[0], X, jax.random.key(1)), expected, rtol=1e-5)


class WithDeterministic(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x, deterministic: bool):
        return flax.linen.Dropout(0.5)(flax.linen.Dense(3)(x), deterministic=deterministic)


def test_a_linen_module_with_an_argument_deterministic_has_noise_in_testing():
    model = models.from_linen(WithDeterministic())
    own = model.init(jax.random.key(0), X)
    one = ensemble.mc_dropout(jax.random.key(1), model, own, X, n=4)
    assert not np.allclose(one, jax.nn.softmax(model.apply(own, X, train=False)[0]))


def test_a_model_without_noise_and_no_draws_are_refused():
    still = models.from_nnx(lambda rngs: models.MLP(4, (16,), 3, keep=1.0, rngs=rngs))
    with pytest.raises(InputError, match="2 draws of the model's noise gave the same outputs"):
        ensemble.mc_dropout(jax.random.key(0), still, LIST[0], X, n=2)
    with pytest.raises(InputError, match="n is 0, expected the number of draws"):
        ensemble.mc_dropout(jax.random.key(0), MODEL, LIST[0], X, n=0)
    with pytest.raises(InputError, match=r"n is 2.5, expected the number of draws .* an int of at least 1"):
        ensemble.mc_dropout(jax.random.key(0), MODEL, LIST[0], X, n=2.5)


def test_a_soup_of_equal_members_is_that_member_bit_for_bit(same):
    same(ensemble.soup([LIST[2]] * 7), LIST[2])


@pytest.mark.parametrize("members", [STACKED, LIST], ids=["stacked", "listed"])
def test_a_soup_is_the_mean_of_the_weights(members):
    got = ensemble.soup(members)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b.mean(0), rtol=1e-5, atol=1e-6), got, STACKED)
    assert jax.tree.structure(got) == jax.tree.structure(LIST[0])


def test_a_soup_of_bfloat16_is_stirred_in_float32():
    members = Variables({"w": jnp.array([1.0] * 300 + [2.0] * 300, jnp.bfloat16)}, {})
    assert float(ensemble.soup(members).params["w"]) == 1.5
    assert ensemble.soup(members).params["w"].dtype == jnp.bfloat16


def test_a_greedy_soup_takes_from_good_to_bad_whatever_makes_it_no_worse():
    """By hand, on numbers: the score is the distance from 0, and the soup of some is their mean."""
    members = Variables({"w": jnp.array([3.0, 1.0, -0.9, 8.0, -1.2])}, {})
    asked = []

    def score(one):
        asked.append(round(float(one.params["w"]), 4))
        return -abs(float(one.params["w"]))

    got = ensemble.greedy_soup(members, score)
    # -0.9 is the best; with 1.0 it is 0.05, which is better; with -1.2 it would be -0.37, with 3.0 1.03, with 8.0 2.7.
    assert got.chosen == (2, 1)
    assert asked == [3.0, 1.0, -0.9, 8.0, -1.2, 0.05, -0.3667, 1.0333, 2.7]
    assert got.score == pytest.approx(-0.05, abs=1e-6)
    np.testing.assert_allclose(got.variables.params["w"], 0.05, rtol=1e-5)


def test_a_member_whose_score_is_nan_is_the_worst():
    members = Variables({"w": jnp.array([jnp.nan, 1.0, 2.0])}, {})
    got = ensemble.greedy_soup(members, lambda one: -abs(float(one.params["w"])))
    assert (got.chosen, got.score) == ((1,), -1)
    with pytest.raises(InputError, match="the score is NaN for all 3 members, expected a number"):
        ensemble.greedy_soup(members, lambda one: float("nan"))


def test_an_unknown_way_is_met_before_anybody_is_asked():
    def asked(*arguments, **mode):
        raise AssertionError("asked")

    for call in (
        lambda how: ensemble.predict(Model(asked, asked), STACKED, X, how),
        lambda how: ensemble.predict(Model(asked, asked), LIST, X, how),
        lambda how: ensemble.mc_dropout(jax.random.key(0), Model(asked, asked), LIST[0], X, 3, how),
    ):
        with pytest.raises(InputError, match="how is 'logit'; did you mean 'logits'"):
            call("logit")


def test_a_soup_of_nobody_is_refused():
    for make in (ensemble.soup, lambda members: ensemble.greedy_soup(members, lambda one: 0.0)):
        with pytest.raises(InputError, match="the ensemble has no members"):
            make([])


def test_a_model_that_is_no_classifier_is_averaged_by_its_outputs():
    line = Model(lambda key, x: Variables({}, {}), lambda own, x, **mode: (x * own.params["a"], own.state))
    members = Variables({"a": jnp.array([1.0, 4.0])}, {})
    np.testing.assert_allclose(ensemble.predict(line, members, jnp.ones((3, 2)), "outputs"), 2.5)


def test_outputs_that_are_several_arrays_are_averaged_each_and_are_no_probabilities():
    both = Model(
        lambda key, x: Variables({}, {}), lambda own, x, **mode: ({"a": x * own.params["a"], "b": x + 1}, own.state)
    )
    members = Variables({"a": jnp.array([1.0, 4.0])}, {})
    for known in (members, list(ensemble.each(members))):
        got = ensemble.predict(both, known, jnp.ones((3, 2)), "outputs")
        np.testing.assert_allclose(got["a"], np.full((3, 2), 2.5))
        np.testing.assert_allclose(got["b"], np.full((3, 2), 2.0))
    with pytest.raises(InputError, match="outputs are a dict, expected one array of logits for 'probabilities'"):
        ensemble.predict(both, members, jnp.ones((3, 2)))
