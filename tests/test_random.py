import jax
import numpy as np
import pytest

from lec7 import optim, random
from lec7.data.order import permute
from lec7.errors import InputError


def bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_a_stream_depends_on_key_name_and_step_and_on_nothing_else(key):
    keys = [
        random.stream(base, name, step)
        for base in (key, jax.random.key(1))
        for name in ("dropout", "order")
        for step in (None, 0, 1)
    ]
    assert len({bits(k) for k in keys}) == len(keys)
    assert bits(random.stream(key, "dropout", 1)) == bits(keys[2])


def test_a_traced_step_draws_what_a_known_one_draws(key):
    traced = jax.jit(lambda step: random.stream(key, "dropout", step))(5)
    assert bits(traced) == bits(random.stream(key, "dropout", 5))


def test_the_name_is_hashed_the_same_in_every_process(key):
    # Python's own hash() of a text differs from process to process; these two words must not.
    assert bits(random.stream(jax.random.key(0), "dropout")) == (116798348, 4143519482)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (jax.random.PRNGKey(0), r"the key is uint32\[2\], expected a typed one: jax.random.key\(seed\)"),
        (0, "the key is 0, expected"),
        (None, "the key is None, expected"),
    ],
)
def test_what_is_no_typed_key_is_refused(wrong, told):
    for use in (
        lambda key: random.stream(key, "order"),
        lambda key: jax.jit(lambda step: random.stream(key, "order", step))(0),
        lambda key: permute(key, 0, 7),
        lambda key: optim.stochastic_round(key, np.ones(3, np.float32), "bfloat16"),
    ):
        with pytest.raises(InputError, match=told):
            use(wrong)


def test_keys_of_the_old_kind_can_be_made_typed():
    made = jax.random.wrap_key_data(jax.random.PRNGKey(0))
    assert bits(random.stream(made, "order")) == bits(random.stream(jax.random.key(0), "order"))
