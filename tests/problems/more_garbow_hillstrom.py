"""The 35 problems of Moré, Garbow and Hillstrom, "Testing Unconstrained Optimization Software", ACM TOMS 7 (1981).

Each function gives the residuals r(x) [M] with the paper's indices, which begin at one. Those that fit a table are in
`data_fitting`. A function for any n serves the paper's "extended" problem, too.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax

from problems import data_fitting as fit
from problems.problem import Problem, like, upto

dot = partial(jnp.matmul, precision="highest")  # a GPU would else round float32 to fewer digits


def rosenbrock(x):
    """10 (x₂ - x₁²), 1 - x₁, for each pair of x."""
    a, b = x.reshape(-1, 2).T
    return jnp.concatenate([10 * (b - a**2), 1 - a])


def freudenstein_roth(x):
    """-13 + x₁ + ((5 - x₂) x₂ - 2) x₂, -29 + x₁ + ((x₂ + 1) x₂ - 14) x₂."""
    x1, x2 = x
    return jnp.stack([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2])


def powell_badly_scaled(x):
    """10⁴ x₁ x₂ - 1, exp(-x₁) + exp(-x₂) - 1.0001."""
    x1, x2 = x
    return jnp.stack([1e4 * x1 * x2 - 1, jnp.exp(-x1) + jnp.exp(-x2) - 1.0001])


def brown_badly_scaled(x):
    """x₁ - 10⁶, x₂ - 2⋅10⁻⁶, x₁ x₂ - 2."""
    x1, x2 = x
    return jnp.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2])


def beale(x):
    """rᵢ = yᵢ - x₁ (1 - x₂ⁱ)."""
    x1, x2 = x
    (y,) = like(x, (1.5, 2.25, 2.625))
    return y - x1 * (1 - jnp.stack([x2, x2**2, x2**3]))


def helical_valley(x):
    """10 (x₃ - 10 θ), 10 (√(x₁² + x₂²) - 1), x₃, with θ the angle of (x₁, x₂) in turns, between -¼ and ¾."""
    x1, x2, x3 = x
    theta = jnp.arctan2(-x1, x2) / (2 * np.pi) + 0.25
    return jnp.stack([10 * (x3 - 10 * theta), 10 * (jnp.sqrt(x1**2 + x2**2) - 1), x3])


def powell_singular(x):
    """x₁ + 10 x₂, √5 (x₃ - x₄), (x₂ - 2 x₃)², √10 (x₁ - x₄)², for each four of x."""
    a, b, c, d = x.reshape(-1, 4).T
    return jnp.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def wood(x):
    """10 (x₂ - x₁²), 1 - x₁, √90 (x₄ - x₃²), 1 - x₃, √10 (x₂ + x₄ - 2), (x₂ - x₄) / √10."""
    x1, x2, x3, x4 = x
    first, second = [10 * (x2 - x1**2), 1 - x1], [90**0.5 * (x4 - x3**2), 1 - x3]
    return jnp.stack([*first, *second, 10**0.5 * (x2 + x4 - 2), (x2 - x4) / 10**0.5])


def watson(x):
    """rᵢ = Σⱼ (j - 1) xⱼ tᵢʲ⁻² - (Σⱼ xⱼ tᵢʲ⁻¹)² - 1 with t = i / 29, i ≤ 29; then x₁ and x₂ - x₁² - 1."""
    powers = np.vander(upto(29) / 29, x.size, increasing=True)
    t, dt = like(x, powers, powers[:, :-1] * upto(x.size - 1))
    p, dp = dot(t, x), dot(dt, x[1:])
    return jnp.concatenate([dp - p**2 - 1, jnp.stack([x[0], x[1] - x[0] ** 2 - 1])])


def penalty_1(x):
    """√a (xᵢ - 1), and last Σⱼ xⱼ² - ¼, with a = 10⁻⁵."""
    return jnp.append(1e-5**0.5 * (x - 1), jnp.sum(x**2) - 0.25)


def penalty_2(x):
    """x₁ - 0.2; √a (exp(xᵢ/10) + exp(xᵢ₋₁/10) - yᵢ); √a (exp(xᵢ/10) - exp(-1/10)); Σⱼ (n - j + 1) xⱼ² - 1.

    i goes from 2 to n; yᵢ = exp(i/10) + exp((i - 1)/10); a = 10⁻⁵.
    """
    n, a = x.size, 1e-5
    i, e = upto(n), jnp.exp(x / 10)
    y, z, weight = like(x, np.exp(i[1:] / 10) + np.exp(i[:-1] / 10), np.exp(-1 / 10), n - i + 1)
    pairs, singles = a**0.5 * (e[1:] + e[:-1] - y), a**0.5 * (e[1:] - z)
    return jnp.concatenate([x[:1] - 0.2, pairs, singles, jnp.sum(weight * x**2)[None] - 1])


def variably_dimensioned(x):
    """xᵢ - 1; s = Σⱼ j (xⱼ - 1); s²."""
    (j,) = like(x, upto(x.size))
    s = jnp.sum(j * (x - 1))
    return jnp.concatenate([x - 1, jnp.stack([s, s**2])])


def trigonometric(x):
    """rᵢ = n - Σⱼ cos xⱼ + i (1 - cos xᵢ) - sin xᵢ."""
    (i,) = like(x, upto(x.size))
    return x.size - jnp.sum(jnp.cos(x)) + i * (1 - jnp.cos(x)) - jnp.sin(x)


def brown_almost_linear(x):
    """rᵢ = xᵢ + Σⱼ xⱼ - (n + 1) for i < n, and last Πⱼ xⱼ - 1."""
    return jnp.append(x[:-1] + jnp.sum(x) - (x.size + 1), jnp.prod(x) - 1)


def discrete_boundary_value(x):
    """rᵢ = 2 xᵢ - xᵢ₋₁ - xᵢ₊₁ + h² (xᵢ + tᵢ + 1)³ / 2 with h = 1 / (n + 1), t = i h, x₀ = xₙ₊₁ = 0."""
    h = 1 / (x.size + 1)
    (t,) = like(x, upto(x.size) * h)
    before, after = jnp.pad(x, (1, 0))[:-1], jnp.pad(x, (0, 1))[1:]
    return 2 * x - before - after + h**2 * (x + t + 1) ** 3 / 2


def discrete_integral_equation(x):
    """rᵢ = xᵢ + h/2 Σⱼ Gᵢⱼ (xⱼ + tⱼ + 1)³ with Green's function G = min(tᵢ, tⱼ) (1 - max(tᵢ, tⱼ)), h and t as above."""
    h = 1 / (x.size + 1)
    t = upto(x.size) * h
    t, green = like(x, t, np.minimum.outer(t, t) * (1 - np.maximum.outer(t, t)))
    return x + h / 2 * dot(green, (x + t + 1) ** 3)


