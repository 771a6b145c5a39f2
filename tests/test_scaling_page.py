"""The page on scaling: its code runs, and the figures on paper are those of the code."""

import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AbstractMesh

from lec7 import averaging, models, optim, train
from lec7.train.checkpoints import size

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scaling.md").read_text()
PAPER = (ROOT / "ARCHITECTURE.md").read_text().split("## Scaling, on paper")[1]
BANDWIDTH_OF_A_HOST, FLOPS = 50e9, 160e12


@pytest.fixture(scope="module")
def state():
    model = models.from_nnx(lambda rngs: models.vit_base(rngs=rngs))
    optimizer = optax.chain(optim.adam(1e-3), averaging.ema(0.9999))
    return jax.eval_shape(lambda: train.init(model, optimizer, jax.random.key(0), jnp.zeros((1, 224, 224, 3))))


def kept(state, **sizes):
    mesh = AbstractMesh(tuple(sizes.values()), tuple(sizes))
    wanted = train.shardings(state, mesh)
    return train.describe_sharding(jax.tree.map(lambda x, where: x.update(sharding=where), state, wanted))


@pytest.mark.slow
def test_the_example_runs_and_prints_the_table():
    code, told = re.findall(r"```\w*\n(.*?)```", PAGE[PAGE.index("In Python") :], re.DOTALL)[:2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(told)


def test_parameters_and_state_weigh_what_the_page_says(state):
    count = models.contract.count(state.params)
    assert f"P = {count:,} parameters" in PAPER
    assert size(state) == 16 * count + 40
    placed = kept(state, data=256, fsdp=8, model=1)
    assert f"{placed.nbytes / 1e6:,.0f} MB, or {placed.nbytes_per_device / 1e6:,.0f} MB a device" in PAPER
    assert kept(state, data=1, fsdp=2048, model=1).nbytes_per_device == placed.nbytes


def test_the_arithmetic_is_that_of_the_page(state):
    gradients = 4 * models.contract.count(state.params)
    ring = 2 * 2047 / 2048 * gradients
    assert f"= {ring / 1e6:.0f} MB through each link" in PAPER
    assert f"**{ring / BANDWIDTH_OF_A_HOST * 1e3:.1f} ms**" in PAPER
    between = 2 * 255 / 256 * gradients / 8
    assert f"{between / 1e6:.1f} MB, {8 * between / 1e6:.0f} MB a" in PAPER
    tokens, width, layers = 197, 768, 12
    products = layers * (12 * tokens * width**2 + 2 * tokens**2 * width) + 196 * width**2 + 1000 * width
    assert f"Forward {products / 1e9:.2f} G multiply-adds" in PAPER
    assert f"**{2 * 6 * products / FLOPS * 1e3:.1f} ms** a step" in PAPER
    assert f"{16 / (8 * between / BANDWIDTH_OF_A_HOST):,.0f} images a second" in PAPER
    assert f"{math.sqrt(2 * size(state) / 1e9 * 89086):.0f} s" in PAPER
