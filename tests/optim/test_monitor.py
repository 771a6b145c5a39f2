"""Figures of a step against NumPy's in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import schedules
from lec7.errors import InputError
from lec7.optim.accumulate import accumulate
from lec7.optim.apply import apply_gradients
from lec7.optim.finite import skip_nonfinite
from lec7.optim.monitor import MonitorState, diagnostics, monitor
from lec7.optim.precision import mixed_precision

GROUPS = {"head": "head/.*", "kernels": ".*/kernel"}
MEMBERS = {
    "": ["head/kernel", "head/bias", "stem/kernel"],
    "/head": ["head/kernel", "head/bias"],
    "/kernels": ["head/kernel", "stem/kernel"],
}


def some(seed, dtype=jnp.float32):
    rng = np.random.default_rng(seed)
    shapes = {"head": {"kernel": (3, 4), "bias": (4,)}, "stem": {"kernel": (5, 3)}}
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape), dtype), shapes, is_leaf=lambda x: isinstance(x, tuple)
    )


def norm(values, names):
    leaves = [np.asarray(values[name.split("/")[0]][name.split("/")[1]]).astype(np.float64) for name in names]
    return np.sqrt(sum((x**2).sum() for x in leaves))


def expected(grads, updates, params):
    figures = {}
    for group, names in MEMBERS.items():
        g, u, x = (norm(values, names) for values in (grads, updates, params))
        figures |= {f"gradient_norm{group}": g, f"update_norm{group}": u}
        figures |= {f"parameter_norm{group}": x, f"update_ratio{group}": u / x}
    return figures


def check(figures, want, rtol=1e-6):
    assert sorted(figures) == sorted(want)
    for name, value in want.items():
        np.testing.assert_allclose(figures[name], value, rtol=rtol, err_msg=name)
        assert (figures[name].dtype, figures[name].shape) == (jnp.float32, ())


@pytest.mark.parametrize("apply", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_figures_are_the_norms(dtype, apply):
    params, grads, inner = some(1, dtype), some(2, dtype), optax.adam(0.1)
    tx = monitor(inner, GROUPS)
    step = (lambda *xs: apply_gradients(tx, *xs)) if apply else tx.update
    updates, _ = inner.update(grads, inner.init(params), params)
    _, state = jax.jit(step)(grads, tx.init(params), params)
    check(diagnostics(state), expected(grads, updates, params), rtol=1e-6 if dtype == jnp.float32 else 1e-2)


def test_bfloat16_is_summed_in_float32():
    x = jnp.ones(4096, jnp.bfloat16)
    figures = diagnostics(monitor(optax.sgd(0.1)).init(x))
    assert figures["parameter_norm"] == 64


def test_the_inner_transform_is_undisturbed(same):
    params, grads = some(1), some(2)
    tx, inner = monitor(optax.adamw(0.1), GROUPS), optax.adamw(0.1)
    updates, state = tx.update(grads, tx.init(params), params)
    plain, plain_state = inner.update(grads, inner.init(params), params)
    same((updates, state.inner), (plain, plain_state))
    same(apply_gradients(tx, grads, tx.init(params), params)[0], optax.apply_updates(params, plain))


def test_before_the_first_step_there_are_parameters_alone():
    figures = diagnostics(monitor(optax.sgd(0.1)).init({"w": jnp.array([3.0, 4.0])}))
    assert {name: float(value) for name, value in figures.items()} == {
        "gradient_norm": 0.0,
        "update_norm": 0.0,
        "parameter_norm": 5.0,
        "update_ratio": 0.0,
    }


def test_parameters_of_zero_have_a_ratio_of_zero():
    tx, x = monitor(optax.sgd(0.1)), jnp.zeros(3)
    _, state = tx.update(jnp.ones(3), tx.init(x), x)
    assert diagnostics(state)["update_ratio"] == 0


def test_a_gradient_of_nan_shows():
    tx, x = monitor(skip_nonfinite(optax.sgd(0.1), 3)), jnp.ones(3)
    _, state = apply_gradients(tx, jnp.array([jnp.nan, 1, 1]), tx.init(x), x)
    figures = diagnostics(state)
    assert np.isnan(figures["gradient_norm"])
    assert (figures["update_norm"], figures["skipped"]) == (0, 1)


@pytest.mark.parametrize("apply", [True, False])
def test_updates_of_a_master_copy_are_those_of_the_rounded_parameters(apply):
    tx = monitor(mixed_precision(optax.sgd(1.0)))
    x = jnp.ones(4, jnp.bfloat16)
    step = (lambda *xs: apply_gradients(tx, *xs)) if apply else tx.update
    _, state = jax.jit(step)(jnp.full(4, 1 / 2 + 1 / 512, jnp.bfloat16), tx.init(x), x)
    assert diagnostics(state)["update_norm"] == 1.0


def test_inside_of_accumulate_figures_are_those_of_whole_steps():
    x = jnp.ones(1)
    inside, around = (accumulate(monitor(optax.sgd(0.1)), 2), monitor(accumulate(optax.sgd(0.1), 2)))
    states = [tx.init(x) for tx in (inside, around)]
    seen = []
    for g in (1.0, 5.0):
        states = [
            apply_gradients(tx, jnp.array([g]), state, x)[1] for tx, state in zip((inside, around), states, strict=True)
        ]
        seen += [[float(diagnostics(state)["gradient_norm"]) for state in states]]
    assert seen == [[0.0, 1.0], [3.0, 5.0]]


def test_a_pattern_that_matches_nothing_raises_at_once():
    with pytest.raises(InputError, match="did you mean 'head"):
        monitor(optax.sgd(0.1), {"head": "haed/.*"}).init(some(1))


def test_parameters_are_needed():
    tx = monitor(optax.sgd(0.1))
    with pytest.raises(InputError, match="call update"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_diagnostics_are_found_wherever_they_sit():
    params = some(1)
    tx = optax.chain(optax.clip(1.0), skip_nonfinite(optax.chain(monitor(optax.adam(0.1), {"head": "head/.*"})), 3))
    figures = diagnostics(tx.init(params))
    assert set(figures) >= {"gradient_norm", "update_ratio/head", "skipped", "skipped_in_row"}
    assert len(figures) == 10
    assert diagnostics(optax.adam(0.1).init(params)) == {}


def test_the_scale_of_a_plateau_is_told_beside_the_rates():
    state = optax.chain(optax.sgd(0.1), schedules.reduce_on_plateau()).init(jnp.ones(2))
    assert {name: float(value) for name, value in diagnostics(state).items()} == {"plateau_scale": 1.0}


def test_figures_of_several_monitors_are_told_apart():
    x = {"w": jnp.array([3.0, 4.0])}
    tx = monitor(optax.chain(optax.clip_by_global_norm(1.0), monitor(optax.sgd(0.1))))
    _, state = tx.update(x, tx.init(x), x)
    figures = diagnostics(state)
    assert len(figures) == 8
    np.testing.assert_allclose([figures["gradient_norm/0"], figures["gradient_norm/1"]], [5.0, 1.0], rtol=1e-6)


def test_the_state_keeps_its_type_under_scan_and_vmap():
    def run(rate):
        tx = monitor(optax.adam(rate), GROUPS)

        def step(carry, _):
            params, state = carry
            params, state = apply_gradients(tx, params, state, params)
            return (params, state), diagnostics(state)

        params = some(1)
        return jax.lax.scan(step, (params, tx.init(params)), None, 4)

    (_, state), figures = jax.jit(jax.vmap(run))(jnp.array([0.1, 0.01]))
    assert isinstance(state, MonitorState)
    assert figures["update_norm/head"].shape == (2, 4)
    np.testing.assert_allclose(figures["update_norm"][0, 0], 10 * figures["update_norm"][1, 0], rtol=1e-5)


def test_empty_nodes_stay_empty():
    params = {"w": jnp.ones(2), "frozen": optax.MaskedNode()}
    tx = monitor(optax.adam(0.1), {"weights": "w"})
    state = tx.init(params)
    new, after = apply_gradients(tx, params, state, params)
    assert jax.tree.structure((new, after)) == jax.tree.structure((params, state))
    np.testing.assert_allclose(diagnostics(after)["parameter_norm"], np.sqrt(2), rtol=1e-6)


def test_extra_arguments_are_handed_on():
    tx = monitor(optax.contrib.reduce_on_plateau(patience=1))
    x = jnp.ones(2)
    _, state = apply_gradients(tx, x, tx.init(x), x, value=jnp.float32(3.0))
    assert state.inner.best_value == 3


def test_all_wrappers_nest():
    """The order to wrap in: each micro-batch summed, bad sums skipped, figures of the master's step."""
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), some(1))
    tx = accumulate(skip_nonfinite(mixed_precision(monitor(optax.adam(0.1), GROUPS)), 3), 2)

    def step(carry, _):
        params, state = carry
        return apply_gradients(tx, params, state, params, value=jnp.float32(1)), None

    (new, state), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, 4))((params, tx.init(params)))
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))
    assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, params)
    assert diagnostics(state)["skipped"] == 0
    assert all((a != b).any() for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(params), strict=True))
