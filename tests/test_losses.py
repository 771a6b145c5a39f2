import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit, log_softmax
from sklearn.metrics import log_loss

from lec7 import data, losses, models, optim
from lec7.errors import InputError
from lec7.experiment import Experiment

RNG = np.random.default_rng(0)
LABELS = jnp.array([0, 3, 3, 1])


def loss(logits):
    return losses.cross_entropy(logits, {"label": LABELS})["loss"].sum()


def theirs(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).sum()


@pytest.mark.parametrize("scale", [1, 100, 1e4])
@pytest.mark.parametrize("of", [lambda f: f, jax.grad, jax.hessian, lambda f: jax.grad(lambda x: jax.grad(f)(x)[0, 1])])
def test_cross_entropy_and_its_derivatives_are_optaxs(x64, scale, of):
    logits = jnp.asarray(scale * RNG.normal(size=(4, 5)))
    np.testing.assert_allclose(of(loss)(logits), of(theirs)(logits), rtol=1e-12, atol=1e-12)


def test_forward_and_reverse_mode_agree(x64):
    logits, tangent = (jnp.asarray(RNG.normal(size=(4, 5))) for _ in range(2))
    _, forward = jax.jvp(loss, (logits,), (tangent,))
    np.testing.assert_allclose(forward, jnp.vdot(jax.grad(loss)(logits), tangent), rtol=1e-12)


def test_the_loss_at_even_odds_is_log_classes():
    out = losses.cross_entropy(jnp.zeros((4, 10)), {"label": LABELS})
    np.testing.assert_allclose(out["loss"], np.log(10), rtol=1e-6)


def test_accuracy_is_of_the_largest_logit():
    logits = jax.nn.one_hot(jnp.array([0, 3, 1, 1]), 5)
    assert losses.cross_entropy(logits, {"label": LABELS})["accuracy"].tolist() == [1, 1, 0, 1]


def test_squared_error_is_half_the_squared_distance():
    out = losses.squared_error(jnp.zeros((2, 3, 2)), {"target": jnp.ones((2, 3, 2))})
    assert out["loss"].tolist() == [3.0, 3.0]


LOGITS = RNG.normal(size=(4, 5)) * 3
SOFT = RNG.dirichlet(np.ones(5), size=4)
MANY = (RNG.uniform(size=(4, 5)) < 0.4).astype(np.int32)


def test_of_soft_labels_it_is_the_mean_over_classes(x64):
    out = losses.cross_entropy(jnp.asarray(LOGITS), {"label": jnp.asarray(SOFT)})
    np.testing.assert_allclose(out["loss"], -np.sum(SOFT * log_softmax(LOGITS, axis=1), axis=1), rtol=1e-13)
    np.testing.assert_array_equal(out["accuracy"], LOGITS.argmax(1) == SOFT.argmax(1))


def test_of_soft_labels_the_gradient_is_softmax_less_label(x64):
    grad = jax.grad(lambda x: losses.cross_entropy(x, {"label": jnp.asarray(SOFT)})["loss"].sum())(jnp.asarray(LOGITS))
    np.testing.assert_allclose(grad, np.exp(log_softmax(LOGITS, axis=1)) - SOFT, rtol=1e-12, atol=1e-15)


def test_one_hot_labels_are_the_classes(x64):
    hard, soft = (
        losses.cross_entropy(jnp.asarray(LOGITS), {"label": labels}) for labels in (LABELS, jax.nn.one_hot(LABELS, 5))
    )
    for name in hard:
        np.testing.assert_allclose(hard[name], soft[name], rtol=1e-14)


def smoothed(labels, rate):
    return (1 - rate) * np.eye(5)[labels] + rate / 5


def test_smoothed_labels_are_szegedys(x64):
    np.testing.assert_allclose(losses.label_smoothing(LABELS, 5, 0.1), smoothed(LABELS, 0.1), rtol=1e-15)
    soft = losses.label_smoothing(jnp.asarray(SOFT), 5, 0.1)
    np.testing.assert_allclose(soft, 0.9 * SOFT + 0.02, rtol=1e-14)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-14)


def test_no_smoothing_is_the_exact_identity():
    np.testing.assert_array_equal(losses.label_smoothing(LABELS, 5, 0.0), np.eye(5)[LABELS])
    soft = jnp.asarray(SOFT, jnp.float32)
    np.testing.assert_array_equal(losses.label_smoothing(soft, 5, 0.0), soft)


