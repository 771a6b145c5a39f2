import jax.numpy as jnp
import optax
import pytest

from lec7 import tree
from lec7.errors import InputError

PARAMS = {
    "head": {"kernel": jnp.ones(2), "bias": jnp.ones(1)},
    "blocks": [{"kernel": jnp.ones(3)}, {"kernel": jnp.ones(4)}],
}


def test_a_leaf_is_named_by_its_way():
    assert tree.paths(PARAMS) == ["blocks/0/kernel", "blocks/1/kernel", "head/bias", "head/kernel"]
    assert tree.named(PARAMS)["blocks/1/kernel"].shape == (4,)


def test_a_pattern_matches_whole_paths_only():
    assert tree.select(PARAMS, ".*/kernel") == {
        "head": {"kernel": True, "bias": False},
        "blocks": [{"kernel": True}, {"kernel": True}],
    }
    with pytest.raises(InputError, match="no leaf matches 'kernel'"):
        tree.select(PARAMS, "kernel")


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("haed/.*", "did you mean 'head/.*'"),
        ("head/kernal", "did you mean 'head/kernel'"),
        ("bloks/0/.*", "'blocks/0/.*'"),
        ("kernel", "no leaf matches 'kernel'; did you mean '.*/kernel'? a pattern is of whole names"),
        ("ernel", "did you mean '.*ernel'?"),
        ("head", "did you mean 'head/.*'?"),
        ("blocks/[01]", "did you mean 'blocks/[01]/.*'?"),
        ("hea", "did you mean 'hea.*'?"),
        ("kernel|bias", "did you mean '.*/(kernel|bias)'?"),
        ("ea", "did you mean '.*ea.*'?"),
    ],
)
def test_a_pattern_that_matches_nothing_raises_and_names_the_nearest(pattern, hint):
    with pytest.raises(InputError) as error:
        tree.select(PARAMS, pattern)
    assert hint in str(error.value)


def test_a_broken_pattern_is_said_to_be_one():
    with pytest.raises(InputError, match="is no regular expression"):
        tree.select(PARAMS, "head/(")


def test_map_named_gives_names_to_the_function():
    lengths = tree.map_named(lambda name, x, y: f"{name}:{x.size + y.size}", PARAMS, PARAMS)
    assert lengths["blocks"][1]["kernel"] == "blocks/1/kernel:8"


def test_nodes_of_a_type_are_found_at_every_depth_the_outer_first():
    inner = optax.MaskedState(optax.TraceState({"w": 1.0}))
    outer = optax.MaskedState((inner, [optax.EmptyState()]))
    assert tree.nodes({"a": outer, "b": 2.0}, optax.MaskedState) == [outer, inner]
    assert tree.nodes({"a": None, "b": 2.0}, optax.MaskedState) == []
