"""What a sweep is over."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from lec7 import sweep
from lec7.errors import InputError
from lec7.sweep.groups import groups, traceable
from lec7.sweep.space import checked, draw, grid
from lec7.sweep.text import is_over, parse


@dataclass(frozen=True)
class Fields:
    rate: float = 0.1
    width: int = 8
    optimizer: str = "adam"
    nesterov: bool = False
    shape: tuple = (1, 2)
    seed: int = 0


HP = Fields()


def test_a_grid_is_the_product_of_its_fields_the_last_one_fastest():
    space = checked({"optimizer": ["adam", "sgd"], "rate": sweep.log(1e-3, 1e-1, 3), "seed": range(2)}, HP)
    expected = itertools.product(["adam", "sgd"], [1e-3, 1e-2, 1e-1], [0, 1])
    assert [tuple(point.values()) for point in grid(space)] == list(expected)


def test_logarithms_and_differences_are_even():
    np.testing.assert_allclose(np.diff(np.log(sweep.log(1e-4, 1e-1, 16).values())), math.log(1e3) / 15, rtol=1e-4)
    np.testing.assert_allclose(np.diff(sweep.linear(0, 0.5, 6).values()), 0.1, rtol=1e-6)


def test_values_take_the_types_of_their_fields():
    space = checked({"rate": [1, np.float32(0.5)], "width": sweep.log(8, 32, 3), "shape": [[1, 2], [3]]}, HP)
    assert grid(space)[0] == {"rate": 1.0, "width": 8, "shape": (1, 2)}
    assert [type(value) for value in grid(space)[0].values()] == [float, int, tuple]
    assert space["width"] == (8, 16, 32)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"rte": [1.0]}, "no hyperparameter 'rte'; did you mean 'rate'"),
        ({"rate": []}, "rate is over no value at all"),
        ({"rate": [0.1, 0.1]}, "rate has 0.1 2 times"),
        ({"rate": 0.1}, "expected a list"),
        ({"rate": [math.nan]}, "expected a finite number"),
        ({"width": [1.5]}, "width is 1.5, expected an int"),
        ({"optimizer": sweep.linear(0, 1, 2)}, "is 'adam', and no number"),
        ({"seed": [-1]}, "seed is -1, expected one from 0"),
        ({}, "the sweep is over no field"),
    ],
    ids=str,
)
def test_what_no_sweep_can_be_over_is_refused(space, message):
    with pytest.raises(InputError, match=message):
        checked(space, HP)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sweep.log(0, 1, 3), "goes through zero"),
        (lambda: sweep.log(-1, 1, 3), "goes through zero"),
        (lambda: sweep.linear(1, 1, 3), "is empty"),
        (lambda: sweep.linear(0, math.inf, 3), "is empty"),
        (lambda: sweep.linear(0, 1, 1), "has 1 values"),
        (lambda: sweep.log(1e-3, 1).values(), "says not how many values"),
    ],
)
def test_a_span_that_has_no_values_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "default", "values"),
    [
        ("0.1,0.3", 0.5, [0.1, 0.3]),
        ("lin:0:1:3", 0.5, [0.0, 0.5, 1.0]),
        ("log:1:100:3", 0.5, [1.0, 10.0, 100.0]),
        ("0:4", 0, [0, 1, 2, 3]),
        ("0:10:5", 0, [0, 5]),
        ("8,32", 0, [8, 32]),
        ("adam,sgd", "adam", ["adam", "sgd"]),
        ("true,false", False, [True, False]),
    ],
)
def test_texts_of_a_command_line_are_values(text, default, values):
    assert is_over(text, default)
    found = parse("field", text, default, str)
    assert (found.values() if isinstance(found, sweep.Span) else list(found)) == values


@pytest.mark.parametrize(("text", "default"), [("0.1", 0.5), ("adam", "adam"), ("C:/data", "adam"), ("7", 0)])
def test_a_single_value_is_none_to_sweep_over(text, default):
    assert not is_over(text, default)


@pytest.mark.parametrize(
    ("text", "default", "message"),
    [
        ("4:0", 0, "is empty"),
        ("0:4:0", 0, "is empty"),
        ("a:b", 0, "expected FROM:TO"),
        ("0.1,x", 0.5, "has 'x', expected a number"),
        ("1,2.5", 0, "has '2.5', expected an int"),
        ("0.1,", 0.5, "has an empty value"),
        ("0:1", 0.5, "can't be read"),
        ("log:1e-4:1e-1:x", 0.5, "expected log:LOW:HIGH:COUNT"),
        ("yes,no", False, "expected true or false"),
    ],
)
def test_a_text_that_is_none_is_refused(text, default, message):
    with pytest.raises(InputError, match=message):
        parse("field", text, default, str)


def test_draws_are_the_same_however_many_and_follow_their_distributions():
    space = checked({"rate": sweep.log(1e-4, 1.0), "optimizer": ["a", "b", "c"], "width": sweep.linear(1, 4)}, HP)
    points = draw(space, 600, 0, HP)
    assert draw(space, 10, 0, HP) == points[:10]
    assert draw(space, 10, 1, HP) != points[:10]
    assert stats.kstest([point["rate"] for point in points], stats.loguniform(1e-4, 1.0).cdf).pvalue > 0.01
    for name, values in {"optimizer": "abc", "width": (1, 2, 3, 4)}.items():
        counts = [sum(point[name] == value for point in points) for value in values]
        assert stats.chisquare(counts).pvalue > 0.01


def test_each_drawn_setting_has_all_seeds():
    points = draw(checked({"seed": range(3), "rate": sweep.log(1e-4, 1.0)}, HP), 2, 0, HP)
    assert [point["seed"] for point in points] == [0, 1, 2, 0, 1, 2]
    assert len({point["rate"] for point in points}) == 2


def test_floats_and_the_seed_are_traced_and_all_else_makes_groups():
    points = grid(checked({"optimizer": ["adam", "sgd"], "rate": [0.1, 0.2], "width": [4, 8], "seed": range(2)}, HP))
    traced = traceable(HP, points)
    assert traced == ["rate", "seed"]
    found = groups(HP, points, traced)
    assert [(one.hp.optimizer, one.hp.width, len(one.lanes)) for one in found] == [
        ("adam", 4, 4),
        ("adam", 8, 4),
        ("sgd", 4, 4),
        ("sgd", 8, 4),
    ]
    assert sorted(lane for one in found for lane in one.lanes) == list(range(16))


def test_the_seed_is_traced_where_it_is_the_same_for_all():
    assert traceable(HP, [{"rate": 0.1}, {"rate": 0.2}]) == ["rate", "seed"]
