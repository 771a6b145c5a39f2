"""Features that are computed once, and linear classifiers on them, beside scikit-learn's."""

import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_network as tiny
from sklearn.linear_model import LogisticRegression

from lec7 import data, losses, models, transfer
from lec7.augment import Preprocessing
from lec7.errors import InputError


def computed(monkeypatch):
    """Counts how often features are computed and not read."""
    calls = []
    original = transfer.features.__globals__["_computed"]
    monkeypatch.setitem(transfer.features.__globals__, "_computed", lambda *a: calls.append(a) or original(*a))
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("at", ["stem", "blocks/2", "neck", "pool"])
def test_features_are_what_a_stage_gives_whatever_the_batch(at):
    model, variables = tiny.pretrained()
    source = tiny.source()
    expected, _ = transfer.cut(model, at).apply(variables, source[:]["image"], train=False)
    for size in (7, 32, 1000):
        found = transfer.features(model, variables, source, at, batch_size=size)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * float(jnp.abs(expected).max()))


def test_cached_features_are_the_uncached_ones_and_computed_once(monkeypatch, tmp_path):
    model, variables = tiny.pretrained()
    calls = computed(monkeypatch)
    plain = transfer.features(model, variables, tiny.source(), "blocks/2")
    for _ in range(2):
        np.testing.assert_array_equal(
            transfer.features(model, variables, tiny.source(), "blocks/2", cache=tmp_path / "new"), plain
        )
    assert len(calls) == 2
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_what_features_hang_on_makes_another_file_and_nothing_else_does(monkeypatch, tmp_path):
    model, variables = tiny.pretrained()
    source = tiny.source()
    calls = computed(monkeypatch)

    def get(variables=variables, source=source, at="blocks/2", **options):
        transfer.features(model, variables, source, at, cache=tmp_path, **options)
        return len(calls)

    assert get() == 1
    stem = variables.params["stem"]
    moved = variables._replace(params={**variables.params, "stem": jax.tree.map(lambda x: x * 1.0001, stem)})
    statistics = variables._replace(
        state={**variables.state, "stem": {"norm": {"mean": jnp.ones(6), "var": jnp.ones(6)}}}
    )
    others = data.ArraySource({**source.arrays, "image": source.arrays["image"].at[17, 0, 0, 0].add(1e-3)})
    assert get(moved) == 2
    assert get(statistics) == 3
    assert get(source=others) == 4
    assert get(at="blocks/1") == 5
    assert get(pool=models.mean_pool) == 6
    assert get(inputs=lambda batch: batch["image"] * 2) == 7
    # Neither the head nor the labels are looked at.
    _, headed = transfer.replace_head(jax.random.key(0), model, variables, 3)
    relabelled = data.ArraySource({"image": source.arrays["image"], "label": np.zeros(40, np.int32)})
    assert get(headed, relabelled) == 7


@pytest.mark.slow
def test_another_process_finds_them(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests'); import tiny_network as tiny; from lec7 import transfer;"
        f"transfer.features(*tiny.pretrained(), tiny.source(), 'stem', cache={str(tmp_path)!r})"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True)
    transfer.features(*tiny.pretrained(), tiny.source(), "stem", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda whole: whole[:200], lambda whole: b"", lambda whole: b"PK" + whole])
def test_damaged_features_are_told_and_computed_anew(damage, tmp_path):
    arguments = *tiny.pretrained(), tiny.source(), "stem"
    plain = transfer.features(*arguments, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match="are damaged"):
        np.testing.assert_array_equal(transfer.features(*arguments, cache=tmp_path), plain)
    np.testing.assert_array_equal(np.load(file), plain)


def examples(n=150, features=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, features)) * rng.uniform(0.5, 5, features) + 2).astype(np.float32)
    truth = rng.normal(size=(features, classes))
    return x, np.argmax((x / x.std(0)) @ truth + rng.gumbel(size=(n, classes)), 1).astype(np.int32)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-3, 1e-1])
