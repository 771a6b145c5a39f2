"""A hundred steps in float64: the lecture's formulas in NumPy, PyTorch's figures, Optax live."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import optim

STEPS, K = 100, 0.02
GOLDENS = np.load(Path(__file__).parent / "goldens" / "torch.npz")
ABOUT = json.loads(str(GOLDENS["about"]))
LEAVES = ("scalar", "vector", "matrix", "empty")
START = {leaf: GOLDENS[f"start/{leaf}"] for leaf in LEAVES}
SCALE = {leaf: GOLDENS[f"scale/{leaf}"] for leaf in LEAVES}
NOISE = {leaf: GOLDENS[f"noise/{leaf}"] for leaf in LEAVES}
EXACT = {"rtol": 1e-12, "atol": 1e-15}


def gradient(x, noise):
    """Of a quartic with a valley of its own for each element, and noise as in a batch: of all sizes and signs."""
    return {leaf: SCALE[leaf] * (x[leaf] ** 3 - 0.5 * x[leaf]) + noise[leaf] for leaf in LEAVES}


def rate_of(learning_rate, decaying):
    """The rate as a number or as a schedule, 1/t as in the lecture."""
    return (lambda t: learning_rate / (1 + K * t)) if decaying else learning_rate


def trajectory(tx):
    """The parameters after each step, one compiled program."""

    def step(carry, noise):
        params, state = carry
        grads = gradient(params, noise)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jax.tree.map(jnp.asarray, START)
    return jax.jit(lambda: jax.lax.scan(step, (params, tx.init(params)), NOISE)[1])()


# The lecture's formulas, as they stand on its slides; memory is from 0.


def sgd(x, g, t, memory, a):
    return x - a * g


def momentum(x, g, t, memory, a, rho):
    memory["v"] = rho * memory.get("v", 0) + g
    return x - a * memory["v"]


def nesterov(x, g, t, memory, a, rho):
    old_v = memory.get("v", 0)
    memory["v"] = rho * old_v - a * g
    return x + -rho * old_v + (1 + rho) * memory["v"]


def adagrad(x, g, t, memory, a, eps=1e-7):
    memory["s"] = memory.get("s", 0) + g * g
    return x - a * g / (np.sqrt(memory["s"]) + eps)


def rmsprop(x, g, t, memory, a, decay, eps=1e-7):
    memory["s"] = decay * memory.get("s", 0) + (1 - decay) * g * g
    return x - a * g / (np.sqrt(memory["s"]) + eps)


def adam(x, g, t, memory, a, b1, b2, eps=1e-7):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["s"] = b2 * memory.get("s", 0) + (1 - b2) * g * g
    m, s = memory["m"] / (1 - b1**t), memory["s"] / (1 - b2**t)
    return x - a * m / (np.sqrt(s) + eps)


def adamw(x, g, t, memory, a, b1, b2, weight_decay, eps=1e-7):
    return adam(x, g, t, memory, a, b1, b2, eps) - a * weight_decay * x


def amsgrad(x, g, t, memory, a, b1, b2, eps=1e-7):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["s"] = b2 * memory.get("s", 0) + (1 - b2) * g * g
    memory["max"] = np.maximum(memory.get("max", 0), memory["s"])
    return x - a * (memory["m"] / (1 - b1**t)) / (np.sqrt(memory["max"] / (1 - b2**t)) + eps)


def nadam(x, g, t, memory, a, b1, b2, eps=1e-7):
    memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
    memory["s"] = b2 * memory.get("s", 0) + (1 - b2) * g * g
    ahead = b1 * memory["m"] / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    return x - a * ahead / (np.sqrt(memory["s"] / (1 - b2**t)) + eps)


FORMULAS = (sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw, amsgrad, nadam)
RANGES = {"rho": (0.8, 0.99), "decay": (0.9, 0.999), "b1": (0.8, 0.95), "b2": (0.9, 0.999), "weight_decay": (0.01, 0.1)}


@pytest.mark.parametrize("decaying", [False, True], ids=["constant", "decaying"])
@pytest.mark.parametrize("coupled", [False, True], ids=["", "L2"])
@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.__name__)
def test_the_lecture(x64, formula, decaying, coupled):
    rng = np.random.default_rng(len(formula.__name__))
    names = formula.__code__.co_varnames[5 : formula.__code__.co_argcount]
    numbers = {name: rng.uniform(*RANGES[name]) for name in names if name in RANGES}
    a, l2 = rng.uniform(0.01, 0.05), rng.uniform(0.01, 0.1) if coupled else 0.0
    tx = optim.OPTIMIZERS[formula.__name__](rate_of(a, decaying), **numbers)
    if coupled:
        tx = optax.chain(optim.coupled_weight_decay(l2), tx)
    mine = trajectory(tx)

    x, memories = dict(START), {leaf: {} for leaf in LEAVES}
    for t in range(STEPS):
        now, grads = a / (1 + K * t) if decaying else a, gradient(x, {leaf: NOISE[leaf][t] for leaf in LEAVES})
        x = {leaf: formula(x[leaf], grads[leaf] + l2 * x[leaf], t + 1, memories[leaf], now, **numbers) for leaf in x}
        for leaf in LEAVES:
            np.testing.assert_allclose(mine[leaf][t], x[leaf], **EXACT)


@pytest.mark.parametrize("number", range(len(ABOUT["cases"])), ids=lambda i: f"{ABOUT['cases'][i]['optimizer']}-{i}")
def test_pytorch(x64, number):
    case = ABOUT["cases"][number]
    name, numbers, decay = case["optimizer"], case["numbers"], case["weight_decay"]
    rate = rate_of(case["learning_rate"], case["decaying"])
    assert ABOUT["decay_of_rate"] == K
    if name == "rmsprop with momentum":
        rms = optim.scale_by_rms(numbers["decay"], numbers["eps"])
        tx = optax.chain(rms, optim.scale_by_momentum(numbers["rho"]), optim.scale_by_learning_rate(rate))
    elif name == "adamw":
        tx = optim.adamw(rate, weight_decay=decay, convention="torch", **numbers)
    else:
        tx = optim.OPTIMIZERS[name](rate, convention="torch", **numbers)
    if decay and name != "adamw":
        tx = optax.chain(optim.coupled_weight_decay(decay), tx)
    mine = trajectory(tx)
    for row, t in enumerate(ABOUT["kept"]):
        flat = np.concatenate([np.ravel(mine[leaf][t - 1]) for leaf in LEAVES])
        np.testing.assert_allclose(flat, GOLDENS["trajectories"][number, row], **EXACT)


OPTAX = {
    "sgd": (lambda a, **n: optax.sgd(a), ()),
    "momentum": (lambda a, rho: optax.sgd(a, momentum=rho), ("rho",)),
    "nesterov": (lambda a, rho: optax.sgd(a, momentum=rho, nesterov=True), ("rho",)),
    "adagrad": (lambda a: optax.adagrad(a), ()),
    "rmsprop": (lambda a, decay: optax.rmsprop(a, decay=decay), ("decay",)),
    "adam": (lambda a, b1, b2: optax.adam(a, b1, b2), ("b1", "b2")),
    "adamw": (
        lambda a, b1, b2, weight_decay: optax.adamw(a, b1, b2, weight_decay=weight_decay),
        ("b1", "b2", "weight_decay"),
    ),
    "amsgrad": (lambda a, b1, b2: optax.amsgrad(a, b1, b2), ("b1", "b2")),
    "nadam": (lambda a, b1, b2: optax.nadam(a, b1, b2), ("b1", "b2")),
}


@pytest.mark.parametrize("decaying", [False, True], ids=["constant", "decaying"])
@pytest.mark.parametrize("name", OPTAX)
def test_optax(x64, name, decaying):
    """Its defaults too: what is left out is the convention's."""
    make, names = OPTAX[name]
    rng = np.random.default_rng(len(name))
    numbers = {key: rng.uniform(*RANGES[key]) for key in names}
    rate = rate_of(rng.uniform(0.01, 0.05), decaying)
    mine = trajectory(optim.OPTIMIZERS[name](rate, convention="optax", **numbers))
    theirs = trajectory(make(rate, **numbers))
    for leaf in LEAVES:
        np.testing.assert_allclose(mine[leaf], theirs[leaf], **EXACT)


