"""What holds for each schedule: its formula, traced numbers, far steps, gradients, and what it refuses."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import as_users
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lec7 import schedules
from lec7.errors import InputError
from lec7.typing import Schedule

LAST = 2**31 - 1
T = np.arange(140, dtype=np.int32)


def half_cosine(start, end, fraction):
    return end + (start - end) * (1 + np.cos(np.pi * np.clip(fraction, 0, 1))) / 2


def cyclic_cosine(t, value, period, final, growth, shrink):
    """Cycle by cycle, as the sentence says."""
    while t >= period:
        t, period, value = t - period, period * growth, final + (value - final) * shrink
    return half_cosine(value, final, t / period)


def one_cycle(t, peak, steps, rise, div_factor, final_div_factor):
    start, top = peak / div_factor, rise * steps
    if t < top:
        return half_cosine(start, peak, t / top)
    return half_cosine(peak, start / final_div_factor, (t - top) / (steps - top))


def triangular(t, low, high, period):
    """Smith's formula."""
    stepsize = period / 2
    cycle = np.floor(1 + t / (2 * stepsize))
    return low + (high - low) * max(0, 1 - abs(t / stepsize - 2 * cycle + 1))


def warmed(t, value, steps, final, warm):
    return min((t + 1) / (warm + 1), 1) * half_cosine(value, final, max(t - np.ceil(warm), 0) / steps)


def joined(t, value, k, first, second):
    if t < first:
        return value
    return value * np.exp(-k * (t - np.ceil(first))) if t < second else value / (1 + k * (t - np.ceil(second)))


class Case(NamedTuple):
    make: Callable[..., Schedule]
    numbers: dict[str, float]
    formula: Callable[..., float]  # in NumPy, from a step and the numbers
    steepest: float = np.inf  # the largest change in a step, as calculus has it ...
    leaps: tuple[int, ...] = ()  # ... but where the schedule leaps


