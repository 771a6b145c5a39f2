import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import optim, regularize
from lec7.errors import InputError

RNG = np.random.default_rng(0)
PARAMS = {
    "stem": {"kernel": RNG.normal(size=(4, 3)), "bias": RNG.normal(size=3)},
    "head": {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)},
}
START = {"stem": {"kernel": RNG.normal(size=(4, 3)), "bias": RNG.normal(size=3)}}
KERNELS = [PARAMS["stem"]["kernel"], PARAMS["head"]["kernel"]]
FORMULAS = {
    "l2": (lambda r: regularize.l2(r, ".*/kernel"), lambda r: sum(r * np.sum(w**2) for w in KERNELS)),
    "l1": (lambda r: regularize.l1(r, ".*/kernel"), lambda r: sum(r * np.sum(np.abs(w)) for w in KERNELS)),
    "elastic_net": (
        # The lecture's form, with beta = 0.3.
        lambda r: regularize.elastic_net(r, 0.3 * r, ".*/kernel"),
        lambda r: r * sum(np.sum(0.3 * w**2 + np.abs(w)) for w in KERNELS),
    ),
    "l2_sp": (
        lambda r: regularize.l2_sp(START, r, "stem/.*"),
        lambda r: r * sum(np.sum((PARAMS["stem"][name] - START["stem"][name]) ** 2) for name in START["stem"]),
    ),
}
every = pytest.mark.parametrize("name", FORMULAS)


@every
def test_it_is_the_formula(name, x64):
    make, formula = FORMULAS[name]
    found = make(0.7)(jax.tree.map(jnp.asarray, PARAMS))
    assert list(found) == [name]
    np.testing.assert_allclose(found[name], formula(0.7), rtol=1e-13)


@every
def test_rates_may_be_traced(name):
    make, formula = FORMULAS[name]
    params, rates = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS), jnp.array([0.0, 0.3, 2.0])
    lanes = jax.jit(jax.vmap(lambda r: make(r)(params)[name]))(rates)
    np.testing.assert_allclose(lanes, [formula(float(r)) for r in rates], rtol=1e-5)
    assert lanes[0] == 0


def test_the_gradient_of_l2_is_that_of_coupled_decay_at_twice_the_rate(x64):
    params = jax.tree.map(jnp.asarray, PARAMS)
    grads = jax.grad(lambda x: regularize.l2(0.3)(x)["l2"])(params)
    tx = optim.coupled_weight_decay(0.6)
    decay, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), grads, decay)


def test_other_parameters_have_no_gradient():
    params = jax.tree.map(jnp.asarray, PARAMS)
    grads = jax.grad(lambda x: regularize.l1(0.3, "head/kernel")(x)["l1"])(params)
    sizes = jax.tree.map(lambda g: float(jnp.abs(g).max()).__round__(4), grads)
    assert sizes == {"stem": {"kernel": 0.0, "bias": 0.0}, "head": {"kernel": 0.3, "bias": 0.0}}


def test_several_are_one():
    params = jax.tree.map(jnp.asarray, PARAMS)
    both = regularize.penalties(regularize.l2(0.1, "stem/.*", name="stem"), regularize.l2(0.2, "head/.*", name="head"))
    found = both(params)
    assert list(found) == ["stem", "head"]
    assert found["head"] == regularize.l2(0.2, "head/.*")(params)["l2"]
    assert regularize.penalties()(params) == {}


def test_narrow_parameters_are_summed_in_float32():
    """In bfloat16, a sum of ones would stop at 256."""
    found = regularize.l2(1.0)({"w": jnp.ones(1000, jnp.bfloat16)})["l2"]
    assert (found, found.dtype) == (1000, jnp.float32)


BAD = {
    "a number for a penalty": (
        lambda: regularize.penalties(regularize.l2(0.1), 0.1),
        "0.1 is no penalty, expected such as regularize.l2",
    ),
    "a part of a name": (lambda: regularize.l2(1e-4, "kernel")(PARAMS), r"did you mean '\.\*/kernel'\?"),
    "a negative rate": (lambda: regularize.l2(-1.0), "rate is -1.0, expected a finite number, at least 0"),
    "the second rate": (lambda: regularize.elastic_net(1.0, float("inf")), "l2_rate is inf"),
    "a pattern that matches nothing": (
        lambda: regularize.l1(1.0, "haed/.*")(PARAMS),
        r"no leaf matches 'haed/\.\*'; did you mean 'head/\.\*'",
    ),
    "two of one name": (
        lambda: regularize.penalties(regularize.l2(1.0), regularize.l2(2.0))(PARAMS),
        "two penalties are called 'l2'; give one another name",
    ),
    "a leaf that the reference lacks": (
        lambda: regularize.l2_sp(START, 1.0)(PARAMS),
        "the reference has no parameter 'head/bias'",
    ),
    "a reference of another shape": (
        lambda: regularize.l2_sp({"w": jnp.ones(3)}, 1.0)({"w": jnp.ones(4)}),
        r"the reference has 'w' of shape \(3,\), expected \(4,\)",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_can_not_be_used_is_told(what):
    call, message = BAD[what]
    with pytest.raises(InputError, match=message):
        call()
