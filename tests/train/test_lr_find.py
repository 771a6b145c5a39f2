"""The search for a learning rate looks, and touches nothing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, data, losses, models, optim, random, report, train
from lec7.errors import InputError


@pytest.fixture(scope="module")
def digits():
    source, _ = data.digits()
    model = models.from_nnx(lambda rngs: models.MLP(64, (32,), 10, keep=0.9, rngs=rngs))

    def begin(optimizer):
        state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
        return train.make_step(model, losses.cross_entropy, optimizer), state

    key = random.stream(jax.random.key(1), "order")
    return begin, [data.batch(key, source, t, 64) for t in range(25)]


@pytest.mark.slow
def test_state_and_randomness_are_as_they_were(digits, same):
    begin, batches = digits
    step, state = begin(optax.chain(optim.adam(1e-3), averaging.ema(0.9)))
    before = jax.tree.map(jnp.copy, state)
    found = train.lr_find(step, state, batches, steps=30)
    same(state, before)
    again = train.lr_find(step, state, batches, steps=30)
    np.testing.assert_array_equal(found.losses, again.losses)


@pytest.mark.slow
@pytest.mark.parametrize("make", [optim.adam, optim.sgd])
def test_the_suggestion_learns_and_a_hundred_times_as_much_does_worse(digits, make):
    begin, batches = digits
    step, state = begin(make(1.0))
    found = train.lr_find(step, state, batches)

    def after(rate):
        step, state = begin(make(rate))
        step = jax.jit(step)
        for batch in itertools.islice(itertools.cycle(batches), 100):
            state, metrics = step(state, batch)
        return float(metrics["loss"])

    assert after(found.suggestion) < 0.6 * found.losses[0]
    assert after(found.suggestion) < after(found.suggestion / 1000)
    assert not after(found.suggestion) > after(found.suggestion * 300)
    assert len(found.rates) == len(found.losses) == len(found.smooth) <= 100


def test_the_smooth_loss_is_a_mean_without_bias_and_ends_the_search_at_four_times_its_lowest(digits):
    begin, batches = digits
    found = train.lr_find(*begin(optim.sgd(1.0)), batches, highest=1e3, smoothing=0.8)
    weights = 0.8 ** np.arange(len(found.losses))
    smooth = [np.average(found.losses[i::-1], weights=weights[: i + 1]) for i in range(len(found.losses))]
    np.testing.assert_allclose(found.smooth, smooth, rtol=1e-9)
    over = found.smooth > 4 * np.minimum.accumulate(found.smooth)
    assert over.tolist() == [False] * (len(over) - 1) + [True]
    np.testing.assert_allclose(found.suggestion, found.rates[np.argmin(found.smooth)] / 10)


def test_the_rate_of_the_optimizer_at_hand_has_no_influence(digits):
    begin, batches = digits
    losses = [train.lr_find(*begin(optim.adam(rate)), batches, steps=20, highest=1e-2).losses for rate in (1e-4, 1e-2)]
    np.testing.assert_allclose(*losses, rtol=2e-3)


def test_constant_rates_are_plain_training(digits):
    """With a schedule whose rates are those that are tried, the search is training."""
    begin, batches = digits
    rates = jnp.asarray(np.geomspace(1e-4, 1e-2, 10), jnp.float32)
    step, state = begin(optim.adam(lambda t: rates[t]))
    found = train.lr_find(step, state, batches, lowest=1e-4, highest=1e-2, steps=10)
    step = jax.jit(step)
    for batch, loss in zip(batches, found.losses, strict=False):
        state, metrics = step(state, batch)
        np.testing.assert_allclose(loss, metrics["loss"], rtol=1e-5)


def test_groups_keep_their_proportions(digits):
    begin, batches = digits
    step, state = begin(optim.groups({"head/.*": optim.sgd(1.0), ".*": optim.sgd(0.25)}))
    one, other = begin(optim.groups({"head/.*": optim.sgd(1e-3), ".*": optim.sgd(0.25e-3)}))
    found = train.lr_find(step, state, batches, steps=8, highest=0.1)
    np.testing.assert_allclose(found.losses, train.lr_find(one, other, batches, steps=8, highest=0.1).losses, rtol=1e-4)


def test_it_can_be_seen(digits, tmp_path):
    begin, batches = digits
    found = train.lr_find(*begin(optim.adam(1e-3)), batches)
    assert report.learning_rates(found, tmp_path / "rates.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("optimizer", "options", "told"),
    [
        (optim.adam(1e-3), {"batches": []}, "there are no batches"),
        (optim.adam(1e-3), {"lowest": 1.0, "highest": 0.1}, "lowest is 1.0 and highest 0.1"),
        (optim.adam(1e-3), {"lowest": 0.0}, "^lowest is 0.0, expected a finite number more than 0; give"),
        (optim.adam(1e-3), {"highest": float("inf")}, "^highest is inf, expected a finite number more than 0"),
        (optim.adam(1e-3), {"steps": 0}, "^steps is 0, expected a whole number, at least 1; give how many"),
        (optim.adam(1e-3), {"smoothing": 1.0}, "smoothing is 1.0"),
        (optax.sgd(1e-3), {}, "tells no learning rate; end it with optim.scale_by_learning_rate"),
        (optim.adam(lambda t: 1e-3 * t), {}, "the learning rate of step 0 is 0.0"),
    ],
)
def test_what_can_not_be_searched_is_told(digits, optimizer, options, told):
    begin, batches = digits
    with pytest.raises(InputError, match=told):
        train.lr_find(*begin(optimizer), **({"batches": batches} | options))


def test_a_loss_that_is_nan_from_the_beginning(digits):
    begin, batches = digits
    broken = [{**batch, "image": batch["image"] * jnp.nan} for batch in batches]
    with pytest.raises(InputError, match="the loss is nan from the beginning"):
        train.lr_find(*begin(optim.adam(1e-3)), broken)
