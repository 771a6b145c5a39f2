"""What docs/scaling.md shows runs as it stands there, and what 256 hosts come to on paper is what the code comes to."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fences import ROOT, blocks, python
from jax.sharding import AbstractMesh

from lec7 import averaging, losses, models, optim, train, tree
from lec7.cli.distributed import GONE, HEARTBEAT_SECONDS
from lec7.train.checkpoints import Checkpoints
from lec7.train.feed import CHUNK_BYTES

PAGE = (ROOT / "docs" / "scaling.md").read_text()
PAPER = " ".join((ROOT / "ARCHITECTURE.md").read_text().split("## Scaling, on paper")[1].split())
MESH, REPLICAS, STREAM, LOOP = python(ROOT / "docs" / "scaling.md")
(TABLE,) = (block.text for block in blocks(ROOT / "docs" / "scaling.md") if block.language == "text")


def run(block, names):
    exec(compile(block, "docs/scaling.md", "exec"), names)
    return names


@pytest.mark.slow
def test_a_mesh_replicas_and_a_stream(capsys):
    """The page's blocks go on from each other, and all train the same."""
    names = run(MESH, {})
    table, *told = capsys.readouterr().out.rsplit("\n", 3)
    assert f"{table}\n" == TABLE
    assert str(train.describe_sharding(names["state"].params)) == table
    on_mesh = names["metrics"]["loss"]
    run(REPLICAS, names)
    one, begin, source = names["step"], names["begin"], names["source"]
    first, second = (m["loss"] for _, m in train.fit(one, begin(), source, steps=100, batch_size=128, every=50))
    np.testing.assert_allclose(on_mesh, second, atol=1e-4)
    np.testing.assert_allclose(names["metrics"]["loss"], first, atol=1e-4)
    run(STREAM, names)
    np.testing.assert_allclose(names["metrics"]["loss"], second, atol=1e-6)
    steps = [line.split()[0] for line in [*told, *capsys.readouterr().out.splitlines()] if line]
    assert steps == ["50", "100", "50", "50", "100"]


EXPERIMENT = """
from dataclasses import dataclass
from lec7 import data, losses, models, optim
from lec7.experiment import Experiment

@dataclass(frozen=True)
class Small:
    steps: int = 10

def build(hp: Small) -> Experiment:
    train, test = data.digits()
    model = models.from_nnx(lambda rngs: models.MLP(64, (), 10, rngs=rngs))
    return Experiment(
        model=model, loss=losses.cross_entropy, optimizer=optim.sgd(0.1), train=train, test=test,
        steps=hp.steps, batch_size=64, log_every=10, evaluate_every=20,
    )
"""


@pytest.mark.slow
def test_a_loop_of_one_s_own_goes_on_where_it_stopped(tmp_path):
    file, checkpoints = tmp_path / "small.py", tmp_path / "checkpoints"
    file.write_text(EXPERIMENT)
    loop, told = run(LOOP, {})["loop"], []
    config = {"file": file, "hyperparameters": {"steps": 50}, "checkpoints": checkpoints}
    loop(config, told.append)
    assert [row["step"] for row in told] == [20, 40, 50]
    with Checkpoints(checkpoints) as kept:
        kept.delete(50)
    loop(config, told.append)
    assert told[3:] == told[2:3]


def test_what_the_page_says_of_ends():
    assert f"with code {GONE}, or 134" in PAGE
    assert HEARTBEAT_SECONDS == 20
    assert "20 s until it is noticed" in PAPER


@pytest.fixture(scope="module")
def state():
    model = models.from_nnx(lambda rngs: models.vit_base(rngs=rngs))
    optimizer = optax.chain(optim.adam(1e-3), averaging.ema(0.9999))
    return jax.eval_shape(lambda: train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 224, 224, 3))))


def placed(state, **sizes):
    mesh = AbstractMesh(tuple(sizes.values()), tuple(sizes))
    wanted = train.shardings(state, mesh)
    return train.describe_sharding(jax.tree.map(lambda x, where: x.update(sharding=where), state, wanted))


def told(pattern):
    """The numbers that the section has, where a pattern has groups."""
    match = re.search(pattern, PAPER)
    assert match, f"ARCHITECTURE.md has no {pattern!r}"
    return [float(group.replace(",", "")) for group in match.groups()]


def close(*pairs):
    """Each figure is the code's, rounded as it is written."""
    for written, computed in pairs:
        assert written == pytest.approx(computed, rel=0.02), (written, computed)


