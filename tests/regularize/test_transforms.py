"""Regularizers as transforms: scikit-learn's coordinate descent, NumPy's norms, and what holds for each."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, Lasso

from lec7 import averaging, optim, regularize
from lec7.errors import InputError

PARAMS = {"stem": {"kernel": jnp.array([[3.0, 0.5], [4.0, 0.1]])}, "head": {"kernel": jnp.ones((2, 2))}}
GRADS = jax.tree.map(lambda x: 0.5 * x, PARAMS)


def value_fn(params):
    return sum(jnp.sum(jnp.cosh(x)) for x in jax.tree.leaves(params))


MAKE = {
    "prox_l1": lambda r: optax.chain(optim.sgd(0.1), regularize.prox_l1(r, 0.1)),
    "prox_elastic_net": lambda r: optax.chain(optim.sgd(0.1), regularize.prox_elastic_net(r, r, 0.1)),
    "max_norm": lambda r: optax.chain(optim.sgd(0.1), regularize.max_norm(r)),
    "gradient_noise": lambda r: optax.chain(regularize.gradient_noise(jax.random.key(1), r, 0.55), optim.sgd(0.1)),
    "sam": lambda r: regularize.sam(optim.momentum(0.1), r),
}
every = pytest.mark.parametrize("name", MAKE)


def run(tx, params=PARAMS, steps=3):
    state = tx.init(params)
    for _ in range(steps):
        value, grads = jax.value_and_grad(value_fn)(params)
        updates, state = tx.update(grads, state, params, value=value, grad=grads, value_fn=value_fn)
        params = optax.apply_updates(params, updates)
    return params


def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return x, y - y.mean()


def descend(x, y, make, steps=30_000):
    """Proximal gradient descent of |y - x w|^2 / 2n at the rate 1 / L, float64."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    n, a = len(y), len(y) / jnp.linalg.eigvalsh(x.T @ x)[-1]
    tx = optax.chain(optim.sgd(a), make(a))

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(x.T @ (x @ w - y) / n, state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.zeros(x.shape[1])
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, (w, tx.init(w)), None, steps)[0][0])())


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_lasso_is_scikit_learns_zeros_included(alpha, x64):
    x, y = diabetes()
    theirs = Lasso(alpha, fit_intercept=False, tol=1e-14, max_iter=1_000_000).fit(x, y).coef_
    ours = descend(x, y, lambda a: regularize.prox_l1(alpha, a))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours == 0, theirs == 0)
    assert 0 < np.sum(ours == 0) < 10


@pytest.mark.parametrize(("alpha", "ratio"), [(0.5, 0.99), (0.1, 0.99)])
def test_the_elastic_net_is_scikit_learns_zeros_included(alpha, ratio, x64):
    """Theirs is alpha * ratio * |w| + alpha * (1 - ratio) / 2 * w**2."""
    x, y = diabetes()
    theirs = ElasticNet(alpha, l1_ratio=ratio, fit_intercept=False, tol=1e-14, max_iter=1_000_000).fit(x, y).coef_
    l1, l2 = alpha * ratio, alpha * (1 - ratio) / 2
    ours = descend(x, y, lambda a: regularize.prox_elastic_net(l1, l2, a))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours == 0, theirs == 0)
    assert 0 < np.sum(ours == 0) < 10


def test_the_proximal_point_is_where_penalty_and_distance_are_least_together(x64):
    """Against a search over a fine grid, of a * (l1 |x| + l2 x^2) + (x - z)^2 / 2."""
    z, grid, a, l1, l2 = np.linspace(-3, 3, 13), np.linspace(-4, 4, 80_001), 0.5, 0.8, 0.3
    least = [grid[np.argmin(a * (l1 * np.abs(grid) + l2 * grid**2) + (grid - at) ** 2 / 2)] for at in z]
    tx = regularize.prox_elastic_net(l1, l2, a)
    x = jnp.asarray(z)
    updates, _ = tx.update(jnp.zeros_like(x), tx.init(x), x)
    np.testing.assert_allclose(x + updates, least, atol=1e-4)


def test_a_schedule_of_the_rate_is_asked_about_the_step():
    """Shrinks by 1.0 and then by 0.5."""
    tx, x = regularize.prox_l1(1.0, lambda t: 0.5**t), jnp.array(3.0)
    state = tx.init(x)
    for expected in (2.0, 1.5):
        updates, state = tx.update(jnp.array(0.0), state, x)
        x = x + updates
        assert float(x) == expected


