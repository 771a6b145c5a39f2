"""`lec7.bench`: what is counted and how shares are told; no test hangs on how fast a machine is."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from lec7 import bench, cli, tree
from lec7.bench import augmentations, clock, limits, optimizers, solvers, training, work
from lec7.bench.scale import Scale, Training
from lec7.bench.words import digits
from lec7.errors import InputError

TINY = Scale(
    copy_bytes=2**12,
    matmul=16,
    dtypes=("float32", "bfloat16"),
    trainings=(Training("mlp", 28, 8, every=2), Training("mlp", 28, 4, every=2, dtype="bfloat16")),
    parameters=1000,
    leaves=(10, 50),
    images=(2, 16),
    lanes=(1, 2),
    unknowns=(10, 20),
    streamed=(4, 32),
)


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def taking(seconds):
        def call(times):
            now[0] += seconds * times

        return call

    return taking


def test_what_takes_turns_is_called_as_often_as_fits(ticking):
    calls = []

    def noted(name, call):
        return lambda times: (calls.append((name, times)), call(times))[1]

    named = {"fast": noted("fast", ticking(0.1)), "slow": noted("slow", ticking(5.0))}
    taken = clock.in_turns(named, rounds=2, seconds=1.0)
    assert calls == [
        *(("fast", 1), ("slow", 1)),  # compile
        *(("fast", 1), ("slow", 1)),  # are tried
        *(("fast", 10), ("slow", 1)),
        *(("slow", 1), ("fast", 10)),
    ]
    assert taken == {"fast": pytest.approx([0.1, 0.1]), "slow": pytest.approx([5.0, 5.0])}


@pytest.mark.parametrize(("flops", "share", "bound"), [(0.0, 0.25, "memory"), (60.0, 0.75, "compute")])
def test_a_share_is_of_the_nearer_limit(ticking, flops, share, bound):
    at_most = {
        "memory": limits.Limit("memory", "bytes", ticking(1.0), 100.0),
        "float32": limits.Limit("float32", "FLOP", ticking(0.5), 10.0),
    }
    given = work.Work("part", "name", "things", ticking(4.0), amount=8.0, flops=flops, nbytes=100.0)
    figure, met = bench.measure(given, at_most, rounds=3, seconds=1.0)
    assert (figure.rate, figure.low, figure.high) == pytest.approx((2.0, 2.0, 2.0))
    assert (figure.nbytes, figure.flops) == pytest.approx((25.0, flops / 4))
    assert (figure.share, figure.bound) == (pytest.approx(share), bound)
    assert met == {"memory": pytest.approx(100.0), "float32": pytest.approx(20.0)}


def test_the_limits_do_what_they_count():
    found = limits.limits(TINY)
    assert list(found) == ["memory", "host", "float32", "bfloat16"]
    assert found["memory"].amount == 2 * 2**12
    assert found["memory"].call(3).tolist() == [-1.0] * 2**10
    assert found["bfloat16"].call(2).dtype == jnp.bfloat16
    assert found["float32"].amount == 2 * 16**3
    assert found["float32"].amount == work.counted(jax.jit(jnp.matmul), jnp.ones((16, 16)), jnp.ones((16, 16)))


@pytest.mark.parametrize(("name", "moments"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_an_update_moves_each_number_once(name, moments):
    update = optimizers.update(name, 1000, 10)
    # Parameters and moments go both ways, gradients come; counters and powers are a few bytes.
    assert update.nbytes == pytest.approx(4 * 1000 * (2 + 2 * moments + 1), abs=24)
    assert update.flops >= 1000
    params, _ = update.call(3)
    assert len(params) == 10
    assert tree.nbytes(params) == 4000
    assert all((leaf < 1).all() for leaf in params.values())


@pytest.mark.slow
def test_a_step_has_the_operations_of_its_products():
    step = training.step(TINY.trainings[0])
    weights = 784 * 256 + 256 * 256 + 256 * 10
    # Forward, and back to weights and to inputs; the first layer's inputs have no gradient.
    products = 2 * 8 * (3 * weights - 784 * 256)
    assert step.amount == 2
    adam = step.flops / step.amount - products
    assert 0 < adam < 16 * weights
    assert step.nbytes / step.amount > 2 * 3 * 4 * weights
    assert step.call(3)["loss"].shape == (2,)


@pytest.mark.slow
def test_lanes_count_for_all(monkeypatch):
    monkeypatch.setattr(training, "EXAMPLES", 128)
    one, two = training.sweeps(TINY)
    assert (one.amount, two.amount) == (50, 100)
    assert two.flops == 2 * one.flops
    assert two.call(2).step.tolist() == [100, 100]


@pytest.mark.slow
def test_images_and_unknowns():
    for augmentation in augmentations.augmentations(TINY):
        assert augmentation.amount == 2
        assert augmentation.nbytes >= 2 * 14 * 14 * 3
        assert augmentation.call(1).shape[0] == 2
    for solver in solvers.solvers(TINY):
        value = solvers.valley(solver.call(1))
        assert value < solvers.valley(jnp.tile(jnp.array([-1.2, 1.0]), 5))


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(bench, "of_device", lambda: TINY)
    monkeypatch.setattr(training, "EXAMPLES", 128)


def lec7_bench(*words):
    return cli.main(["bench", *map(str, words)])


@pytest.mark.slow
def test_the_command_measures_writes_and_compares(tiny, tmp_path, capsys):
    first, picture = tmp_path / "first.json", tmp_path / "roof.png"
    quick = ("--rounds", "2", "--seconds", "0.001")
    assert lec7_bench(*bench.PARTS, *quick, "--json", first, "--picture", picture) == 0
    printed = capsys.readouterr().out
    record = bench.load(first)
    assert [*dict.fromkeys(one.part for one in record.figures)] == list(bench.PARTS)
    for figure in record.figures:
        assert f"{figure.part:<9} {figure.name:<44} {digits(figure.rate):>10} {figure.unit}/s" in printed
        assert 0 < figure.low <= figure.rate <= figure.high
    assert set(record.limits) == {"memory", "host", "float32", "bfloat16"}
    assert picture.read_bytes()[:4] == b"\x89PNG"

    doubled = json.loads(first.read_text())
    for figure in doubled["figures"]:
        figure["rate"] *= 2
    lost = doubled["figures"].pop()["name"]
    second = tmp_path / "second.json"
    second.write_text(json.dumps(doubled))
    assert lec7_bench("--compare", first, second) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.startswith(tuple(bench.PARTS))]
    assert [row[-3] for row in rows if row[0] != "part"] == ["2.00"] * len(doubled["figures"])
    assert f"Measured on one alone: {lost}." in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stepp",), "no part 'stepp', expected some of step, optimizer"),
        (("step", "--rounds", "0"), "--rounds is 0, expected at least 1"),
        (("step", "--seconds", "-1"), "--seconds is -1.0, expected more than 0"),
        (("step", "--json", "nowhere/a.json"), "--json is nowhere/a.json, but there is no folder nowhere"),
        (("--compare", "a.json", "b.json"), "no file a.json; lec7 bench --json a.json writes one"),
    ],
)
def test_bad_words_are_met_ahead_of_the_work(tiny, capsys, words, message):
    assert lec7_bench(*words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "figures": 3}', '{"format": 2}'])
def test_what_is_no_record_is_told(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bad\.json"):
        bench.load(path)