CASES = {
    "constant": Case(schedules.constant, {"value": 0.3}, lambda t, value: value, steepest=0.0),
    "step_decay": Case(
        schedules.step_decay,
        {"value": 0.8, "every": 30.0, "factor": 0.4},
        lambda t, value, every, factor: value * factor ** (t // every),
        steepest=0.0,
        leaps=(30, 60, 90, 120),
    ),
    "exponential": Case(
        schedules.exponential,
        {"value": 0.8, "k": 0.05},
        lambda t, value, k: value * np.exp(-k * t),
        steepest=0.8 * 0.05,
    ),
    "inverse_time": Case(
        schedules.inverse_time,
        {"value": 0.8, "k": 0.05},
        lambda t, value, k: value / (1 + k * t),
        steepest=0.8 * 0.05,
    ),
    "polynomial": Case(
        schedules.polynomial,
        {"value": 0.8, "steps": 80.0, "power": 2.0, "final": 0.1},
        lambda t, value, steps, power, final: final + (value - final) * max(1 - t / steps, 0) ** power,
        steepest=0.7 * 2.0 / 80,
    ),
    "polynomial_root": Case(
        schedules.polynomial,
        {"value": 0.8, "steps": 80.0, "power": 0.5, "final": 0.1},
        lambda t, value, steps, power, final: final + (value - final) * max(1 - t / steps, 0) ** power,
        steepest=0.7 * (1 / 80) ** 0.5,
    ),
    "cosine": Case(
        schedules.cosine,
        {"value": 0.8, "steps": 80.0, "final": 0.1},
        lambda t, value, steps, final: half_cosine(value, final, t / steps),
        steepest=0.7 * np.pi / 2 / 80,
    ),
    "cyclic_cosine": Case(
        schedules.cyclic_cosine,
        {"value": 0.8, "period": 15.0, "final": 0.1, "growth": 2.0, "shrink": 0.9},
        cyclic_cosine,
        steepest=0.7 * np.pi / 2 / 15,
        leaps=(15, 45, 105),
    ),
    "cyclic_cosine_of_one_length": Case(
        schedules.cyclic_cosine,
        {"value": 0.8, "period": 15.0, "final": 0.1, "growth": 1.0, "shrink": 1.0},
        cyclic_cosine,
        steepest=0.7 * np.pi / 2 / 15,
        leaps=(15, 30, 45, 60, 75, 90, 105, 120, 135),
    ),
    "triangular": Case(
        schedules.triangular,
        {"low": 0.1, "high": 0.8, "period": 28.0},
        triangular,
        steepest=0.7 / 14,
    ),
    "one_cycle": Case(
        schedules.one_cycle,
        {"peak": 0.8, "steps": 100.0, "rise": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
        one_cycle,
        steepest=0.8 * (1 - 1 / 25) * np.pi / 2 / 30,
    ),
    "warmup": Case(
        lambda value, steps, final, warm: schedules.warmup(schedules.cosine(value, steps, final), warm),
        {"value": 0.8, "steps": 80.0, "final": 0.1, "warm": 20.0},
        warmed,
        steepest=0.8 / 21,
    ),
    "join": Case(
        lambda value, k, first, second: schedules.join(
            [value, schedules.exponential(value, k), schedules.inverse_time(value, k)], [first, second]
        ),
        {"value": 0.8, "k": 0.05, "first": 20.0, "second": 70.0},
        joined,
        steepest=0.8 * 0.05,
        leaps=(70,),
    ),
}
HELD = {"constant": 0, "polynomial": 80, "polynomial_root": 80, "cosine": 80, "one_cycle": 100, "warmup": 100}
# Each argument of each schedule; of those that are here twice, the arguments that differ.
AGAIN = {"polynomial_root": ["power"], "cyclic_cosine_of_one_length": ["growth", "shrink"]}
ARGUMENTS = [(name, argument) for name, case in CASES.items() for argument in AGAIN.get(name, case.numbers)]

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_name = pytest.mark.parametrize("name", CASES)


def values(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.asarray(steps)))


@functools.cache
def single(name):
    """From numbers to one schedule's values at all of `T`, compiled once."""
    return jax.jit(lambda numbers: jax.vmap(CASES[name].make(**numbers))(T))


@every_case
def test_is_its_formula_in_double_precision(x64, case):
    t = np.array([*range(140), 1000, 12345])
    expected = [case.formula(int(step), **case.numbers) for step in t]
    np.testing.assert_allclose(values(case.make(**case.numbers), t), expected, rtol=1e-12, atol=1e-15)


@every_name
def test_is_its_formula_in_single_precision(name):
    expected = [CASES[name].formula(int(t), **CASES[name].numbers) for t in T]
    np.testing.assert_allclose(single(name)(CASES[name].numbers), expected, rtol=2e-5, atol=1e-7)


@every_case
def test_takes_ints_and_integer_arrays_and_gives_one_float(case):
    schedule = case.make(**case.numbers)
    for step in (3, np.int64(3), jnp.int32(3), jnp.uint32(3)):
        value = schedule(step)
        assert (value.shape, value.dtype) == ((), jnp.float32)
        np.testing.assert_allclose(value, case.formula(3, **case.numbers), rtol=1e-5)


@every_case
def test_is_the_same_for_whole_numbers_given_as_ints(case):
    whole = {name: int(number) if number == int(number) else number for name, number in case.numbers.items()}
    for t in (0, 30, 31):
        np.testing.assert_array_equal(case.make(**whole)(t), case.make(**case.numbers)(t))


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_each_number_may_be_a_lane(name, argument):
    make, numbers = CASES[name].make, CASES[name].numbers
    other = numbers[argument] * (0.9 if numbers[argument] < 1 or argument == "shrink" else 1.25)
    lanes = jnp.array([numbers[argument], other])
    together = jax.jit(jax.vmap(lambda number: jax.vmap(make(**{**numbers, argument: number}))(T)))(lanes)
    for lane, number in zip(together, (numbers[argument], other), strict=True):
        np.testing.assert_allclose(lane, single(name)({**numbers, argument: number}), rtol=2e-6, atol=1e-9)
    assert not np.array_equal(*together)


def check_that_traced_numbers_round_as_known_ones():
    for name, case in CASES.items():
        known = jax.jit(case.make(**case.numbers))
        lane = jax.jit(jax.vmap(lambda numbers, t, make=case.make: make(**numbers)(t), (0, None)))
        twice = {argument: jnp.array([number, number]) for argument, number in case.numbers.items()}
        for t in (0, 1, 37, 64, 99, 12345):
            np.testing.assert_array_equal(lane(twice, t), known(t), err_msg=name)
        print(name)


def test_traced_numbers_round_as_known_ones():
    """A lane of a sweep has the rates of the single run, bit for bit."""
    assert as_users.printed(check_that_traced_numbers_round_as_known_ones).split() == list(CASES)


@every_name
def test_changes_no_faster_than_calculus_allows(name):
    case = CASES[name]
    change = np.abs(np.diff(single(name)(case.numbers)))
    leaping = np.isin(T[1:], case.leaps)
    assert change[~leaping].max() <= case.steepest + 1e-6
    assert (change[leaping] > 0.02).all()


@pytest.mark.parametrize("name", HELD)
def test_holds_its_last_value(name):
    case, end = CASES[name], HELD[name]
    beyond = values(case.make(**case.numbers), np.array([end, end + 1, 10 * end + 1, LAST], np.int32))
    np.testing.assert_array_equal(beyond, beyond[0])
    np.testing.assert_allclose(beyond[0], case.formula(end, **case.numbers), rtol=1e-6)


@every_case
def test_is_finite_and_within_its_range_at_every_step_there_is(case):
    far = np.array([2**k + offset for k in range(1, 32) for offset in (-2, -1)], np.int32)
    value = values(case.make(**case.numbers), far)
    assert value.dtype == np.float32
    assert ((value >= 0) & (value <= np.float32(0.8))).all()


@every_case
def test_has_finite_gradients_of_each_number(case):
    """At the ends of pieces, where a power or a clip has none, and far beyond them, too."""
    t = jnp.array([0, 1, 14, 15, 20, 30, 70, 79, 80, 81, 100, 101, 1000, LAST], jnp.int32)
    gradients = jax.jit(jax.vmap(jax.grad(lambda numbers, t: case.make(**numbers)(t)), (None, 0)))(case.numbers, t)
    for name, gradient in gradients.items():
        assert np.isfinite(gradient).all(), name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(float("nan")), "value is nan, expected a finite number; give the value"),
        (
            lambda: schedules.constant(jnp.ones(3)),
            r"value has shape \(3,\), expected a single number; give .* jax.vmap",
        ),
        (lambda: schedules.cosine(1.0, 0), "steps is 0, expected a finite number more than 0; give the number of"),
        (lambda: schedules.cosine(1.0, jnp.array(-2.0)), "steps is -2.0, expected"),
        (lambda: schedules.cosine(1.0, np.float32(-2.0)), "steps is -2.0, expected"),
        (lambda: schedules.cosine(1.0, 10, float("inf")), "final is inf, expected a finite number"),
        (lambda: schedules.step_decay(1.0, 0), "every is 0, expected"),
        (lambda: schedules.step_decay(1.0, 10, 1.5), r"factor is 1.5, expected a number in \(0, 1\]; give"),
        (lambda: schedules.exponential(1.0, -0.1), "k is -0.1, expected a finite number, at least 0"),
        (lambda: schedules.inverse_time(1.0, -0.1), "k is -0.1, expected a finite number, at least 0"),
        (lambda: schedules.polynomial(1.0, -1), "steps is -1, expected"),
        (lambda: schedules.polynomial(1.0, 10, power=0), "power is 0, expected"),
        (lambda: schedules.cyclic_cosine(1.0, 0), "period is 0, expected"),
        (lambda: schedules.cyclic_cosine(1.0, 10, growth=0.5), "growth is 0.5, expected a finite number, at least 1"),
        (lambda: schedules.cyclic_cosine(1.0, 10, shrink=0), "shrink is 0, expected"),
        (lambda: schedules.triangular(0.1, 1.0, -4), "period is -4, expected"),
        (lambda: schedules.one_cycle(1.0, 100, rise=1.0), r"rise is 1.0, expected a number in \(0, 1\)"),
        (lambda: schedules.one_cycle(1.0, 100, div_factor=0), "div_factor is 0, expected"),
        (lambda: schedules.one_cycle(1.0, 100, final_div_factor=-1), "final_div_factor is -1, expected"),
        (lambda: schedules.warmup(1.0, -1), "steps is -1, expected a finite number, at least 0; give"),
        (lambda: schedules.join([1.0, 2.0], []), "2 schedules have 0 boundaries, expected one less"),
        (lambda: schedules.join([], []), "0 schedules have 0 boundaries, expected one less"),
        (lambda: schedules.join([1.0, 2.0], [-1]), r"boundaries\[0\] is -1, expected"),
        (
            lambda: schedules.join([1.0, 2.0, 3.0], [5, 4]),
            r"boundaries\[1\] is 4, expected at least .* which is 5; give",
        ),
    ],
)
def test_known_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(("name", "argument"), [pair for pair in ARGUMENTS if pair[0] not in ("warmup", "join")])
def test_a_number_that_is_none_is_refused_by_the_argument_s_name(name, argument):
    with pytest.raises(InputError, match=f"^{argument} is nan, expected .*; give "):
        CASES[name].make(**{**CASES[name].numbers, argument: math.nan})