def test_smoothed_cross_entropy_is_that_of_smoothed_labels_and_tells_the_plain_one(x64):
    """scikit-learn has the plain one."""
    logits = jnp.asarray(LOGITS)
    out = losses.smoothed_cross_entropy(0.1)(logits, {"label": LABELS})
    p = log_softmax(LOGITS, axis=1)
    np.testing.assert_allclose(out["loss"], -np.sum(smoothed(LABELS, 0.1) * p, axis=1), rtol=1e-13)
    theirs = log_loss(np.asarray(LABELS), np.exp(p), labels=range(5))
    np.testing.assert_allclose(np.mean(out["nll"]), theirs, rtol=1e-12)
    np.testing.assert_array_equal(out["accuracy"], losses.cross_entropy(logits, {"label": LABELS})["accuracy"])
    lanes = jax.vmap(lambda rate: losses.smoothed_cross_entropy(rate)(logits, {"label": LABELS})["loss"])(
        jnp.array([0.1, 0.3])
    )
    np.testing.assert_allclose(lanes[0], out["loss"], rtol=1e-14)


def test_the_sigmoid_s_is_the_sum_over_questions(x64):
    out = losses.sigmoid_cross_entropy(jnp.asarray(LOGITS), {"label": jnp.asarray(MANY)})
    p = expit(LOGITS)
    np.testing.assert_allclose(out["loss"], -np.sum(np.log(np.where(MANY, p, 1 - p)), axis=1), rtol=1e-12)
    np.testing.assert_allclose(out["accuracy"], np.mean((p > 0.5) == MANY, axis=1))
    boolean = losses.sigmoid_cross_entropy(jnp.asarray(LOGITS), {"label": jnp.asarray(MANY, bool)})
    np.testing.assert_array_equal(boolean["loss"], out["loss"])


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, None), (0.0, None)])
def test_focal_is_the_paper_s(gamma, alpha, x64):
    out = losses.focal(gamma, alpha)(jnp.asarray(LOGITS), {"label": jnp.asarray(MANY)})
    p = np.where(MANY, expit(LOGITS), expit(-LOGITS))
    weight = 1 if alpha is None else np.where(MANY, alpha, 1 - alpha)
    np.testing.assert_allclose(out["loss"], np.sum(-weight * (1 - p) ** gamma * np.log(p), axis=1), rtol=1e-10)


def test_focal_of_classes_asks_for_each_class(x64):
    loss = losses.focal(2.0, 0.25)
    classes = loss(jnp.asarray(LOGITS), {"label": LABELS})
    questions = loss(jnp.asarray(LOGITS), {"label": jnp.asarray(np.eye(5)[LABELS])})
    np.testing.assert_allclose(classes["loss"], questions["loss"], rtol=1e-14)
    np.testing.assert_array_equal(classes["accuracy"], LOGITS.argmax(1) == LABELS)


def test_focal_is_finite_where_answers_are_sure():
    extreme = jnp.array([[200.0, -200.0, 0.0, 1e4, -1e4]])
    for gamma in (0.0, 0.5, 2.0):
        for label in (0, 1):
            loss = lambda x, g=gamma, y=label: losses.focal(g)(x, {"label": jnp.full((1, 5), y)})["loss"][0]  # noqa: E731
            assert jnp.isfinite(loss(extreme))
            assert jnp.isfinite(jax.grad(loss)(extreme)).all()


def test_hinge_is_the_sum_of_violated_margins(x64):
    """The lecture course's loops."""
    out = losses.hinge(jnp.asarray(LOGITS), {"label": LABELS})
    expected = [
        sum(max(0, s[j] - s[y] + 1) for j in range(5) if j != y) for s, y in zip(LOGITS, LABELS.tolist(), strict=True)
    ]
    np.testing.assert_allclose(out["loss"], expected, rtol=1e-13)
    np.testing.assert_array_equal(out["accuracy"], LOGITS.argmax(1) == LABELS)


def test_hinge_s_gradient_counts_violations(x64):
    grad = jax.grad(lambda s: losses.hinge(s, {"label": LABELS})["loss"].sum())(jnp.asarray(LOGITS))
    right = np.eye(5)[LABELS]
    violated = (1 - right) * (LOGITS - np.sum(right * LOGITS, axis=1, keepdims=True) + 1 > 0)
    np.testing.assert_array_equal(grad, violated - right * violated.sum(1, keepdims=True))


@pytest.mark.parametrize("label", [5, -1])
@pytest.mark.parametrize("name", ["cross_entropy", "smoothed", "focal of classes", "hinge"])
def test_a_label_that_is_no_class_is_refused_and_in_jit_makes_the_loss_nan(name, label):
    """Which `optim.skip_nonfinite` skips; the gradient's program has no choice in it, for lanes to be single runs."""
    loss = {"focal of classes": losses.focal()}.get(name) or EVERY[name][0]
    batch = {"label": LABELS.at[1].set(label)}
    with pytest.raises(InputError, match="expected 0 to 4 for 5 classes; the first bad one is row 1"):
        loss(jnp.asarray(LOGITS), batch)
    np.testing.assert_array_equal(np.isnan(jax.jit(loss)(jnp.asarray(LOGITS), batch)["loss"]), np.arange(4) == 1)


