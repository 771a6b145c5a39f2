"""The lecture's table as a plan, and the plan as an optimizer."""

import itertools

import jax
import numpy as np
import optax
import pytest
import tiny_network as tiny

from lec7 import losses, optim, schedules, train, transfer, tree
from lec7.errors import InputError

LITE0 = ("stem", *(f"blocks/{i}" for i in range(16)), "neck", "pool", "head")


def test_the_lectures_table():
    few_similar = transfer.plan(True, 10, LITE0)
    assert (few_similar.at, few_similar.below, few_similar.batch_norm) == ("pool", "pool", "frozen")
    few_different = transfer.plan(False, 10, LITE0)
    assert (few_different.at, few_different.below, few_different.batch_norm) == ("blocks/10", "pool", "frozen")
    many_similar = transfer.plan(True, 1000, LITE0)
    assert (many_similar.at, many_similar.below, many_similar.batch_norm) == ("pool", "blocks/11", "frozen")
    many_different = transfer.plan(False, 1000, LITE0)
    assert (many_different.at, many_different.below, many_different.batch_norm) == ("pool", "blocks/3", "frozen")


def test_rates_are_a_tenth_and_fall_with_depth():
    plan = transfer.plan(True, 1000, LITE0, learning_rate=0.1, train_from="stem", layer_decay=0.5)
    rates = {part.stage: part.rate for part in plan.parts}
    assert rates["head"] == 0.1
    assert rates["neck"] == pytest.approx(0.01)
    for lower, upper in itertools.pairwise(stage for stage in LITE0 if stage not in ("pool", "head")):
        assert rates[lower] == pytest.approx(rates[upper] / 2)


def trained(plan, steps, make=optim.sgd):
    """The parameters after each step, from the pretrained ones on."""
    model, variables = tiny.pretrained()
    model, optimizer = plan.model(model), plan.optimizer(make)
    state = train.init(jax.random.key(0), model, optimizer, tiny.images(1))
    step = jax.jit(train.make_step(model, losses.cross_entropy, optimizer, penalty=plan.penalty(variables.params)))
    states = [state]
    for _ in range(steps):
        states.append(step(states[-1], tiny.source()[:])[0])
    return states


def moving(before, after) -> set[str]:
    same = jax.tree.map(np.array_equal, before.params, after.params)
    return {"/".join(name.split("/")[:2]) for name, is_same in tree.named(same).items() if not is_same}


def test_what_is_frozen_stays_and_the_rest_moves():
    plan = transfer.plan(True, 1000, tiny.STAGES)
    first, *_, last = trained(plan, 3)
    assert moving(first, last) == {"blocks/3", "neck/conv", "neck/norm", "head/kernel", "head/bias"}
    assert jax.tree.all(jax.tree.map(np.array_equal, first.model_state, last.model_state))


def test_stages_are_unfrozen_from_the_top_step_by_step():
    plan = transfer.plan(False, 1000, tiny.STAGES, head_first=2, unfreeze_every=1, batch_norm="trained")
    moved = [
        {name.split("/")[0] if not name.startswith("blocks") else name for name in moving(a, b)}
        for a, b in itertools.pairwise(trained(plan, 7))
    ]
    expected = [{"head"}] * 2
    for stage in ("neck", "blocks/3", "blocks/2", "blocks/1"):
        expected.append(expected[-1] | {stage})
    assert moved == [*expected, expected[-1]]


def test_an_optimizer_that_begins_later_begins_as_if_it_were_new():
    plan = transfer.plan(True, 1000, tiny.STAGES, head_first=3)
    _, _, _, third, fourth = trained(plan, 4, make=optim.adam)
    moved = fourth.params["neck"]["conv"]["kernel"] - third.params["neck"]["conv"]["kernel"]
    # Adam's first step has the learning rate as its length in each direction.
    np.testing.assert_allclose(np.median(np.abs(moved)), 1e-4, rtol=1e-2)