def test_one_rate_is_scikit_learns_logistic_regression(rate):
    x, y = examples()
    linear = transfer.solve(x, y, 3, rates=[rate])
    z = (x - x.mean(0)) / x.std(0)
    # Its objective is a half of the squares, and the sum of the losses times C.
    theirs = LogisticRegression(C=1 / (2 * rate * len(x)), tol=1e-8, max_iter=10_000).fit(z, y).predict_proba(z)
    ours = jax.nn.softmax(x @ linear.kernel + linear.bias[None, :])
    np.testing.assert_allclose(ours, theirs, atol=5e-4)


@pytest.mark.slow
def test_the_likeliest_on_validation_data_is_chosen():
    x, y = examples(300)
    x = np.concatenate([x, np.random.default_rng(5).normal(size=(300, 40)).astype(np.float32)], 1)
    linear = transfer.solve(x[:60], y[:60], 3, held_out=(x[60:], y[60:]))
    alone = [transfer.solve(x[:60], y[:60], 3, held_out=(x[60:], y[60:]), rates=[rate]) for rate in linear.rates]
    np.testing.assert_allclose(linear.nll, [one.nll[0] for one in alone], rtol=2e-3)
    np.testing.assert_allclose(linear.kernel, alone[int(linear.chosen)].kernel, atol=2e-3)
    assert 0 < int(linear.chosen) < len(linear.rates) - 1
    assert str(linear).count("chosen") == 1


@pytest.mark.slow
def test_where_none_are_given_a_fifth_chooses_and_all_are_learned_from():
    x, y = examples(300)
    linear = transfer.solve(x, y, 3)
    again = transfer.solve(x, y, 3, rates=[float(linear.rates[linear.chosen])])
    np.testing.assert_array_equal(linear.kernel, again.kernel)


def test_a_feature_that_never_changes_has_no_weight():
    x, y = examples()
    x[:, 2] = 3.25
    linear = transfer.solve(x, y, 3, rates=[1e-3])
    assert (linear.kernel[2] == 0).all()
    assert np.isfinite(linear.bias).all()


@pytest.mark.slow
@pytest.mark.parametrize("at", ["pool", "blocks/1", "stem"])
def test_the_probed_network_says_what_the_linear_classifier_says(at, tmp_path):
    model, variables = tiny.pretrained()
    source = tiny.source()
    probe = transfer.linear_probe(model, variables, source, at, rates=[1e-2], cache=tmp_path)
    pool = None if at == "pool" else models.mean_and_std_pool
    x = transfer.features(model, variables, source, at, pool=pool)
    expected = x @ probe.linear.kernel + probe.linear.bias[None, :]
    found, _ = probe.model.apply(probe.variables, source[:]["image"], train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert probe.model.init(jax.random.key(9), source[:1]["image"]) is probe.variables
    assert losses.cross_entropy(found, source[:])["accuracy"].mean() > 0.7


def test_preprocessing_belongs_to_the_features():
    model, variables = tiny.pretrained()
    gray = data.ArraySource({"image": np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8, 1), "label": np.arange(5) % 2})
    prepare = Preprocessing(size=8, crop=1.0)
    found = transfer.features(model, variables, gray, inputs=lambda batch: prepare(batch["image"]))
    colour = data.ArraySource({"image": np.repeat(gray.arrays["image"], 3, -1)})
    np.testing.assert_allclose(
        transfer.features(model, variables, colour, inputs=lambda batch: prepare(batch["image"])), found, rtol=1e-5
    )
    other = replace(prepare, mean=(0.5,) * 3)
    assert not np.allclose(transfer.features(model, variables, gray, inputs=lambda batch: other(batch["image"])), found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"x": np.zeros((4, 2, 2))}, r"features of shape \(4, 2, 2\) and 4 labels"),
        ({"rates": []}, "there are no L2 rates"),
        ({"labels": [0, 1, 2, 3]}, "class 0 has a single example"),
        ({"labels": [0, 1, 0, 7]}, "labels go from 0 to 7, expected 0 to 3"),
    ],
)
def test_what_can_not_be_solved_is_told(options, told):
    arguments = {"x": np.zeros((4, 2)), "labels": [0, 1, 0, 1], "classes": 4} | options
    with pytest.raises(InputError, match=told):
        transfer.solve(**arguments)
