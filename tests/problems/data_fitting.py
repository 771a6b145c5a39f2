"""Problems 6, 8 to 12 and 15 to 19 of Moré, Garbow and Hillstrom: models of the few parameters x, fitted to a table.

Each function gives the residuals r(x) [M]; t, u and y are the table's columns, and θ the model's parameters.
"""

import jax.numpy as jnp
import numpy as np

from problems.problem import like, upto

BARD = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)
GAUSSIAN = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989)
MEYER = (34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872)
KOWALIK_OSBORNE = (
    (4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625),
    (0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246),
)
OSBORNE_1 = (
    *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751),
    *(0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490),
    *(0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406),
)
OSBORNE_2 = (
    *(1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608),
    *(0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661),
    *(0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428),
    *(0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559),
    *(0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054),
)


def jennrich_sampson(x):
    """rᵢ = 2 + 2i - (exp(i x₁) + exp(i x₂)), M = 10."""
    x1, x2 = x
    (i,) = like(x, upto(10))
    return 2 + 2 * i - (jnp.exp(i * x1) + jnp.exp(i * x2))


def bard(x):
    """rᵢ = yᵢ - (x₁ + uᵢ / (vᵢ x₂ + wᵢ x₃)) with u = i, v = 16 - i, w = min(u, v)."""
    x1, x2, x3 = x
    i = upto(15)
    u, v, w, y = like(x, i, 16 - i, np.minimum(i, 16 - i), BARD)
    return y - (x1 + u / (v * x2 + w * x3))


def gaussian(x):
    """rᵢ = x₁ exp(-x₂ (tᵢ - x₃)² / 2) - yᵢ with t = (8 - i) / 2; y is symmetric."""
    x1, x2, x3 = x
    t, y = like(x, (8 - upto(15)) / 2, GAUSSIAN + GAUSSIAN[-2::-1])
    return x1 * jnp.exp(-x2 * (t - x3) ** 2 / 2) - y


def meyer(x):
    """rᵢ = x₁ exp(x₂ / (tᵢ + x₃)) - yᵢ with t = 45 + 5i."""
    x1, x2, x3 = x
    t, y = like(x, 45 + 5 * upto(16), MEYER)
    return x1 * jnp.exp(x2 / (t + x3)) - y


def gulf(x):
    """rᵢ = exp(-|yᵢ - x₂|^x₃ / x₁) - tᵢ with t = i / 100, y = 25 + (-50 ln t)^⅔, M = 99."""
    x1, x2, x3 = x
    t = upto(99) / 100
    t, y = like(x, t, 25 + (-50 * np.log(t)) ** (2 / 3))
    return jnp.exp(-(jnp.abs(y - x2) ** x3) / x1) - t


def box(x):
    """rᵢ = exp(-tᵢ x₁) - exp(-tᵢ x₂) - x₃ (exp(-tᵢ) - exp(-10 tᵢ)) with t = i / 10, M = 10."""
    x1, x2, x3 = x
    t = upto(10) / 10
    t, y = like(x, t, np.exp(-t) - np.exp(-10 * t))
    return jnp.exp(-t * x1) - jnp.exp(-t * x2) - x3 * y


def kowalik_osborne(x):
    """rᵢ = yᵢ - x₁ (uᵢ² + uᵢ x₂) / (uᵢ² + uᵢ x₃ + x₄)."""
    x1, x2, x3, x4 = x
    u, y = like(x, *KOWALIK_OSBORNE)
    return y - x1 * (u**2 + u * x2) / (u**2 + u * x3 + x4)


def brown_dennis(x):
    """rᵢ = (x₁ + tᵢ x₂ - exp tᵢ)² + (x₃ + x₄ sin tᵢ - cos tᵢ)² with t = i / 5, M = 20."""
    x1, x2, x3, x4 = x
    t = upto(20) / 5
    t, exp, sin, cos = like(x, t, np.exp(t), np.sin(t), np.cos(t))
    return (x1 + t * x2 - exp) ** 2 + (x3 + x4 * sin - cos) ** 2


def osborne_1(x):
    """rᵢ = yᵢ - (x₁ + x₂ exp(-tᵢ x₄) + x₃ exp(-tᵢ x₅)) with t = 10 (i - 1)."""
    x1, x2, x3, x4, x5 = x
    t, y = like(x, 10 * (upto(33) - 1), OSBORNE_1)
    return y - (x1 + x2 * jnp.exp(-t * x4) + x3 * jnp.exp(-t * x5))


def biggs_exp6(x):
    """rᵢ = x₃ exp(-tᵢ x₁) - x₄ exp(-tᵢ x₂) + x₆ exp(-tᵢ x₅) - yᵢ, y = exp(-t) - 5 exp(-10 t) + 3 exp(-4 t), M = 13."""
    x1, x2, x3, x4, x5, x6 = x
    t = upto(13) / 10
    t, y = like(x, t, np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t))
    return x3 * jnp.exp(-t * x1) - x4 * jnp.exp(-t * x2) + x6 * jnp.exp(-t * x5) - y


def osborne_2(x):
    """A falling exponential and three bells, θ = x₁ ... x₁₁, with t = (i - 1) / 10.

    rᵢ = yᵢ - (x₁ exp(-tᵢ x₅) + x₂ exp(-(tᵢ - x₉)² x₆) + x₃ exp(-(tᵢ - x₁₀)² x₇) + x₄ exp(-(tᵢ - x₁₁)² x₈))
    """
    t, y = like(x, (upto(65) - 1) / 10, OSBORNE_2)
    height, rate, centre = x[1:4, None], x[5:8, None], x[8:11, None]
    bells = height * jnp.exp(-((t[None] - centre) ** 2) * rate)
    return y - (x[0] * jnp.exp(-t * x[4]) + jnp.sum(bells, axis=0))