def test_the_state_on_paper(state):
    (count,) = told(r"N = ([\d,]+) parameters")
    assert count == sum(math.prod(x.shape) for x in jax.tree.leaves(state.params))
    assert tree.nbytes(state) == 4 * 4 * count + 40
    whole, part = told(r"40 bytes: ([\d,.]+) MB, whole on a device or ([\d.]+) MB with `fsdp=8`")
    kept = placed(state, data=256, fsdp=8, model=1)
    close((whole, kept.nbytes / 1e6), (part, kept.nbytes_per_device / 1e6))
    # No axis divides by 2,048.
    assert "`fsdp=2048` deals out nothing" in PAPER
    assert placed(state, data=1, fsdp=2048, model=1).nbytes_per_device == kept.nbytes


def test_the_arithmetic_on_paper(state):
    # Each kernel is multiplied with all tokens, but for that of the patches and that of the head.
    kernels = {name: math.prod(x.shape) for name, x in tree.named(state.params).items() if name.endswith("kernel")}
    rows = {"stem/conv/kernel": 196, "head/kernel": 1}
    attention = 12 * 2 * 197**2 * 768
    products = sum(rows.get(name, 197) * n for name, n in kernels.items()) + attention
    flop = 6 * products
    (forward, step, milliseconds) = told(r"= ([\d.]+) G, .* device are ([\d.]+) GFLOP: ([\d.]+) ms")
    close((forward, products / 1e9), (step, 2 * flop / 1e9), (milliseconds, 2 * flop / 160e9))
    network = 2 * 255 / 256 * 4 * 86_567_656 / 2 / 50e9  # of sums in bfloat16
    examples, batch, hosts = told(r"hidden from ([\d.]+) examples a device on, a batch of ([\d,]+); .* on (\d+) hosts")
    balance = network / (flop / 160e12)
    close((examples, balance), (batch, 2048 * balance), (hosts, 4096 * flop / 160e12 / 8 / network))
    close((told(r"at ([\d.]+) ms 2,320 images")[0], 1e3 * network), (2320, 16 / network))


def test_the_bytes_on_paper(state):
    gradients = 4 * sum(math.prod(x.shape) for x in jax.tree.leaves(state.params)) / 1e6
    (gathered,) = told(r"parameters gathered within the host, 7/8 B \| \| ([\d.]+)")
    ring, ring_half, across, across_half = told(
        r"n = 2,048: ([\d.]+), bf16 ([\d.]+) \| n = 256, of G / 8: ([\d.]+), bf16 ([\d.]+)"
    )
    one, _, eight, _ = told(r"one ring: ([\d.]+), bf16 ([\d.]+) \| eight rings: ([\d.]+), bf16 ([\d.]+)")
    close((gathered, 7 / 8 * gradients), (ring, 2 * 2047 / 2048 * gradients), (ring_half, ring / 2))
    close((across, 2 * 255 / 256 * gradients / 8), (across_half, across / 2), (one, ring), (eight, 8 * across))
    milliseconds, half = told(r"time of the network \| ([\d.]+) ms, bf16 ([\d.]+)")
    close((milliseconds, one / 50), (half, one / 100))
    seconds = math.sqrt(2 * tree.nbytes(state) / 1e9 * 6335 * 3600 / 256)
    close((told(r"is (\d+) s, at a price")[0], seconds))
    assert int(told(r"16 x 150,532 bytes a step\): (\d+) steps")[0]) == CHUNK_BYTES // (16 * (224 * 224 * 3 + 4))


def test_a_step_gathers_parameters_as_float32():
    """What the table of bytes rests on: the constraint stands ahead of the rounding."""
    model = models.from_nnx(lambda rngs: models.MLP(16, (32,), 8, rngs=rngs))
    optimizer = optim.adam(1e-3)
    half = models.in_precision(model, models.precision("bf16"))
    mesh = train.make_mesh("data=4,fsdp=2")
    step = train.sharded(train.make_step(half, losses.cross_entropy, optimizer), mesh)
    state = train.place(train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 16))), mesh)
    batch = {"image": jnp.zeros((8, 16)), "label": jnp.zeros(8, int)}
    text = train.jit(step).lower(state, batch).compile().as_text()
    gathered = re.findall(r"= (\w+)\[([\d,]+)\]\S* all-gather\(", text)
    assert {dtype for dtype, _ in gathered} == {"f32"}
    sizes = [math.prod(map(int, shape.split(","))) for _, shape in gathered]
    assert sum(sizes) >= sum(x.size for x in jax.tree.leaves(state.params))
