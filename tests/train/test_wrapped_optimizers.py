"""What the step and the loop make of optimizers that hold steps back, round, or tell figures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, data, experiment, losses, models, optim, report, train
from lec7.models import Variables


class Nobody:
    def begin(self, step, steps): ...
    def row(self, row): ...
    def say(self, text): ...


def with_bad_examples(small, bad):
    """The examples, of which these have an infinite pixel."""
    images = np.array(small.source.arrays["image"])
    images[list(bad)] = np.inf
    return data.ArraySource({"image": images, "label": small.source.arrays["label"]})


def built(small, optimizer, source):
    return experiment.Experiment(
        model=small.model,
        loss=losses.cross_entropy,
        optimizer=optimizer,
        train=source,
        test=small.source,
        steps=40,
        batch_size=10,
        log_every=5,
        evaluate_every=20,
    )


def run(experiment_, tmp_path):
    folder = experiment.RunFolder.create(tmp_path, "run", "x", overwrite=False, needed=0)
    return experiment.run(experiment_, folder, Nobody()), folder.metrics()


@pytest.mark.slow
def test_a_bad_batch_is_skipped_whole_and_the_run_goes_on(small, tmp_path):
    """Batch statistics too: nothing of it is left, and the log counts it."""
    optimizer = optim.skip_nonfinite(small.optimizer, limit=5)
    outcome, rows = run(built(small, optimizer, with_bad_examples(small, [3])), tmp_path)
    assert outcome.status == "finished"
    assert np.isfinite(outcome.metrics["test_raw/loss"])
    trained = [row for row in rows if "train/loss" in row]
    assert trained[-1]["train/skipped"] == 4  # once an epoch of ten batches
    assert all(np.isfinite(row["train/loss"]) for row in trained)


def test_too_many_in_a_row_stop_the_run(small, tmp_path):
    optimizer = optim.skip_nonfinite(small.optimizer, limit=3)
    outcome, _ = run(built(small, optimizer, with_bad_examples(small, range(100))), tmp_path)
    assert (outcome.status, outcome.step) == ("diverged", 4)
    assert "not finite for 4 steps in a row, 3 may be, at step 4 (learning_rate 0.01)" in outcome.message


def test_without_skipping_the_first_bad_batch_stops_it(small, tmp_path):
    outcome, _ = run(built(small, small.optimizer, with_bad_examples(small, range(100))), tmp_path)
    assert (outcome.status, outcome.step) == ("diverged", 1)


@pytest.mark.slow
def test_norms_are_in_the_log(small, tmp_path):
    optimizer = optim.monitor(small.optimizer, groups={"head": "head/.*"})
    _, rows = run(built(small, optimizer, small.source), tmp_path)
    assert 0 < rows[0]["train/gradient_norm/head"] < rows[0]["train/gradient_norm"]
    assert 0 < rows[0]["train/update_ratio"] < 1


def test_micro_batches_make_the_steps_of_big_ones(x64):
    """Without batch norm and dropout, to rounding; the average at the end of the chain counts whole steps."""
    rng = np.random.default_rng(0)
    batches = [{"image": jnp.asarray(rng.normal(size=(24, 6))), "label": jnp.arange(24) % 3} for _ in range(4)]
    model = models.Model(
        lambda key, inputs: Variables({"w": jnp.zeros((6, 3))}, {}),
        lambda variables, inputs, *, train, key=None: (inputs @ variables.params["w"], {}),
    )
    big = optax.chain(optim.adam(0.1), averaging.ema(0.5))

    def trained(optimizer, batches):
        step = jax.jit(train.make_step(model, losses.cross_entropy, optimizer))
        state = train.init(jax.random.key(0), model, optimizer, batches[0]["image"])
        for batch in batches:
            state, _ = step(state, batch)
        return state.params["w"], state.averaged.params["w"]

    micro = [jax.tree.map(lambda x, i=i: x[6 * i : 6 * i + 6], batch) for batch in batches for i in range(4)]
    for a, b in zip(trained(big, batches), trained(optim.accumulate(big, 4), micro), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.slow
def test_a_run_in_bfloat16_with_a_master_copy_learns_as_float32_does(small):
    optimizer = optim.mixed_precision(small.optimizer, params=jnp.bfloat16, key=jax.random.key(1))

    def init(key, inputs):
        params, state = small.model.init(key, inputs)
        return Variables(optim.cast(params, jnp.bfloat16), state)

    model = small.model._replace(init=init)
    step = train.make_step(model, losses.cross_entropy, optimizer)
    state = train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 6)))
    seen = [
        [float(m["loss"].mean()) for _, m in train.fit(s, start, small.source, steps=200, batch_size=20, every=50)]
        for s, start in ((step, state), (small.step, small.init()))
    ]
    np.testing.assert_allclose(*seen, rtol=0.05)
    assert seen[0][-1] < 0.9 * seen[0][0]


@pytest.mark.slow
@pytest.mark.parametrize("wrap", ["accumulate", "skip_nonfinite", "monitor", "groups"])
def test_a_wrapped_optimizer_survives_a_checkpoint(small, wrap, tmp_path, same):
    """The state comes back as it was: resumed, the run ends bit for bit as the one that was left alone."""
    wraps = {
        "accumulate": lambda tx: optim.accumulate(tx, 3),
        "skip_nonfinite": lambda tx: optim.skip_nonfinite(tx, 3),
        "monitor": optim.monitor,
        "groups": lambda tx: optim.groups(
            {"head/.*": tx, ".*/norms/.*|norms/.*": optim.frozen(), ".*": optim.sgd(0.1)}
        ),
    }
    whole = built(small, wraps[wrap](small.optimizer), small.source)
    outcome, _ = run(whole, tmp_path / "a")
    folder = experiment.RunFolder.create(tmp_path / "b", "run", "x", overwrite=False, needed=0)
    experiment.run(dataclasses.replace(whole, steps=20), folder, Nobody())
    resumed = experiment.run(whole, folder, Nobody(), resume=True)
    assert resumed.metrics == outcome.metrics
    assert report.curves(folder).stat().st_size > 10_000
