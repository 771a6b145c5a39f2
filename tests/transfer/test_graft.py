"""Weights go where rules say, all of them, or nothing does and the error says why."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_network as tiny

from lec7 import transfer, tree
from lec7.errors import InputError
from lec7.models import Variables
from lec7.transfer import GraftError, Rule, graft
from lec7.transfer.layouts import CONVOLUTION, DEPTHWISE, LINEAR, split

PARAMS = {
    "stem": {"kernel": np.zeros((3, 3, 2, 4), np.float32)},
    "head": {"kernel": np.zeros((4, 5)), "bias": np.zeros(5)},
}
RULES = [
    Rule(r"conv1\.weight", "stem/kernel", CONVOLUTION),
    Rule(r"fc\.weight", "head/kernel", LINEAR),
    Rule(r"fc\.bias", "head/bias"),
    Rule(r".*\.num_batches_tracked", None),
]


def file(**changed):
    """The weights of the network in PyTorch's names and layouts."""
    rng = np.random.default_rng(0)
    arrays = {
        "conv1.weight": rng.normal(size=(4, 2, 3, 3)),
        "fc.weight": rng.normal(size=(5, 4)),
        "fc.bias": rng.normal(size=5),
        "bn.num_batches_tracked": np.array(7),
    }
    return {name: value for name, value in (arrays | changed).items() if value is not None}


def test_each_weight_arrives_in_its_layout():
    loaded = file()
    new, report = graft(PARAMS, loaded, RULES)
    for o, i, row, column in np.ndindex(4, 2, 3, 3):
        assert new["stem"]["kernel"][row, column, i, o] == np.float32(loaded["conv1.weight"][o, i, row, column])
    np.testing.assert_allclose(new["head"]["kernel"], loaded["fc.weight"].T, rtol=1e-6)
    assert new["stem"]["kernel"].dtype == jnp.float32
    assert (PARAMS["stem"]["kernel"] == 0).all()
    assert {moved.name for moved in report.loaded} == set(tree.paths(PARAMS))
    assert {moved.name for moved in report.transposed} == {"stem/kernel", "head/kernel"}
    assert report.left_out == ("bn.num_batches_tracked",)
    assert not report.missing + report.unexpected + report.mismatched


def test_a_depthwise_kernel_of_tensorflow():
    theirs = np.arange(3 * 3 * 4 * 2.0).reshape(3, 3, 4, 2)
    new, _ = graft({"k": np.zeros((3, 3, 1, 8))}, {"dw": theirs}, [Rule("dw", "k", DEPTHWISE)])
    # Flax's output channel 2 i + m is what multiplier m makes of input i.
    np.testing.assert_array_equal(new["k"][1, 2, 0, 2 * 3 + 1], theirs[1, 2, 3, 1])


def test_query_key_and_value_out_of_one_array():
    fused = np.arange(12 * 4.0).reshape(12, 4)
    places = {name: {"kernel": np.zeros((4, 4))} for name in "qkv"}
    rule = Rule(r"qkv\.weight", ("q/kernel", "k/kernel", "v/kernel"), split(3, LINEAR))
    new, report = graft(places, {"qkv.weight": fused}, [rule])
    for i, name in enumerate("qkv"):
        np.testing.assert_array_equal(new[name]["kernel"], fused[4 * i : 4 * i + 4].T)
    assert {moved.layout for moved in report.loaded} == {"split in 3, transposed"}


def test_the_first_rule_that_matches_counts():
    rules = [Rule(r"fc\.bias", None), *RULES]
    new, report = graft(PARAMS, file(), rules, missing=["head/bias"])
    assert report.left_out == ("fc.bias", "bn.num_batches_tracked")
    assert report.missing == ("head/bias",)
    assert (new["head"]["bias"] == 0).all()