def broyden_tridiagonal(x):
    """rᵢ = (3 - 2 xᵢ) xᵢ - xᵢ₋₁ - 2 xᵢ₊₁ + 1 with x₀ = xₙ₊₁ = 0."""
    before, after = jnp.pad(x, (1, 0))[:-1], jnp.pad(x, (0, 1))[1:]
    return (3 - 2 * x) * x - before - 2 * after + 1


def broyden_banded(x):
    """rᵢ = xᵢ (2 + 5 xᵢ²) + 1 - Σⱼ xⱼ (1 + xⱼ) over i - 5 ≤ j ≤ i + 1, j ≠ i."""
    i = upto(x.size)
    offset = i[None] - i[:, None]
    (band,) = like(x, (offset >= -5) & (offset <= 1) & (offset != 0))
    return x * (2 + 5 * x**2) + 1 - dot(band, x * (1 + x))


M = 10  # residuals of the three linear problems


def linear_full_rank(x):
    """rᵢ = xᵢ - 2/M Σⱼ xⱼ - 1, where xᵢ = 0 for i > n."""
    return jnp.pad(x, (0, M - x.size)) - 2 / M * jnp.sum(x) - 1


def linear_rank_1(x):
    """rᵢ = i Σⱼ j xⱼ - 1."""
    i, j = like(x, upto(M), upto(x.size))
    return i * jnp.sum(j * x) - 1


def linear_rank_1_with_zeros(x):
    """rᵢ = (i - 1) Σⱼ j xⱼ - 1 over 1 < j < n, and r₁ = r_M = -1."""
    i, j = like(x, np.pad(upto(M - 2), 1), upto(x.size)[1:-1])
    return i * jnp.sum(j * x[1:-1]) - 1


def chebyquad(x):
    """rᵢ = 1/n Σⱼ Tᵢ(xⱼ) - ∫₀¹ Tᵢ, with Tᵢ Chebyshev's polynomial shifted to [0, 1]: Tᵢ₊₁ = 2 (2x - 1) Tᵢ - Tᵢ₋₁."""
    i, y = upto(x.size), 2 * x - 1
    (integral,) = like(x, np.divide(1, 1 - i**2, where=i % 2 == 0, out=np.zeros_like(i)))
    _, t = lax.scan(lambda t, _: ((t[1], 2 * y * t[1] - t[0]), t[1]), (jnp.ones_like(y), y), length=x.size)
    return jnp.mean(t, axis=1) - integral


