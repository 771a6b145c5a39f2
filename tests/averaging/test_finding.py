"""An average is found wherever it sits, told apart by name, and refused where it can't count right."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, optim, train
from lec7.errors import InputError

PARAMS = {"head": {"w": jnp.array([1.0, 2.0])}, "stem": {"w": jnp.array([3.0])}}
NEXT = jax.tree.map(lambda x: x + 1, PARAMS)


def stepped(tx):
    """The state after one step of `tx` that takes PARAMS to something else, which comes with it."""
    state = tx.init(PARAMS)
    x, state = optim.apply_gradients(tx, jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    return x, state


NESTED = {
    "a chain": lambda tx: optax.chain(optax.sgd(-1.0), tx),
    "a chain of chains": lambda tx: optax.chain(
        optax.identity(), optax.chain(optax.sgd(-1.0), optax.chain(optax.chain(tx))), averaging.lawa(2, name="other")
    ),
    "named_chain": lambda tx: optax.named_chain(("step", optax.sgd(-1.0)), ("average", tx)),
    "accumulate": lambda tx: optim.accumulate(optax.chain(optax.sgd(-1.0), tx), 1),
    "skip_nonfinite": lambda tx: optim.skip_nonfinite(optax.chain(optax.sgd(-1.0), tx), 1),
    "monitor": lambda tx: optim.monitor(optax.chain(optax.sgd(-1.0), tx)),
    "mixed_precision": lambda tx: optim.mixed_precision(optax.chain(optax.sgd(-1.0), tx), params=jnp.float32),
    "MultiSteps": lambda tx: optax.MultiSteps(optax.chain(optax.sgd(-1.0), tx), 1).gradient_transformation(),
    "groups, of all": lambda tx: optax.chain(optim.groups({".*": optax.chain(optax.sgd(-1.0), tx)})),
}


@pytest.mark.parametrize("nest", NESTED)
def test_it_is_found_however_deep_it_lies(nest):
    x, state = stepped(NESTED[nest](averaging.ema(0.9)))
    average = averaging.averaged_params(state, PARAMS, "ema")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), average, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), x, NEXT)


def test_it_is_found_under_jit_too():
    x, state = stepped(optax.chain(optax.sgd(-1.0), averaging.lawa(3)))
    average = jax.jit(averaging.averaged_params)(state, x)
    np.testing.assert_allclose(average["head"]["w"], [2.0, 3.0])


def test_of_one_group_it_has_that_group_s_leaves_and_the_others_are_as_they_are():
    tx = optim.groups({"head/.*": optax.chain(optax.sgd(-1.0), averaging.swa(1)), ".*": optax.sgd(1.0)})
    _, state = stepped(tx)
    average = averaging.averaged_params(state, PARAMS)
    np.testing.assert_allclose(average["head"]["w"], [2.0, 3.0])
    np.testing.assert_allclose(average["stem"]["w"], [3.0])


@pytest.mark.parametrize(
    "split",
    [
        lambda a, b: optim.groups({"head/.*": a, ".*": b}),
        lambda a, b: optax.partition({"a": a, "b": b}, {"head": {"w": "a"}, "stem": {"w": "b"}}),
    ],
    ids=["groups", "optax.partition"],
)
def test_of_several_groups_one_name_is_one_average(split):
    """Different averages, as it may be: each of its own leaves."""
    ema, mean = averaging.ema(0.9, name="mean"), averaging.polyak_ruppert(name="mean")
    tx = split(optax.chain(optax.sgd(-1.0), ema), optax.chain(optax.sgd(-2.0), mean))
    state = tx.init(PARAMS)
    _, state = tx.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    assert averaging.names(state) == ["mean"]
    average = averaging.averaged_params(state, PARAMS)
    np.testing.assert_allclose(average["head"]["w"], [2.0, 3.0])
    np.testing.assert_allclose(average["stem"]["w"], [5.0])


def test_two_in_one_chain_are_told_apart_by_name():
    tx = optax.chain(
        optax.sgd(-1.0), averaging.ema(0.5, debias=False, name="fast"), averaging.ema(0.9, debias=False, name="slow")
    )
    x, state = stepped(tx)
    assert averaging.names(state) == ["fast", "slow"]
    np.testing.assert_allclose(averaging.averaged_params(state, x, "fast")["stem"]["w"], [3.5])
    np.testing.assert_allclose(averaging.averaged_params(state, x, "slow")["stem"]["w"], [3.1], rtol=1e-6)
    assert list(averaging.averages(state, x)) == ["fast", "slow"]
    with pytest.raises(InputError, match="holds 2 averages of the parameters, expected one; say which: 'fast', 'slow'"):
        averaging.averaged_params(state, x)
    with pytest.raises(InputError, match=r"no average 'slwo'; did you mean 'slow'\?"):
        averaging.averaged_params(state, x, "slwo")


def test_none_raises_and_says_where_one_goes():
    state = optim.adam(0.1).init(PARAMS)
    for name, expected in ((None, "one"), ("ema", "'ema'")):
        with pytest.raises(
            InputError, match=rf"holds 0 averages .*expected {expected}; end the chain with one of lec7"
        ):
            averaging.averaged_params(state, PARAMS, name)
    assert averaging.averages(state, PARAMS) == {}
    state = optax.chain(optim.adam(0.1), averaging.snapshots(2, 5)).init(PARAMS)
    with pytest.raises(InputError, match=r"snapshots are no average, averaging.snapshot_members gives them"):
        averaging.averaged_params(state, PARAMS, "ema")


def test_snapshots_are_no_average():
    state = optax.chain(optax.sgd(0.1), averaging.snapshots(2, 5)).init(PARAMS)
    assert averaging.names(state) == []


def test_two_of_one_name_and_the_same_leaves_are_refused():
    state = optax.chain(averaging.ema(0.9), averaging.ema(0.99)).init(PARAMS)
    with pytest.raises(InputError, match=r"two averages 'ema' of 'head/w'; give one another name"):
        averaging.averages(state, PARAMS)


def test_two_that_take_snapshots_are_refused_before_any_training(small):
    tx = optax.chain(optim.adam(0.1), averaging.snapshots(2, 5), averaging.snapshots(2, 7, name="others"))
    with pytest.raises(InputError, match="holds 2 transforms that take snapshots, expected one; put a single"):
        train.init(jax.random.key(0), small.model, tx, jnp.zeros((1, 6)))


BESIDE = {
    "accumulate": lambda: optim.accumulate(optim.adam(0.1), 2),
    "skip_nonfinite": lambda: optim.skip_nonfinite(optim.adam(0.1), 2),
    "accumulate, deeper": lambda: optax.chain(optax.chain(optim.accumulate(optim.adam(0.1), 2))),
    "MultiSteps": lambda: optax.MultiSteps(optim.adam(0.1), 2).gradient_transformation(),
    "apply_if_finite": lambda: optax.apply_if_finite(optim.adam(0.1), 2),
}


@pytest.mark.parametrize("holding", BESIDE)
@pytest.mark.parametrize("average", [lambda: averaging.ema(0.9), lambda: averaging.snapshots(2, 5)])
@pytest.mark.parametrize("chain", [optax.chain, lambda *txs: optax.named_chain(*zip("ab", txs, strict=True))])
def test_behind_a_transform_that_holds_steps_back_it_is_refused_before_any_training(small, holding, average, chain):
    tx = chain(BESIDE[holding](), optax.chain(average()))
    with pytest.raises(InputError, match=r"stands in a chain with \w+, where it would count steps that are held back"):
        train.init(jax.random.key(0), small.model, tx, jnp.zeros((1, 6)))


@pytest.mark.parametrize("around", [optax.chain, optim.monitor, lambda tx: optim.groups({".*": tx})])
def test_and_so_it_is_wherever_their_chain_lies(around):
    tx = around(optax.chain(optim.accumulate(optim.adam(0.1), 2), averaging.ema(0.9)))
    with pytest.raises(InputError, match="stands in a chain with Accumulate, where it would count steps"):
        averaging.names(tx.init(PARAMS))


def test_beside_an_accumulating_group_it_is_fine():
    tx = optim.groups({"head/.*": optim.accumulate(optim.adam(0.1), 2), ".*": optax.chain(averaging.ema(0.9))})
    assert averaging.names(tx.init(PARAMS)) == ["ema"]


EMA, LATEST = averaging.ema(0.9), averaging.snapshots(2, 5)
AHEAD = {
    "an optimizer": (lambda: optax.chain(EMA, optax.sgd(0.1)), "tuple|EmptyState"),
    "a transform without a state": (lambda: optax.chain(optax.sgd(0.1), EMA, optax.scale(0.5)), "EmptyState"),
    "snapshots": (lambda: optax.chain(LATEST, optax.scale(0.5)), "EmptyState"),
    "a named chain": (lambda: optax.named_chain(("z", EMA), ("a", optax.scale(0.5))), "EmptyState"),
    "deeper": (lambda: optax.chain(optax.chain(optax.sgd(0.1), EMA), optax.chain(optax.scale(0.5))), "EmptyState"),
    "inside of what holds back": (
        lambda: optax.chain(optim.accumulate(optax.chain(optax.sgd(0.1), EMA), 2), optax.scale(0.5)),
        "EmptyState",
    ),
    "in a group": (
        lambda: optim.groups({"head/.*": optax.chain(EMA, optax.scale(0.1)), ".*": optax.sgd(0.1)}),
        "EmptyState",
    ),
    "ahead of groups": (lambda: optax.chain(EMA, optim.groups({".*": optax.sgd(0.1)})), "GroupsState"),
    "ahead of another's optimizer": (
        lambda: optax.chain(EMA, optim.monitor(optax.chain(optax.scale(0.1), LATEST))),
        "EmptyState",
    ),
}


@pytest.mark.parametrize("case", AHEAD)
def test_ahead_of_what_may_change_the_updates_it_is_refused(case):
    make, what = AHEAD[case]
    with pytest.raises(
        InputError, match=rf"ahead of a transform \(({what})\), .*; put it last: optax.chain\(optimizer"
    ):
        averaging.averages(make().init(PARAMS), PARAMS)


def test_what_changes_no_updates_may_come_behind_an_average():
    masked = optax.masked(averaging.lawa(2), {"head": {"w": True}, "stem": {"w": False}})
    split = optim.groups({"head/.*": optax.chain(optax.sgd(0.1), EMA), ".*": optax.sgd(0.1)})
    others = averaging.swa(1), optax.chain(averaging.polyak_ruppert(), LATEST), masked
    for tx in (optax.chain(split, *others), optim.skip_nonfinite(optax.chain(optim.adam(0.1), EMA, *others), 1)):
        assert averaging.names(tx.init(PARAMS)) == ["ema", "swa", "polyak_ruppert", "lawa"]


def test_averages_are_taken_out_and_put_in(same):
    tx = optax.chain(optim.adam(0.1), averaging.ema(0.9), averaging.snapshots(2, 5))
    state = tx.init(PARAMS)
    rest, averages = averaging.take_out(state)
    assert [average.name for average in averages] == ["ema", "snapshots"]
    assert len(jax.tree.leaves(rest)) < len(jax.tree.leaves(state))
    same(averaging.put_in(rest, averages), state)


def test_a_description_tells_of_them_too():
    tx = optax.named_chain(("step", optim.adam(0.1)), ("average", averaging.ema(0.9, name="slow")))
    rows = {row.path: row for row in optim.describe(tx, PARAMS)}
    assert rows["head/w"].transforms == ("adam", "learning rate", "slow")
    assert rows["head/w"].state_bytes == 3 * 8
