"""The problems that solvers are tried on are the literature's: values at the start, and minima that SciPy finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from problems import PROBLEMS, autoencoder, logistic_regression, rosenbrock_chain
from problems.learning import LOGISTIC_REGRESSION, digits
from scipy.optimize import least_squares, minimize
from sklearn.linear_model import LogisticRegression

E, Y = np.exp(0.05), np.exp(np.arange(1, 11) / 10)  # of "penalty II"
# f at the standard start: of six digits as printed in papers and by other libraries; squares as MINPACK's tests print
# the norms of residuals; the rest is exact.
AT_THE_START = {
    "Rosenbrock": 24.2,
    "Freudenstein-Roth": 400.5,
    "Powell badly scaled": 1.065487**2,
    "Brown badly scaled": (1 - 1e6) ** 2 + (1 - 2e-6) ** 2 + 1,
    "Beale": 14.203125,
    "Jennrich-Sampson": 64.58565**2,
    "helical valley": 2500,
    "Bard": 6.456136**2,
    "Gaussian": 3.88811e-6,
    "Meyer": 41153.47**2,
    "Gulf": 12.1107,
    "Box": 32.11158**2,
    "Powell singular": 215,
    "Wood": 19192,
    "Kowalik-Osborne": 7.289151e-2**2,
    "Brown-Dennis": 2815.438**2,
    "Osborne 1": 0.9375640**2,
    "Biggs EXP6": 0.779070,
    "Osborne 2": 1.446865**2,
    "Watson, n = 6": 30,
    "Watson, n = 9": 30,
    "extended Rosenbrock": 5 * 24.2,
    "extended Powell singular": 3 * 215,
    "penalty I": (385 - 0.25) ** 2 + 1e-5 * 285,
    "penalty II": 0.3**2 + 12.75**2 + 1e-5 * (np.sum((2 * E - Y[1:] - Y[:-1]) ** 2) + 9 * (E - np.exp(-0.1)) ** 2),
    "variably dimensioned": 2.85 + 38.5**2 + 38.5**4,
    "trigonometric": 8.411753e-2**2,
    "Brown almost linear": 9 * 5.5**2 + (1 - 2**-10) ** 2,
    "discrete boundary value": 2.808058e-2**2,
    "discrete integral equation": 0.2518270**2,
    "Broyden tridiagonal": 21,
    "Broyden banded": 360,
    "linear, full rank": 25,
    "linear, rank 1": 291.5219**2,
    "linear, rank 1 with zeros": 126.0397**2,
    "Chebyquad": 0.1965139**2,
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_value_at_the_start_is_the_literatures(x64, name):
    problem = PROBLEMS[name]
    np.testing.assert_allclose(problem.value(problem.start), AT_THE_START[name], rtol=3e-6)


def by_least_squares(problem):
    """The value where SciPy's Levenberg-Marquardt comes to rest."""
    residuals, jacobian = jax.jit(problem.residuals), jax.jit(jax.jacfwd(problem.residuals))
    accuracy = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14, "max_nfev": 2000}
    return 2 * least_squares(residuals, problem.start, jacobian, method="lm", x_scale="jac", **accuracy).cost


@each_problem
def test_scipy_reaches_a_minimum_from_the_start(x64, problem):
    assert problem.reaches(by_least_squares(problem), rtol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@each_problem
def test_a_problem_keeps_the_dtype_of_x_and_its_gradient_is_finite(x64, problem, dtype):
    x = jnp.asarray(problem.start, dtype)
    residuals, gradient = jax.jit(lambda x: (problem.residuals(x), jax.grad(problem.value)(x)))(x)
    assert residuals.ndim == 1
    assert residuals.dtype == gradient.dtype == dtype
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("n", [2, 4, 7, 13, 20])
def test_the_chain_has_the_minima_that_scipy_finds(x64, n):
    chain = rosenbrock_chain(n)
    value, gradient, hessian = (jax.jit(f) for f in (chain.value, jax.grad(chain.value), jax.hessian(chain.value)))

    def descend(x):
        return minimize(value, x, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-9}).fun

    assert chain.reaches(by_least_squares(chain), rtol=1e-6)
    assert chain.reaches(descend(chain.start), rtol=1e-6)
    assert abs(descend([-1.0] + [1.0] * (n - 1)) - chain.minima[-1]) < 1e-6
    assert len(chain.minima) == (2 if n >= 4 else 1)


@pytest.mark.parametrize("l2", LOGISTIC_REGRESSION)
def test_logistic_regressions_minimum_is_scikit_learns(x64, l2):
    problem, (images, labels) = logistic_regression(l2), digits(500)
    fit = LogisticRegression(C=1 / (500 * l2), solver="newton-cg", tol=1e-9, max_iter=1000).fit(images, labels)
    value = problem.value({"kernel": jnp.asarray(fit.coef_.T), "bias": jnp.asarray(fit.intercept_)})
    np.testing.assert_allclose(value, problem.minimum, rtol=1e-8)


def test_logistic_regression_begins_at_ignorance_and_knows_the_minima_of_its_table_alone():
    problem = logistic_regression(0.5)
    np.testing.assert_allclose(problem.value(problem.start), np.log(10), rtol=1e-6)
    assert problem.minimum is None


def test_the_autoencoder_learns(x64):
    problem = autoencoder()
    start, unravel = ravel_pytree(problem.start)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: problem.value(unravel(x))))
    end = minimize(value_and_grad, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    assert end.fun < 0.05 * problem.value(problem.start)


def test_the_autoencoder_begins_as_its_seed_says():
    (a, b), other = (
        (ravel_pytree(autoencoder(seed=3).start)[0] for _ in range(2)),
        ravel_pytree(autoencoder(4).start)[0],
    )
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, other)


@pytest.mark.parametrize("problem", [logistic_regression, autoencoder])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_learning_keeps_the_dtype_of_the_parameters(x64, problem, dtype):
    problem = problem()
    params = jax.tree.map(lambda p: p.astype(dtype), problem.start)
    value, grads = jax.value_and_grad(problem.value)(params)
    assert value.dtype == dtype
    assert all(g.dtype == dtype and jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
