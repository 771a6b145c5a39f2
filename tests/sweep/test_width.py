"""How many lanes run side by side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lec7.sweep.width import Trial, candidates, choose, first_guess


def trial(seconds, cost=1.0, asked=None):
    def measured(lanes):
        if asked is not None:
            asked.append(lanes)
        return Trial(lanes, seconds(lanes), cost)

    return measured


@given(best=st.integers(0, 6), steep=st.floats(0.1, 1), first=st.integers(0, 6))
def test_where_there_is_enough_to_do_the_fastest_is_found(best, steep, first):
    found = choose(trial(lambda lanes: 1 + steep * abs(lanes.bit_length() - 1 - best)), 2**first, 64, steps=1e9)
    assert found[0].lanes == 2**best


def test_nothing_is_tried_that_can_not_pay():
    asked = []
    choose(trial(lambda lanes: 1e-4 / lanes, cost=3.0, asked=asked), 8, 64, steps=32_000)
    assert asked == [8]
    choose(trial(lambda lanes: 1e-4 / lanes, cost=3.0, asked=asked), 8, 64, steps=10**9)
    assert asked == [8, 8, 16, 32, 64]


def test_what_has_no_room_is_not_used():
    def measured(lanes):
        return Trial(lanes, 1 / lanes, 1.0) if lanes < 16 else None

    assert choose(measured, 64, 64, steps=1e9)[0].lanes == 8
    assert choose(lambda lanes: None, 4, 64, steps=1e9) == []


@pytest.mark.parametrize(
    ("flops", "most", "platform", "expected"),
    [
        (1e6, 64, "cpu", 8),
        (1e6, 3, "cpu", 3),
        (1e9, 64, "cpu", 1),
        (1e6, 64, "gpu", 64),
        (1e9, 64, "gpu", 8),
        (1e12, 64, "gpu", 1),
        (0.0, 12, "gpu", 12),
    ],
)
def test_the_first_guess_is_one_of_the_candidates(flops, most, platform, expected):
    assert first_guess(flops, most, platform) == expected
    assert expected in candidates(most)
