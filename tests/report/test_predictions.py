"""Predictions of runs beside scikit-learn's figures, and the run's own."""

import base64
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from lec7 import ensemble, losses, models
from lec7.cli.build import rebuild, restored
from lec7.data import ArraySource
from lec7.ensemble.scores import BINS
from lec7.errors import InputError
from lec7.experiment import Experiment, RunFolder
from lec7.report import Judged
from lec7.report.page import predict
from lec7.report.page.judged import classes, confused
from lec7.report.page.pictures import SIDE, pictures
from lec7.report.page.predictions import bins, calibration_error


@pytest.fixture(scope="module")
def judged():
    """Predictions that are right two times in three, of four classes, one of which is never said."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 500)
    logits = random.normal(size=(500, 4)) + 2.0 * np.eye(4)[labels]
    logits[:, 3] -= 20
    return Judged(np.asarray(jax.nn.softmax(logits.astype(np.float32))), labels, ("a", "b", "c", "d"))


def test_confusion_is_scikit_learns(judged):
    expected = confusion_matrix(judged.labels, judged.said)
    np.testing.assert_array_equal(judged.confusion, expected)
    rows = classes(judged).rows
    recall = 100 * recall_score(judged.labels, judged.said, average=None, zero_division=0)
    precision = 100 * precision_score(judged.labels, judged.said, average=None, zero_division=0)
    np.testing.assert_allclose([row[3].value for row in rows], recall)
    np.testing.assert_allclose([row[4].value for row in rows[:3]], precision[:3])
    assert rows[3][4].text == "", "of what was never said, there is no precision"
    off = expected - np.diag(expected.diagonal())
    told = [(row[0].text, row[1].text, row[2].value) for row in confused(judged).rows]
    assert [n for _, _, n in told] == sorted((n for n in off.ravel() if n), reverse=True)
    assert all(off["abcd".index(true), "abcd".index(said)] == n for true, said, n in told)


def test_reliability_is_scikit_learns(judged):
    right, confidence = judged.said == judged.labels, judged.probabilities.max(-1)
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    found = bins(judged)
    np.testing.assert_allclose([bin.accuracy for bin in found], accuracy)
    np.testing.assert_allclose([bin.confidence for bin in found], mean, rtol=1e-6)
    assert sum(bin.examples for bin in found) == 500
    scores = ensemble.scores(jnp.asarray(judged.probabilities), judged.labels)
    assert calibration_error(found) == pytest.approx(float(scores["ece"]), abs=1e-6)


def test_a_confidence_on_an_edge_falls_where_the_scores_have_it():
    p = np.array([[3 / 15, 12 / 15], [6 / 15, 9 / 15], [1.0, 0.0]], np.float32)
    judged = Judged(p, np.array([1, 0, 0]), ("a", "b"))
    expected = ensemble.scores(jnp.asarray(p), judged.labels)["ece"]
    assert calibration_error(bins(judged)) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "pair"])
def test_predictions_are_those_that_the_run_was_judged_by(runs, name):
    folder = RunFolder(getattr(runs, name))
    built = rebuild(folder)
    judged = predict(built, restored(folder, built).state)
    figures = folder.result["metrics"]
    assert judged.accuracy == pytest.approx(figures["test/accuracy"], abs=1e-6)
    right = judged.probabilities[np.arange(len(judged.labels)), judged.labels]
    assert -np.log(right).mean() == pytest.approx(figures["test/loss"], rel=1e-4)
    np.testing.assert_allclose(judged.probabilities.sum(-1), 1, atol=1e-5)
    assert judged.classes == tuple("0123456789")
    assert set(judged.most_wrong) == set(np.flatnonzero(judged.said != judged.labels))


def one_step(model, source):
    """An experiment that nobody runs."""
    return Experiment(
        model=model,
        loss=losses.cross_entropy,
        optimizer=optax.sgd(0.1),
        train=source,
        test=source,
        steps=1,
        batch_size=8,
    )


def test_examples_that_fill_no_whole_batch_are_each_asked_once():
    source = ArraySource({"image": np.eye(3, dtype=np.float32)[np.arange(701) % 3], "label": np.arange(701) % 3})

    def apply(own, x, **mode):
        return 5 * x @ own.params["w"], own.state

    model = models.Model(lambda key, x: models.Variables({"w": jnp.eye(3)}, {}), apply)
    experiment = one_step(model, source)
    judged = predict(experiment, experiment.init(), ("x", "y", "z"))
    assert judged.accuracy == 1
    np.testing.assert_array_equal(judged.labels, np.arange(701) % 3)
    assert judged.classes == ("x", "y", "z")


def test_what_is_no_classifier_has_no_predictions():
    source = ArraySource({"image": np.ones((8, 2), np.float32), "label": np.ones(8, np.float32)})
    model = models.from_nnx(lambda rngs: models.MLP(2, (), 1, rngs=rngs))
    experiment = one_step(model, source)
    with pytest.raises(InputError, match="no classifier"):
        predict(experiment, experiment.init())


def shown(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_pictures_are_the_images():
    random = np.random.default_rng(1)
    colours = random.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    found = pictures(ArraySource({"image": colours}), np.array([2, 0]))
    np.testing.assert_array_equal(shown(found.uris[0]), colours[2])
    np.testing.assert_array_equal(shown(found.uris[1]), colours[0])
    assert found.told == ""

    greys = np.linspace(0, 1, 2 * 64).reshape(2, 8, 8, 1).astype(np.float32)
    found = pictures(ArraySource({"image": greys}), np.array([1]))
    np.testing.assert_array_equal(shown(found.uris[0]), np.rint(greys[1, ..., 0] * 255))

    found = pictures(ArraySource({"image": 10 * greys - 5}), np.array([0, 1]))
    assert shown(found.uris[0]).min() == 0
    assert shown(found.uris[1]).max() == 255
    assert found.told == "Pixels from -5 to 5 are shown from black to white."

    large = pictures(ArraySource({"image": np.zeros((1, 500, 250, 3), np.uint8)}), np.array([0]))
    assert shown(large.uris[0]).shape == (SIDE, SIDE // 2, 3)


def test_what_is_no_image_is_said():
    none, vectors = ArraySource({"x": np.ones((3, 2))}), ArraySource({"image": np.ones((3, 2))})
    assert "have no image" in pictures(none, np.array([0])).told
    assert "arrays of 2, and no images" in pictures(vectors, np.array([0])).told
    assert pictures(vectors, np.array([0])).uris == []