def test_each_choice_can_be_overridden():
    plan = transfer.plan(
        True, 5, LITE0, at="blocks/5", train_from="blocks/4", factor=0.2, layer_decay=1.0, batch_norm="trained"
    )
    assert [part.stage for part in plan.parts if part.rate] == ["blocks/4", "blocks/5", "head"]
    assert [part.rate for part in plan.parts if part.rate] == pytest.approx([2e-4, 2e-4, 1e-3])
    plan = plan.with_rates({r"blocks/[01]": 1e-5, "head": 3e-3, ".*": 0})
    assert {part.stage: part.rate for part in plan.parts if part.rate} == {
        "blocks/0": 1e-5,
        "blocks/1": 1e-5,
        "head": 3e-3,
    }
    assert plan.below == "stem"
    assert transfer.plan(True, 500, LITE0, few=501).below == "pool"


def test_a_rate_may_come_with_a_schedule():
    plan = transfer.plan(True, 1000, tiny.STAGES)
    optimizer = plan.optimizer(lambda rate: optim.adam(schedules.cosine(rate, 10)))
    state = optimizer.init(tiny.pretrained()[1].params)
    rates = optim.learning_rates(state)
    assert rates["learning_rate/head/.*"] == np.float32(1e-3)
    assert rates["learning_rate/neck/.*"] == np.float32(1e-4)


def test_the_distance_to_the_pretrained_weights_is_penalised():
    plan = transfer.plan(True, 1000, tiny.STAGES, l2_sp=0.5, l2=0.25)
    _, variables = tiny.pretrained()
    penalty = plan.penalty(variables.params)
    assert {name: float(x) for name, x in penalty(variables.params).items() if name == "l2_sp"} == {"l2_sp": 0.0}
    away = jax.tree.map(lambda x: x + 1, variables.params)
    size = sum(x.size for name, x in tree.named(away).items() if name.startswith(("neck", "blocks/3")))
    found = penalty(away)
    assert float(found["l2_sp"]) == pytest.approx(0.5 * size)
    assert float(found["l2"]) == pytest.approx(0.25 * float((away["head"]["kernel"] ** 2).sum()), rel=1e-5)
    assert transfer.plan(True, 1000, tiny.STAGES).penalty(variables.params) is None


def test_it_says_why_and_what():
    text = str(transfer.plan(False, 500, LITE0, head_first=10))
    assert "Many examples: 500 per class, where 100 are many. From blocks/4 on" in text
    assert "Batch norms keep the statistics of the pretraining." in text
    trained = transfer.plan(False, 500, LITE0, batch_norm="trained")
    assert "Batch norms take the statistics of the new images." in str(trained)
    assert "stem to blocks/3  frozen\n" in text
    assert "neck              0.0001         10\n" in text
    assert text.endswith("head              0.001          0")


def test_a_plan_for_few_is_the_head_alone_in_a_step():
    plan = transfer.plan(True, 5, tiny.STAGES)
    first, last = trained(plan, 1, make=lambda rate: optax.sgd(rate))
    assert moving(first, last) == {"head/kernel", "head/bias"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"examples_per_class": 0}, "examples_per_class is 0, expected a finite number more than 0"),
        ({"at": "blocks/99"}, "at is 'blocks/99'; did you mean 'blocks/"),
        ({"at": "neck"}, "at is 'neck'"),
        ({"at": "blocks/3", "train_from": "blocks/5"}, "train_from is 'blocks/5'; did you mean 'blocks/"),
        ({"layer_decay": 0}, "layer_decay is 0, expected a number in"),
        ({"stages": ["conv", "fc"]}, "the stages are conv, fc, expected those of a models.Network"),
        ({"head_first": 0.5}, "head_first is 0.5, expected a whole number"),
    ],
)
def test_what_can_not_be_planned_is_told(options, told):
    arguments = {"similar": True, "examples_per_class": 5, "stages": LITE0} | options
    with pytest.raises(InputError, match=told):
        transfer.plan(**arguments)


def test_rates_for_stages_that_there_are_none_of():
    with pytest.raises(InputError, match="no stage matches 'layer4'; there are stem"):
        transfer.plan(True, 5, LITE0).with_rates({"layer4": 1e-3})