def problem(name, residuals, start, *minima):
    return Problem(name, residuals, tuple(float(x) for x in start), minima)


def grid(n):
    """j / (n + 1) for j = 1, ..., n."""
    return upto(n) / (n + 1)


# Minima: the paper's, to more digits by SciPy's Levenberg-Marquardt in float64; zeros and closed forms are exact.
PROBLEMS: dict[str, Problem] = {
    p.name: p
    for p in [
        problem("Rosenbrock", rosenbrock, (-1.2, 1), 0.0),
        problem("Freudenstein-Roth", freudenstein_roth, (0.5, -2), 0.0, 48.98425367924),
        problem("Powell badly scaled", powell_badly_scaled, (0, 1), 0.0),
        problem("Brown badly scaled", brown_badly_scaled, (1, 1), 0.0),
        problem("Beale", beale, (1, 1), 0.0),
        problem("Jennrich-Sampson", fit.jennrich_sampson, (0.3, 0.4), 124.362182355615),
        problem("helical valley", helical_valley, (-1, 0, 0), 0.0),
        problem("Bard", fit.bard, (1, 1, 1), 8.21487730657898e-3, 17.4286933333333),
        problem("Gaussian", fit.gaussian, (0.4, 1, 0), 1.12793276962e-8),
        problem("Meyer", fit.meyer, (0.02, 4000, 250), 87.9458551705),
        problem("Gulf", fit.gulf, (5, 2.5, 0.15), 0.0),
        problem("Box", fit.box, (0, 10, 20), 0.0),
        problem("Powell singular", powell_singular, (3, -1, 0, 1), 0.0),
        problem("Wood", wood, (-3, -1, -3, -1), 0.0),
        problem(
            "Kowalik-Osborne", fit.kowalik_osborne, (0.25, 0.39, 0.415, 0.39), 3.07505603849237e-4, 1.02734304869546e-3
        ),
        problem("Brown-Dennis", fit.brown_dennis, (25, 5, -5, -1), 85822.2016263563),
        problem("Osborne 1", fit.osborne_1, (0.5, 1.5, -1, 0.01, 0.02), 5.46489469748e-5),
        problem("Biggs EXP6", fit.biggs_exp6, (1, 2, 1, 1, 1, 1), 0.0, 5.6556499255e-3),
        problem("Osborne 2", fit.osborne_2, (1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5), 4.01377362935477e-2),
        problem("Watson, n = 6", watson, np.zeros(6), 2.28767005355235e-3),
        problem("Watson, n = 9", watson, np.zeros(9), 1.3997601381e-6),
        problem("extended Rosenbrock", rosenbrock, (-1.2, 1) * 5, 0.0),
        problem("extended Powell singular", powell_singular, (3, -1, 0, 1) * 3, 0.0),
        problem("penalty I", penalty_1, upto(10), 7.08765146709037e-5),
        problem("penalty II", penalty_2, np.full(10, 0.5), 2.93660537456746e-4),
        problem("variably dimensioned", variably_dimensioned, 1 - upto(10) / 10, 0.0),
        problem("trigonometric", trigonometric, np.full(10, 1 / 10), 0.0, 2.79505612188e-5),
        problem("Brown almost linear", brown_almost_linear, np.full(10, 0.5), 0.0, 1.0),
        problem("discrete boundary value", discrete_boundary_value, grid(10) * (grid(10) - 1), 0.0),
        problem("discrete integral equation", discrete_integral_equation, grid(10) * (grid(10) - 1), 0.0),
        problem("Broyden tridiagonal", broyden_tridiagonal, -np.ones(10), 0.0),
        problem("Broyden banded", broyden_banded, -np.ones(10), 0.0),
        problem("linear, full rank", linear_full_rank, np.ones(5), M - 5.0),
        problem("linear, rank 1", linear_rank_1, np.ones(5), M * (M - 1) / (2 * (2 * M + 1))),
        problem(
            "linear, rank 1 with zeros", linear_rank_1_with_zeros, np.ones(5), (M**2 + 3 * M - 6) / (2 * (2 * M - 3))
        ),
        problem("Chebyquad", chebyquad, grid(8), 3.51687372567792e-3),
    ]
}
