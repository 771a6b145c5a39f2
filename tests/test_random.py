import jax
import numpy as np

from lec7 import random


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
