"""Schedules beside those of Optax, and beside PyTorch's formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import schedules

T = np.arange(150)


def values(schedule):
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.asarray(T)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schedules.step_decay(0.8, 30, 0.1), optax.exponential_decay(0.8, 30, 0.1, staircase=True)),
        (schedules.exponential(0.8, 0.02), optax.exponential_decay(0.8, 1, math.exp(-0.02))),
        (schedules.polynomial(0.8, 100, 3, 0.1), optax.polynomial_schedule(0.8, 0.1, 3, 100)),
        (schedules.cosine(0.8, 100, 0.2), optax.cosine_decay_schedule(0.8, 100, alpha=0.25)),
        (schedules.one_cycle(0.8, 100), optax.cosine_onecycle_schedule(100, 0.8)),
        (
            schedules.cyclic_cosine(0.8, 20, growth=2),
            optax.sgdr_schedule(
                [
                    {"init_value": 0.8, "peak_value": 0.8, "decay_steps": steps, "warmup_steps": 0}
                    for steps in (20, 40, 80, 160)
                ]
            ),
        ),
        (
            schedules.join([0.1, schedules.cosine(0.8, 50), schedules.inverse_time(0.3, 0.1)], [20, 90]),
            optax.join_schedules(
                [optax.constant_schedule(0.1), optax.cosine_decay_schedule(0.8, 50), lambda t: 0.3 / (1 + 0.1 * t)],
                [20, 90],
            ),
        ),
    ],
    ids=["step_decay", "exponential", "polynomial", "cosine", "one_cycle", "cyclic_cosine", "join"],
)
def test_is_optax_schedule(ours, theirs):
    np.testing.assert_allclose(values(ours), values(theirs), rtol=2e-5, atol=2e-7)


def test_one_cycle_is_pytorch_whose_last_step_is_the_end(x64):
    """torch.optim.lr_scheduler.OneCycleLR(max_lr, total_steps, pct_start, anneal_strategy="cos")."""
    max_lr, total_steps, pct_start, div_factor, final_div_factor = 0.8, 120, 0.25, 20.0, 1e3
    initial_lr = max_lr / div_factor
    phases = [
        (pct_start * total_steps - 1, initial_lr, max_lr),
        (total_steps - 1, max_lr, initial_lr / final_div_factor),
    ]
    expected = []
    for step_num in range(total_steps):
        start_step = 0.0
        for i, (end_step, start, end) in enumerate(phases):
            if step_num <= end_step or i == 1:
                pct = (step_num - start_step) / (end_step - start_step)
                expected.append(end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1))
                break
            start_step = end_step

    last = total_steps - 1
    ours = schedules.one_cycle(max_lr, last, (pct_start * total_steps - 1) / last, div_factor, final_div_factor)
    np.testing.assert_allclose(values(ours)[:total_steps], expected, rtol=1e-12)


@pytest.mark.parametrize("t_mult", [1, 2, 3])
def test_cyclic_cosine_is_pytorch_with_warm_restarts(x64, t_mult):
    """torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0, T_mult, eta_min), step by step."""
    base_lr, eta_min, t_cur, t_i = 0.8, 0.05, 0, 10
    expected = []
    for _ in T:
        expected.append(eta_min + (base_lr - eta_min) * (1 + math.cos(math.pi * t_cur / t_i)) / 2)
        t_cur += 1
        if t_cur >= t_i:
            t_cur, t_i = t_cur - t_i, t_i * t_mult
    ours = schedules.cyclic_cosine(base_lr, 10, eta_min, growth=t_mult)
    np.testing.assert_allclose(values(ours), expected, rtol=1e-12)


def test_cyclic_cosine_is_the_one_of_snapshot_ensembles(x64):
    """Huang et al., equation 2, whose t counts from 1: M cycles in T steps."""
    total, cycles = 150, 4
    length = math.ceil(total / cycles)
    expected = [0.4 * (math.cos(math.pi * ((t - 1) % length) / length) + 1) for t in range(1, total + 1)]
    np.testing.assert_allclose(values(schedules.cyclic_cosine(0.8, length)), expected, rtol=1e-12)


def test_triangular_is_pytorch_cyclic_rate(x64):
    """torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr, max_lr, step_size_up, mode="triangular")."""
    base_lr, max_lr, step_size_up = 0.1, 0.8, 16
    expected = []
    for last_epoch in T:
        total_size, step_ratio = 2.0 * step_size_up, 0.5
        cycle = math.floor(1 + last_epoch / total_size)
        x = 1.0 + last_epoch / total_size - cycle
        scale_factor = x / step_ratio if x <= step_ratio else (x - 1) / (step_ratio - 1)
        expected.append(base_lr + (max_lr - base_lr) * scale_factor)
    np.testing.assert_allclose(values(schedules.triangular(base_lr, max_lr, 2 * step_size_up)), expected, rtol=1e-12)
