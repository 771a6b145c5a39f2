"""Scores against their definitions, written out in NumPy and scikit-learn."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from lec7 import data, ensemble, models
from lec7.ensemble.scores import finished, score_rows
from lec7.errors import InputError

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 400, 5)) * 2
LABELS = np.where(RNG.random(400) < 0.6, LOGITS[0].argmax(-1), RNG.integers(0, 5, 400))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def expected_calibration_error(p, labels, bins=15):
    """As it stands in Guo et al.: bin by bin."""
    confidence, right, total = p.max(1), p.argmax(1) == labels, 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def oracle(p, labels):
    return {
        "accuracy": (p.argmax(1) == labels).mean(),
        "nll": log_loss(labels, p),
        "brier": ((p - np.eye(p.shape[1])[labels]) ** 2).sum(1).mean(),
        "ece": expected_calibration_error(p, labels),
    }


def assert_close(got, expected):
    for name, value in expected.items():
        assert float(got[name]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 2.0])
def test_the_scores_are_their_definitions(sharpness):
    p = softmax(LOGITS[0] * sharpness)
    assert_close(ensemble.scores(jnp.asarray(p, jnp.float32), LABELS), oracle(p, LABELS))


def test_of_certain_and_right_probabilities_they_are_perfect():
    got = ensemble.scores(jnp.eye(5)[jnp.asarray(LABELS)], LABELS)
    assert {name: float(value) for name, value in got.items()} == {"accuracy": 1, "nll": 0, "brier": 0, "ece": 0}


def as_model():
    """The members' outputs are what their variables hold, looked up by an example's number."""
    return models.Model(
        lambda key, x: models.Variables({}, {}), lambda own, x, **mode: (own.params["table"][x], own.state)
    )


SOURCE = data.ArraySource({"image": np.arange(400, dtype=np.int32), "label": LABELS.astype(np.int32)})
MEMBERS = models.Variables({"table": jnp.asarray(LOGITS, jnp.float32)}, {})


@pytest.mark.parametrize("batch_size", [70, 400])
def test_over_a_whole_source_they_are_those_of_all_examples(batch_size):
    evaluate = ensemble.make_scores(as_model(), inputs=lambda batch: batch["image"], batch_size=batch_size)
    joint, each = jax.jit(evaluate)(MEMBERS, SOURCE)
    assert_close(joint, oracle(softmax(LOGITS).mean(0), LABELS))
    for i, logits in enumerate(LOGITS):
        assert_close({name: values[i] for name, values in each.items()}, oracle(softmax(logits), LABELS))


def test_disagreement_is_the_chance_that_two_members_say_different_things():
    evaluate = ensemble.make_scores(as_model(), inputs=lambda batch: batch["image"])
    said = LOGITS.argmax(-1)
    pairs = [np.mean(a != b) for a, b in itertools.combinations(said, 2)]
    assert float(evaluate(MEMBERS, SOURCE)[0]["disagreement"]) == pytest.approx(np.mean(pairs), rel=1e-5)
    one = jax.tree.map(lambda x: x[:1], MEMBERS)
    assert float(evaluate(one, SOURCE)[0]["disagreement"]) == pytest.approx(0, abs=1e-6)


def test_members_that_do_not_count_do_not_disagree():
    weights, said = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]), LOGITS.argmax(-1)[[0, 2, 3]]
    joint, each = score_rows()(jnp.asarray(LOGITS, jnp.float32), {"label": jnp.asarray(LABELS)}, weights)
    got, _ = finished(*jax.tree.map(lambda row: row.mean(0), (joint, each)))
    pairs = [np.mean(a != b) for a, b in itertools.combinations(said, 2)]
    assert_close(got, oracle(softmax(LOGITS[[0, 2, 3]]).mean(0), LABELS) | {"disagreement": np.mean(pairs)})


def test_of_logits_in_bfloat16_the_scores_are_those_of_the_same_numbers_in_float32():
    evaluate = jax.jit(ensemble.make_scores(as_model(), inputs=lambda batch: batch["image"]))
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), MEMBERS)
    got, expected = (evaluate(x, SOURCE) for x in (rounded, jax.tree.map(lambda x: x.astype(float), rounded)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, expected)
    p = jnp.asarray(softmax(LOGITS[0]), jnp.bfloat16)
    one, other = ensemble.scores(p, LABELS), ensemble.scores(p.astype(float), LABELS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, other)


def test_labels_that_are_not_those_of_the_probabilities_are_refused():
    p = jnp.full((4, 3), 1 / 3)
    for labels, words in (
        (np.zeros(5, int), r"probabilities have shape \(4, 3\) and labels are int\d+\[5\], expected"),
        (np.zeros((4, 1), int), "expected probabilities"),
        (np.zeros(4), "n integer labels"),
        (np.array([0, 1, 2, 3]), "labels go from 0 to 3, expected 0 to 2 for 3 classes"),
        (np.array([0, 1, 2, -1]), "labels go from -1 to 2"),
    ):
        with pytest.raises(InputError, match=words):
            ensemble.scores(p, labels)
    with pytest.raises(InputError, match="at least one"):
        ensemble.scores(p[:0], np.zeros(0, int))
    assert float(jax.jit(ensemble.scores)(p, np.zeros(4, int))["accuracy"]) == 1


@pytest.mark.slow
def test_without_labels_there_are_no_scores():
    evaluate = ensemble.make_scores(as_model(), inputs=lambda batch: batch["image"])
    with pytest.raises(InputError, match="the batch has no 'label'; it has 'image'"):
        evaluate(MEMBERS, data.ArraySource({"image": np.arange(400)}))
