"""What is said of all public names at once: one path to each, a docstring, one place for what recurs."""

import inspect

import pytest
from public_face import main, names

import lec7

FUNCTIONS = {
    f"{room}.{name}": inspect.signature(thing).parameters
    for room in lec7.__all__
    for name, thing in names(room)
    if inspect.isfunction(thing)
}


def test_each_name_has_one_path_and_a_docstring(capsys):
    assert main([]) == 0, capsys.readouterr().out[-500:]


def test_a_key_that_has_to_be_given_comes_first():
    late = [
        name
        for name, parameters in FUNCTIONS.items()
        if "key" in parameters
        and parameters["key"].default is inspect.Parameter.empty
        and next(iter(parameters)) != "key"
    ]
    assert not late


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("learning_rate", {"lr", "rate_of_learning", "step_size"}),
        ("where", {"pattern", "mask", "select"}),
        ("every", {"each", "interval", "frequency"}),
        ("dtype", {"type", "precision"}),
    ],
)
def test_what_has_a_name_has_no_other(name, others):
    assert any(name in parameters for parameters in FUNCTIONS.values())
    assert not {f"{path}({other})" for path, known in FUNCTIONS.items() for other in others & set(known)}


def test_patterns_on_names_of_leaves_are_texts_and_choose_all_unless_told():
    defaults = {name: p["where"].default for name, p in FUNCTIONS.items() if "where" in p}
    assert set(defaults.values()) <= {".*", ".*kernel", inspect.Parameter.empty}, defaults