def test_smoothed_labels_that_are_no_class_are_refused():
    with pytest.raises(InputError, match="labels go from 0 to 3, expected 0 to 2"):
        losses.label_smoothing(LABELS, 3, 0.1)
    losses.check_labels(np.array([0, 9]), 10)


EVERY = {
    "cross_entropy": (losses.cross_entropy, LABELS),
    "soft": (losses.cross_entropy, jnp.asarray(SOFT)),
    "smoothed": (losses.smoothed_cross_entropy(0.1), LABELS),
    "sigmoid": (losses.sigmoid_cross_entropy, jnp.asarray(MANY)),
    "focal": (losses.focal(), jnp.asarray(MANY)),
    "hinge": (losses.hinge, LABELS),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_each_example_has_a_value_of_its_own_in_the_logits_dtype(name, dtype):
    loss, labels = EVERY[name]
    out = jax.jit(loss)(jnp.asarray(LOGITS, dtype), {"label": labels})
    assert {values.shape for values in out.values()} == {(4,)}
    assert {values.dtype for values in out.values()} == {jnp.dtype(dtype)}


BAD = {
    "floats for classes": (losses.cross_entropy, jnp.zeros(4), r"float32 \[4\] for logits \[4, 5\], expected integers"),
    "one-hot integers": (losses.cross_entropy, jnp.asarray(MANY), r"int32 \[4, 5\] for logits .* or floats \[4, 5\]"),
    "other classes": (losses.cross_entropy, jnp.ones((4, 3)), r"float32 \[4, 3\] for logits \[4, 5\]"),
    "soft labels for the hinge": (losses.hinge, jnp.asarray(SOFT), r"expected integers \[4\]$"),
    "one answer for many questions": (losses.sigmoid_cross_entropy, LABELS, r"int32 \[4\], expected the shape"),
    "chances for focal": (losses.focal(), jnp.zeros(4), r"float32 \[4\], expected the shape of the logits"),
    "a list": (losses.cross_entropy, [0, 3, 3, 1], r"labels is \[0, 3, 3, 1\], expected an array; jnp.asarray"),
    "a list for the sigmoid": (losses.sigmoid_cross_entropy, [0, 1], "labels is"),
    "smoothing": (losses.smoothed_cross_entropy(0.1), jnp.zeros(4), "expected integers"),
}


@pytest.mark.parametrize("what", BAD)
def test_labels_that_do_not_fit_are_told(what):
    loss, labels, message = BAD[what]
    with pytest.raises(InputError, match=message):
        loss(jnp.asarray(LOGITS), {"label": labels})


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.sigmoid_cross_entropy, losses.focal(), losses.hinge])
def test_what_is_not_there_is_told_with_what_is(loss):
    with pytest.raises(InputError, match="the batch has no 'label'; did you mean 'labels'"):
        loss(jnp.asarray(LOGITS), {"image": LOGITS, "labels": LABELS})
    with pytest.raises(InputError, match="it has 'image'; name one so in the data"):
        loss(jnp.asarray(LOGITS), {"image": LOGITS})
    with pytest.raises(InputError, match="the batch is a tuple, expected arrays by name"):
        loss(jnp.asarray(LOGITS), (LOGITS, LABELS))
    with pytest.raises(InputError, match="is a list, expected an array"):
        loss(LOGITS.tolist(), {"label": LABELS})


def test_the_squared_error_makes_no_matrix_of_two_vectors():
    one, column = jnp.ones(4), jnp.ones((4, 1))
    for outputs, target in ((one, column), (column, one)):
        with pytest.raises(InputError, match=r"the targets are float32\[4.*expected the same shape"):
            losses.squared_error(outputs, {"target": target})
    with pytest.raises(InputError, match="the batch has no 'target'; it has 'label'"):
        losses.squared_error(one, {"label": one})
    assert losses.squared_error(one, {"target": one})["loss"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.smoothed_cross_entropy(1.5), "rate is 1.5, expected a number in"),
        (lambda: losses.label_smoothing(LABELS, 5, -0.1), "the part of a label"),
        (lambda: losses.label_smoothing(jnp.ones((4, 3)), 5, 0.1), r"floats \[n, 5\]"),
        (lambda: losses.focal(-1.0), "gamma is -1.0"),
        (lambda: losses.focal(2.0, 1.5), "alpha is 1.5"),
    ],
)
def test_numbers_out_of_range_are_told(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("loss", "labels", "classifies"),
    [(losses.hinge, LABELS, True), (losses.sigmoid_cross_entropy, jnp.asarray(MANY), False)],
)
def test_an_experiment_classifies_where_each_example_has_one_class(loss, labels, classifies):
    source = data.ArraySource({"image": np.ones((4, 6), np.float32), "label": labels})
    model = models.from_nnx(lambda rngs: models.MLP(6, (), 5, rngs=rngs))
    made = Experiment(
        model=model, loss=loss, optimizer=optim.sgd(0.1), train=source, test=source, steps=1, batch_size=2
    )
    assert made.classifies == classifies