def test_zeros_are_exact_in_any_dtype():
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.asarray(np.random.default_rng(0).normal(size=1000), dtype)
        u = jnp.asarray(np.random.default_rng(1).normal(size=1000), dtype)
        tx = regularize.prox_l1(0.5, 1.0)
        updates, _ = jax.jit(tx.update)(u, tx.init(x), x)
        zero = np.abs(np.asarray(x + u, np.float32)) <= 0.5
        assert updates.dtype == dtype
        np.testing.assert_array_equal(np.asarray(x + updates) == 0, zero)


def test_max_norm_projects_each_unit_alone(x64):
    rng = np.random.default_rng(0)
    for shape, axes, over in [((5, 4), None, (0,)), ((3, 3, 2, 4), None, (0, 1, 2)), ((4, 5), 1, (1,))]:
        x, u = rng.normal(size=shape), rng.normal(size=shape)
        limit = float(np.median(np.sqrt(np.sum((x + u) ** 2, axis=over))))
        tx = regularize.max_norm(limit, axes, where="w")
        updates, _ = tx.update({"w": jnp.asarray(u)}, tx.init({"w": jnp.asarray(x)}), {"w": jnp.asarray(x)})
        z = x + u
        norm = np.sqrt(np.sum(z**2, axis=over, keepdims=True))
        np.testing.assert_allclose(x + updates["w"], z * np.minimum(1, limit / norm), rtol=1e-12)
        # Those within the limit make the step that they made.
        within = np.broadcast_to(norm <= limit, shape)
        np.testing.assert_array_equal(np.asarray(updates["w"])[within], u[within])


def test_gradient_noise_has_the_variance_of_the_paper():
    """eta / (1 + t)**gamma; a sample variance of n normals is off by sqrt(2 / n) of it: five of these."""
    n, tx = 100_000, regularize.gradient_noise(jax.random.key(0), 0.3, 0.55)
    g = jnp.full(n, 2.0)
    state, seen = tx.init(g), []
    for t in range(3):
        noisy, state = tx.update(g, state)
        seen.append(np.asarray(noisy - g, float))
        np.testing.assert_allclose(np.var(seen[t]), 0.3 / (1 + t) ** 0.55, rtol=5 * np.sqrt(2 / n))
        assert abs(seen[t].mean()) < 5 * np.sqrt(0.3 / n)
    assert abs(np.corrcoef(seen)[0, 1]) < 5 / np.sqrt(n)


def test_gradient_noise_is_a_function_of_key_step_and_path(same):
    """Leaves of one shape draw apart, in groups too, and a run that goes on draws what it would have drawn."""
    tx = regularize.gradient_noise(jax.random.key(0), 1.0, 0.5)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    state = tx.init(PARAMS)
    first, state = tx.update(zeros, state)
    assert np.all(first["stem"]["kernel"] != first["head"]["kernel"])
    again, _ = tx.update(zeros, tx.init(PARAMS)._replace(t=state.t, key=state.key))
    same(again, tx.update(zeros, state)[0])
    grouped = optim.groups({"stem/.*": tx, "head/.*": tx})
    same(grouped.update(zeros, grouped.init(PARAMS), PARAMS)[0], first)


def test_the_noise_of_floats_is_the_same_where_doubles_are_on():
    def noisy():
        tx = regularize.gradient_noise(eta=0.3, gamma=0.55, key=jax.random.key(0))
        return tx.update(GRADS, tx.init(PARAMS))[0]

    with jax.enable_x64(True):
        wide = noisy()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), noisy(), wide)


def test_sam_is_the_gradient_uphill(x64):
    """By hand in NumPy: x + rho * g / |g| over all leaves, sinh being the gradient of cosh; then momentum."""
    x = {"a": np.array([1.0, -0.5]), "b": np.array([[0.3]])}
    ours, v = run(regularize.sam(optim.momentum(0.1, 0.9), 0.3), jax.tree.map(jnp.asarray, x), steps=4), 0
    flat = np.array([1.0, -0.5, 0.3])
    for _ in range(4):
        g = np.sinh(flat)
        v = 0.9 * v + np.sinh(flat + 0.3 * g / np.linalg.norm(g))
        flat = flat - 0.1 * v
    np.testing.assert_allclose(np.concatenate([ours["a"], ours["b"][0]]), flat, rtol=1e-12)