def test_what_may_be_missing_or_left_over_is_said():
    loaded = file(**{"fc.weight": None, "ema.decay": np.zeros(())})
    with pytest.raises(GraftError, match=r"nothing is for head/kernel.*there is no place for ema\.decay"):
        graft(PARAMS, loaded, RULES)
    new, report = graft(PARAMS, loaded, RULES, missing=["head/kernel"], unexpected=[r"ema\..*"])
    assert report.missing == ("head/kernel",)
    assert report.unexpected == ("ema.decay",)
    assert new["head"]["kernel"] is PARAMS["head"]["kernel"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"fc.bias": np.zeros(6)}, r"fc\.bias does not fit head/bias: shape \(6,\), expected \(5,\)"),
        ({"fc.weight": np.zeros((4, 5))}, r"fc\.weight does not fit head/kernel: shape \(5, 4\), expected \(4, 5\)"),
        ({"fc.weight": np.zeros((4, 5, 1))}, r"shape \(4, 5, 1\) can't be laid out anew \(transposed\)"),
        ({"fc.bias": np.zeros(5, int)}, r"fc\.bias does not fit head/bias: int64, expected float"),
        ({"fc.biass": np.zeros(5), "fc.bias": None}, "nothing is for head/bias"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_loaded(changed, told):
    before = jax.tree.map(np.array, PARAMS)
    with pytest.raises(GraftError, match=told) as caught:
        graft(PARAMS, file(**changed), RULES)
    assert jax.tree.all(jax.tree.map(np.array_equal, before, PARAMS))
    assert caught.value.report.mismatched or caught.value.report.missing


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_arrives_has_the_model_s_dtype(dtype):
    params = {"x": jnp.zeros(2, dtype)}
    for given in (np.float64, np.float32, np.float16, jnp.bfloat16):
        new, _ = graft(params, {"a": np.asarray([0.5, 2], given)}, [Rule("a", "x")])
        assert new["x"].dtype == dtype
        np.testing.assert_array_equal(new["x"].astype(float), [0.5, 2])


def test_a_report_has_a_line_for_each_weight():
    params = {"a": np.zeros((2, 3)), "b": np.zeros(()), "c": np.zeros(4), "d": np.zeros(1)}
    loaded = {"A": np.ones((3, 2)), "B": np.ones(()), "C": np.ones(5), "E": np.ones(1), "F": np.ones(1)}
    rules = [Rule("A", "a", LINEAR), Rule("B", "b"), Rule("C", "c"), Rule("F", None)]
    with pytest.raises(GraftError) as caught:
        graft(params, loaded, rules)
    assert str(caught.value.report).splitlines() == [
        "in the model  shape   in the file",
        "a             2 x 3   A            transposed",
        "b             scalar  B",
        "c                     C            DOES NOT FIT: shape (5,), expected (4,)",
        "d                                  MISSING in the file",
        "                      E            UNEXPECTED in the file",
        "                      F            left out by a rule",
        "2 loaded (7 numbers, 1 laid out anew), 1 missing, 1 unexpected, 1 mismatched, 1 left out",
    ]


def test_two_weights_for_one_place():
    with pytest.raises(GraftError, match=r"b does not fit x: a went there as well"):
        graft({"x": np.zeros(2)}, {"a": np.ones(2), "b": np.zeros(2)}, [Rule("[ab]", "x")])


def test_weights_of_another_network():
    """Each fault of many is in the report, and the message has the first few."""
    with pytest.raises(GraftError, match=r"and \d+ more\. In all 0 loaded") as caught:
        transfer.pretrained("resnet18", {f"encoder.{i}.weight": np.zeros((3, 3)) for i in range(9)})
    assert len(caught.value.report.unexpected) == 9
    assert "UNEXPECTED in the file" in str(caught.value.report)
    assert "MISSING in the file" in str(caught.value.report)


def test_parameters_and_statistics_are_filled_together():
    _, variables = tiny.pretrained()
    like = jax.eval_shape(lambda: variables)
    loaded = {name: np.asarray(x) for part in variables for name, x in tree.named(part).items()}
    new, report = graft(like, loaded, [Rule("(.*)", r"\1")])
    assert isinstance(new, Variables)
    assert jax.tree.all(jax.tree.map(np.array_equal, new, variables))
    assert len(report.loaded) == len(loaded)


def test_shapes_alone_have_no_values_to_keep():
    _, variables = tiny.pretrained()
    with pytest.raises(GraftError, match="has no value to keep: give arrays, not their shapes"):
        graft(jax.eval_shape(lambda: variables), {}, [], missing=[".*"])


def test_a_family_that_there_is_none_of():
    with pytest.raises(InputError, match="no family 'resnet19'; did you mean 'resnet18'"):
        transfer.pretrained("resnet19")
