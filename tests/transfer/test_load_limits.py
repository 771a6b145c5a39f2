"""What is just within a limit is loaded and one more is refused; and how messages show what is in a file."""

import re

import numpy as np
import pytest

from lec7.errors import InputError
from lec7.transfer.limits import FREE, PER_BYTE, check_size
from lec7.transfer.names import DEEPEST, LONGEST, MOST, choose, flatten, quote


def nested(depth, leaf=1):
    """So many dicts around a leaf."""
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


def test_as_many_dicts_in_each_other_as_there_may_be():
    assert flatten(nested(DEEPEST + 1)) == {"/".join("a" * (DEEPEST + 1)): 1}
    with pytest.raises(InputError, match=f"more than {DEEPEST} dicts in each other"):
        flatten(nested(DEEPEST + 2))


def test_as_many_entries_in_all_as_there_may_be():
    half = dict.fromkeys(map(str, range(MOST // 2 - 1)), 1)
    assert len(flatten({"a": half, "b": half})) == MOST - 2
    with pytest.raises(InputError, match=f"{MOST:,} entries"):
        flatten({"a": half, "b": {**half, "one more": 1}})


def test_as_many_letters_of_a_name_as_there_may_be():
    assert flatten({"a" * LONGEST: {"b": 1}}) == {"a" * LONGEST + "/b": 1}
    with pytest.raises(InputError, match=f"{LONGEST} letters in a name"):
        flatten({"a" * (LONGEST + 1): {"b": 1}})


@pytest.mark.parametrize("weight", [0, 1, 1000])
def test_as_many_bytes_as_a_file_may_claim(weight):
    check_size(FREE + PER_BYTE * weight, weight, "it")
    with pytest.raises(InputError, match=f"^it has {weight:,} bytes and claims arrays of"):
        check_size(FREE + PER_BYTE * weight + 1, weight, "it")


def test_arrays_keep_their_order_and_nothing_is_no_array():
    tree = {"b": {"y": 1, "x": {0: 2, "none": None}}, "a": 3, "empty": {}}
    assert list(flatten(tree).items()) == [("b/y", 1), ("b/x/0", 2), ("a", 3)]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a/b": 1, "a": {"b": 2}}, "it has two entries that are called 'a/b'"),
        ({0: 1, "0": 2}, "it has two entries that are called '0'"),
        ({"a": {(1, 2): 1}}, "'a' has a key that is a tuple; names are text or whole numbers"),
        ({"a": {1.5: 1}}, "'a' has a key that is a float"),
    ],
)
def test_a_name_is_told_where_it_is_none(tree, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        flatten(tree)


def test_long_names_are_cut_after_60_letters():
    assert (quote("a" * 60), quote("a" * 61)) == (repr("a" * 60), repr("a" * 60 + "..."))


X = np.ones(2)
LISTINGS = {
    "an array, a number, text": ({"a": X, "b": 1, "c": "words"}, "'a' (an array), 'b' (an int), 'c' (a str)"),
    "parts": (
        {"one": {"x": X}, "two": {"x": X, "y": X}, "mixed": {"x": X, "y": 1, "z": 2}},
        "'one' (1 array), 'two' (2 arrays), 'mixed' (1 array, 2 other entries)",
    ),
    "twelve": ({str(i): 1 for i in range(12)}, ", ".join(f"'{i}' (an int)" for i in range(12))),
    "one more": ({str(i): 1 for i in range(13)}, ", ".join(f"'{i}' (an int)" for i in range(12)) + " and 1 more"),
}


@pytest.mark.parametrize("what", LISTINGS)
def test_a_part_that_is_not_there_is_told_with_all_that_are(what):
    tree, listing = LISTINGS[what]
    with pytest.raises(InputError, match=f"^there is no 'nothing' to .* There are: {re.escape(listing)}$"):
        choose(tree, "nothing")


@pytest.mark.parametrize(
    ("tree", "item", "message"),
    [
        ({"model": X}, "model", "'model' is an array, no part to take arrays from"),
        ({"model": {"w": X}}, "modle", "there is no 'modle' to take arrays from; did you mean 'model'?"),
        ({}, None, "it has no arrays in it"),
        ({"a": {"w": X, "b": 1}}, "a", "'a/b' is an int, where arrays were expected; item=... chooses a part of: 'a'"),
    ],
)
def test_an_item_that_has_no_arrays_is_told(tree, item, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        choose(tree, item)


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"w": X}, "b": {"w": X}},  # two dicts of arrays
        {"a": {"w": X}, "b": X},  # one, and an array beside it
        {"a": {"w": X, "n": 1}},  # one that has something else in it
        {"a": {}},
    ],
)
def test_the_one_dict_of_arrays_is_asked_for_where_it_is_not_clear(tree):
    with pytest.raises(InputError, match=r"^say by item=\.\.\. which part is meant\. There are"):
        choose(tree, None, unwrap=True)


def test_the_one_dict_of_arrays_is_taken_where_it_is_clear():
    tree = {"epoch": 3, "model": {"deep": {"w": X}}, "empty": {}, "other": {"n": 1}}
    assert choose(tree, None, unwrap=True).keys() == {"deep/w"}
    assert choose({"w": X}, None, unwrap=True).keys() == {"w"}