def test_sam_gives_the_optimizer_inside_its_gradient_and_the_value():
    seen = {}

    def update(updates, state, params=None, *, value, grad, value_fn, **extra):
        seen.update(value=value, same=grad is updates, again=value_fn(params))
        return updates, state

    tx = regularize.sam(optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update), 0.1)
    tx.update(GRADS, tx.init(PARAMS), PARAMS, value=jnp.array(7.0), grad=GRADS, value_fn=value_fn)
    assert seen == {"value": 7.0, "same": True, "again": value_fn(PARAMS)}


def test_sam_s_radius_where_none_is_said_is_the_paper_s(same):
    same(run(regularize.sam(optim.sgd(0.1))), run(regularize.sam(optim.sgd(0.1), 0.05)))


def test_sam_where_the_gradient_is_zero_stays():
    x = {"w": jnp.zeros(3)}
    np.testing.assert_array_equal(run(MAKE["sam"](0.1), x)["w"], x["w"])


NONE = {"prox_l1": 0.0, "prox_elastic_net": 0.0, "max_norm": 1e9, "gradient_noise": 0.0, "sam": 0.0}


@every
def test_with_a_rate_of_nothing_it_is_the_optimizer_alone(name):
    plain = run(optim.momentum(0.1) if name == "sam" else optim.sgd(0.1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), run(MAKE[name](NONE[name])), plain)
    if name in ("max_norm", "gradient_noise"):
        jax.tree.map(np.testing.assert_array_equal, run(MAKE[name](NONE[name])), plain)


@every
def test_rates_may_be_swept(name):
    lanes = jax.jit(jax.vmap(lambda rate: run(MAKE[name](rate))))(jnp.array([0.1, 2.0]))
    for i, rate in enumerate((0.1, 2.0)):
        alone = jax.jit(lambda rate=rate: run(MAKE[name](rate)))()
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x[i], y, rtol=1e-5, atol=1e-6), lanes, alone)  # noqa: B023


@every
def test_the_state_keeps_its_type_and_shapes(name):
    tx = MAKE[name](0.5)
    state = tx.init(PARAMS)
    _, after = tx.update(GRADS, state, PARAMS, value_fn=value_fn)
    assert jax.tree.structure(state) == jax.tree.structure(after)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), after)


@every
def test_in_a_group_it_is_for_the_group_alone(name):
    tx = optim.groups({"stem/.*": MAKE[name](0.5), ".*": optim.sgd(0.1)})
    together = run(tx)
    plain = run(optim.sgd(0.1))
    np.testing.assert_array_equal(together["head"]["kernel"], plain["head"]["kernel"])
    if name != "gradient_noise":  # whose noise goes by the path
        alone = run(MAKE[name](0.5), PARAMS["stem"])
        np.testing.assert_allclose(together["stem"]["kernel"], alone["kernel"], rtol=1e-6)


@every
def test_with_accumulated_gradients_it_acts_when_a_step_is_made(name):
    """Inside of accumulate; sam around, where it has both micro-batches' functions."""
    accumulate = lambda r: optim.accumulate(MAKE[name](r), 2)  # noqa: E731
    if name == "sam":
        accumulate = lambda r: regularize.sam(optim.accumulate(optim.momentum(0.1), 2), r)  # noqa: E731
    once, still = run(accumulate(0.5), steps=2), run(accumulate(0.5), steps=1)
    jax.tree.map(np.testing.assert_array_equal, still, PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), once, run(MAKE[name](0.5), steps=1))


@every
def test_an_average_behind_sees_the_parameters_after_it(name):
    tx = optax.chain(MAKE[name](0.5), averaging.ema(0.0))
    state = tx.init(PARAMS)
    updates, state = tx.update(GRADS, state, PARAMS, value_fn=value_fn)
    after = optax.apply_updates(PARAMS, updates)
    jax.tree.map(np.testing.assert_array_equal, averaging.averaged_params(state, PARAMS), after)


@pytest.mark.parametrize("name", ["prox_l1", "prox_elastic_net", "max_norm"])
def test_others_than_those_chosen_make_their_own_step(name):
    make = {
        "prox_l1": lambda: regularize.prox_l1(0.5, 1.0, "stem/.*"),
        "prox_elastic_net": lambda: regularize.prox_elastic_net(0.5, 0.5, 1.0, "stem/.*"),
        "max_norm": lambda: regularize.max_norm(0.5, where="stem/.*"),
    }
    tx = make[name]()
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["head"]["kernel"], GRADS["head"]["kernel"])
    assert np.all(updates["stem"]["kernel"] != GRADS["stem"]["kernel"])


