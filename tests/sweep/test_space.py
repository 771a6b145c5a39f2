"""What a sweep is over."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from lec7 import sweep
from lec7.errors import InputError
from lec7.sweep.groups import groups, traceable
from lec7.sweep.space import checked, checked_points, draw, grid, kinds
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
        ({"optimizer": sweep.linear(0, 1, 2)}, "is of str, and no number"),
        ({"optimizer": [1]}, "optimizer is 1, expected a text"),
        ({"nesterov": [1, 0]}, "nesterov is 1, expected True or False"),
        ({"shape": [16]}, "shape is 16, expected a tuple"),
        ({"width": [None]}, "width is None, expected an int"),
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
    ("text", "kind", "values"),
    [
        ("0.1,0.3", float, [0.1, 0.3]),
        ("lin:0:1:3", float, [0.0, 0.5, 1.0]),
        ("log:1:100:3", float, [1.0, 10.0, 100.0]),
        ("0:4", int, [0, 1, 2, 3]),
        ("0:10:5", int, [0, 5]),
        ("8,32", int, [8, 32]),
        ("adam,sgd", str, ["adam", "sgd"]),
        ("true,false", bool, [True, False]),
    ],
)
def test_texts_of_a_command_line_are_values(text, kind, values):
    assert is_over(text, kind)
    found = parse("field", text, kind, str)
    assert (found.values() if isinstance(found, sweep.Span) else list(found)) == values


@pytest.mark.parametrize(("text", "kind"), [("0.1", float), ("adam", str), ("C:/data", str), ("7", int)])
def test_a_single_value_is_none_to_sweep_over(text, kind):
    assert not is_over(text, kind)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("4:0", int, "is empty"),
        ("0:4:0", int, "is empty"),
        ("a:b", int, "expected FROM:TO"),
        ("0.1,x", float, "has 'x', expected a number"),
        ("1,2.5", int, "has '2.5', expected an int"),
        ("0.1,", float, "has an empty value"),
        ("0:1", float, "can't be read, expected lin:LOW:HIGH:COUNT"),
        ("log:1e-4:1e-1:x", float, "expected log:LOW:HIGH:COUNT"),
        ("yes,no", bool, "expected true or false"),
    ],
)
def test_a_text_that_is_none_is_refused(text, kind, message):
    with pytest.raises(InputError, match=message):
        parse("field", text, kind, str)


def test_draws_are_the_same_however_many_and_follow_their_distributions():
    space = checked({"rate": sweep.log(1e-4, 1.0), "optimizer": ["a", "b", "c"], "width": sweep.linear(1, 4)}, HP)
    points = draw(space, 600, 0, HP)
    assert draw(space, 10, 0, HP) == points[:10]
    assert draw(space, 10, 1, HP) != points[:10]
    assert stats.kstest([point["rate"] for point in points], stats.loguniform(1e-4, 1.0).cdf).pvalue > 0.01
    for name, values in {"optimizer": "abc", "width": (1, 2, 3, 4)}.items():
        counts = [sum(point[name] == value for point in points) for value in values]
        assert stats.chisquare(counts).pvalue > 0.01


def test_no_setting_is_drawn_twice():
    space = checked({"optimizer": ["a", "b", "c"], "width": [1, 2]}, HP)
    points = draw(space, 6, 0, HP)
    assert sorted(map(str, points)) == sorted(map(str, grid(space)))
    with pytest.raises(InputError, match="7 settings are to be drawn, and there are 6"):
        draw(space, 7, 0, HP)
    with pytest.raises(InputError, match="nothing to draw but seeds"):
        draw(checked({"seed": range(3)}, HP), 2, 0, HP)


def test_points_are_checked_as_spaces_are():
    assert checked_points([{"rate": 1}, {"rate": 2}], HP) == [{"rate": 1.0}, {"rate": 2.0}]
    for points, message in [
        ([], "no point"),
        ([0.1], "a point is 0.1, expected a dict"),
        ([{"rate": 0.1}, {"width": 3}], "expected the same fields"),
        ([{"rate": 1}, {"rate": 1.0}], "a point is there twice"),
        ([{"rte": 1}], "did you mean 'rate'"),
    ]:
        with pytest.raises(InputError, match=message):
            checked_points(points, HP)


def test_types_are_those_of_annotations():
    @dataclass(frozen=True)
    class Loose:
        decay: float = 0
        clip: float | None = None
        name: Literal["a", "b"] = "a"

    assert kinds(Loose()) == {"decay": float, "clip": float, "name": str}
    points = grid(checked({"decay": [0.1, 1], "clip": sweep.log(0.1, 1, 2)}, Loose()))
    assert traceable(Loose(), points) == ["decay", "clip"]
    assert traceable(Loose(), grid(checked({"clip": [None, 0.5]}, Loose()))) == []


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
