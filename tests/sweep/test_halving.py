"""Which settings go on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lec7.errors import InputError
from lec7.sweep import Halving, survivors

VALUES = st.lists(st.one_of(st.floats(-10, 10), st.just(math.nan)), min_size=1, max_size=40)


@given(VALUES, st.floats(1.01, 8), st.sampled_from(["minimize", "maximize"]))
def test_those_go_on_that_fewer_are_better_than(values, eta, direction):
    """By the rule's definition, setting by setting: NaN never, others if less than ceil(n / eta) are ahead of them."""

    def ahead(i, j):
        better = values[i] < values[j] if direction == "minimize" else values[i] > values[j]
        return not math.isnan(values[i]) and (better or (values[i] == values[j] and i < j))

    room, places = math.ceil(len(values) / eta), range(len(values))
    expected = [j for j in places if not math.isnan(values[j]) and sum(ahead(i, j) for i in places) < room]
    assert survivors(values, eta, direction) == expected


@pytest.mark.parametrize(
    ("eta", "settings", "shares"), [(3, 27, [1 / 27, 1 / 9, 1 / 3]), (2, 7, [0.25, 0.5]), (3, 2, [])]
)
def test_rungs_are_as_many_as_leave_one(eta, settings, shares):
    assert Halving(eta).shares(settings) == pytest.approx(shares)


def test_rungs_may_be_fewer():
    assert Halving(4, rungs=1).shares(64) == [0.25]


@pytest.mark.parametrize("wrong", [{"eta": 1.0}, {"eta": 0.5}, {"rungs": 0}])
def test_what_halves_nothing_is_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        Halving(**wrong)