def test_optax_s_rmsprop_with_momentum_is_a_chain(x64):
    rate = rate_of(0.02, decaying=True)
    mine = optax.chain(
        optim.scale_by_rms(0.9, 1e-8, eps_in_root=True),
        optim.scale_by_learning_rate(rate),
        optim.scale_by_momentum(0.8),
    )
    theirs = optax.rmsprop(rate, decay=0.9, momentum=0.8)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **EXACT), trajectory(mine), trajectory(theirs))


def test_where_conventions_differ_the_first_steps_do():
    """On tiny gradients, as FACTS of the field have it: eps and the start of the accumulator decide."""

    def first(tx, g):
        return float(tx.update(jnp.array(g), tx.init(jnp.array(0.0)))[0])

    np.testing.assert_allclose(first(optim.adagrad(1.0), 0.01), -1, rtol=1e-4)
    np.testing.assert_allclose(first(optim.adagrad(1.0, convention="optax"), 0.01), -0.0316, rtol=1e-2)
    np.testing.assert_allclose(first(optim.rmsprop(1.0, 0.9, convention="torch"), 1e-6), -3.07, rtol=1e-2)
    np.testing.assert_allclose(first(optim.rmsprop(1.0, 0.9, convention="optax"), 1e-6), -0.01, rtol=1e-2)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_an_unknown_convention_is_told(name):
    with pytest.raises(ValueError, match=r"no convention 'pytorch', expected .*; did you mean 'torch'"):
        optim.OPTIMIZERS[name](0.1, convention="pytorch")
