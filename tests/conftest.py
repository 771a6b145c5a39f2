"""What all tests share: eight virtual CPU devices, strict shapes."""

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["MPLBACKEND"] = "agg"
# A test compiles more than it computes, and JAX 0.10's older emitters, which later ones do without, take half the time.
# (They round known numbers differently from traced ones: as_users.py is for claims about that.)
if version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# The same programs are compiled again and again, by workers and by processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lec7 import averaging, cli, data, losses, models, optim, random, train

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Each compiled program takes memory maps, of which Linux gives a process 65,530; XLA crashes without a word."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > 15_000:
        jax.clear_caches()


@pytest.fixture
def x64():
    """Double precision, for comparisons with NumPy's."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def key():
    return jax.random.key(0)


class Small:
    """A small classifier with batch norm, dropout, Adam and an average, on 100 random examples."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.source = data.ArraySource(
            {"image": rng.normal(size=(100, 6)).astype(np.float32), "label": (np.arange(100) % 3).astype(np.int32)}
        )
        self.model = models.from_nnx(lambda rngs: models.MLP(6, (8,), 3, keep=0.8, rngs=rngs))
        self.optimizer = optax.chain(optim.adam(0.01), averaging.ema(0.9))
        self.step = train.make_step(self.model, losses.cross_entropy, self.optimizer)

    def init(self, seed=0):
        return train.init(jax.random.key(seed), self.model, self.optimizer, jnp.zeros((1, 6)))

    def batch(self, t):
        key = random.stream(jax.random.key(0), "order")
        return data.batch(key, self.source, t, 10)


@pytest.fixture(scope="session")
def small():
    return Small()


def assert_same(a, b):
    """Two pytrees, keys included, agree bit for bit."""

    def bits(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    chex.assert_trees_all_equal(*(jax.tree.map(bits, tree) for tree in (a, b)), strict=True)


@pytest.fixture
def same():
    return assert_same


@pytest.fixture
def here(capsys, monkeypatch):
    """The command in this process, which spares the seconds of a start: `lec7` where that is all the same."""

    def here(*words, cwd):
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        try:
            code = cli.main(list(map(str, words)))
        except SystemExit as stopped:
            code = stopped.code
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return here