@pytest.mark.parametrize(
    ("make", "numbers", "left_out"),
    [
        (schedules.step_decay, {"value": 0.8, "every": 30.0}, {"factor": 0.5}),  # the lecture's "by half"
        (schedules.polynomial, {"value": 0.8, "steps": 80.0}, {"power": 1.0, "final": 0.0}),
        (schedules.cosine, {"value": 0.8, "steps": 80.0}, {"final": 0.0}),
        (schedules.cyclic_cosine, {"value": 0.8, "period": 15.0}, {"final": 0.0, "growth": 1.0, "shrink": 1.0}),
        (schedules.one_cycle, {"peak": 0.8, "steps": 100.0}, {"rise": 0.3, "div_factor": 25, "final_div_factor": 1e4}),
    ],
    ids=lambda make: getattr(make, "__name__", ""),
)
def test_what_is_left_out_is_what_the_lecture_or_pytorch_has(make, numbers, left_out):
    np.testing.assert_array_equal(values(make(**numbers), T), values(make(**numbers, **left_out), T))


def test_of_two_parts_that_start_at_one_step_the_later_has_it():
    joined = schedules.join([1.0, 2.0, 3.0], [5, 5])
    np.testing.assert_array_equal(values(joined, range(4, 7)), [1, 3, 3])


def test_a_whole_number_of_another_s_schedule_becomes_a_float():
    for schedule in (schedules.join([lambda step: 2], []), schedules.join([lambda step: 2, lambda step: 3], [1])):
        assert (schedule(1).shape, schedule(1).dtype) == ((), jnp.float32)


@every_case
def test_traced_numbers_are_not_checked(case):
    jax.eval_shape(lambda numbers: case.make(**{name: -x for name, x in numbers.items()})(3), case.numbers)