NUMBERS = {
    regularize.prox_l1: {"rate": 1.0, "learning_rate": 0.1},
    regularize.prox_elastic_net: {"l1_rate": 1.0, "l2_rate": 1.0, "learning_rate": 0.1},
    regularize.max_norm: {"limit": 1.0},
    partial(regularize.gradient_noise, key=jax.random.key(0)): {"eta": 1.0, "gamma": 0.5},
    partial(regularize.sam, optax.sgd(0.1)): {"rho": 0.1},
    regularize.l2: {"rate": 1.0},
    regularize.l1: {"rate": 1.0},
    regularize.elastic_net: {"l1_rate": 1.0, "l2_rate": 1.0},
    partial(regularize.l2_sp, PARAMS): {"rate": 1.0},
}


@pytest.mark.parametrize(("make", "argument"), [(make, name) for make, names in NUMBERS.items() for name in names])
def test_a_number_that_is_none_is_refused_by_the_argument_s_name(make, argument):
    with pytest.raises(InputError, match=f"^{argument} is nan, expected .*; give "):
        make(**NUMBERS[make] | {argument: float("nan")})


@pytest.mark.parametrize("make", [regularize.prox_l1, regularize.prox_elastic_net, regularize.max_norm])
def test_each_says_by_its_name_that_it_needs_the_parameters(make):
    with pytest.raises(InputError, match=f"^{make.__name__} needs the parameters: call update"):
        updated(make(**NUMBERS[make]))


def updated(tx, params=PARAMS, **extra):
    tx.update(params, tx.init(params), None, **extra)


BAD = {
    "a negative rate": (lambda: regularize.prox_l1(-1.0, 0.1), "rate is -1.0"),
    "a negative learning rate": (lambda: regularize.prox_l1(1.0, -0.1), "learning_rate is -0.1"),
    "the second rate": (lambda: regularize.prox_elastic_net(1.0, float("nan"), 0.1), "l2_rate is nan"),
    "no limit": (lambda: regularize.max_norm(0.0), "limit is 0.0, expected a finite number more than 0"),
    "a negative variance": (lambda: regularize.gradient_noise(jax.random.key(0), -1.0, 0.5), "eta is -1.0"),
    "a negative exponent": (lambda: regularize.gradient_noise(jax.random.key(0), 1.0, -0.5), "gamma is -0.5"),
    "axes in words": (lambda: regularize.max_norm(1.0, axes="a"), "axes is 'a', expected an int or several"),
    "a fraction of an axis": (lambda: regularize.max_norm(1.0, axes=(0, 0.5)), r"axes is \(0, 0.5\)"),
    "no optimizer": (lambda: regularize.sam(0.1), "sam is around 0.1, expected an optimizer"),
    "an old key": (lambda: regularize.gradient_noise(jax.random.PRNGKey(0), 0.1, 0.5), "expected a typed one"),
    "a negative radius": (lambda: regularize.sam(optax.sgd(0.1), -1.0), "rho is -1.0"),
    "a pattern that matches nothing": (lambda: regularize.prox_l1(1.0, 0.1, "tail").init(PARAMS), "no leaf matches"),
    "no kernels": (lambda: regularize.max_norm(1.0).init({"w": jnp.ones(3)}), "no leaf matches '.*kernel'"),
    "a bias has no units": (
        lambda: regularize.max_norm(1.0, where=".*").init({"bias": jnp.ones(3)}),
        r"'bias' has shape \(3,\), expected at least two axes, units last",
    ),
    "axes that are not there": (
        lambda: regularize.max_norm(1.0, axes=(0, 2)).init({"kernel": jnp.ones((3, 2))}),
        r"'kernel' has shape \(3, 2\), expected axes \(0, 2\)",
    ),
    "prox without parameters": (lambda: updated(regularize.prox_l1(1.0, 0.1)), "prox_l1 needs the parameters"),
    "max_norm without parameters": (lambda: updated(regularize.max_norm(1.0)), "max_norm needs the parameters"),
    "sam without parameters": (lambda: updated(regularize.sam(optax.sgd(0.1)), value_fn=value_fn), "sam needs the par"),
    "sam without a function": (
        lambda: regularize.sam(optax.sgd(0.1)).update(GRADS, regularize.SamState(()), PARAMS),
        "sam needs the function that it descends",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_can_not_be_used_is_told(what):
    call, message = BAD[what]
    with pytest.raises(InputError, match=message):
        call()
