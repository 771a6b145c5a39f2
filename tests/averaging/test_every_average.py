"""What holds for each transform of the room: a float64 oracle in NumPy, and how it behaves in a chain."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lec7 import averaging, optim, tree
from lec7.errors import InputError

STEPS = 25


def weighted(rows, weights):
    return np.tensordot(weights, rows, axes=1) / np.sum(weights)


def of_ema(decay, start=None, warmup=None, every=1):
    """The average of rows [t, ...] by the definition; `start` counts as if it had been there for ever."""

    def oracle(rows):
        seen = rows[every - 1 :: every]
        d = [decay(t * every + every - 1) if callable(decay) else decay for t in range(len(seen))]
        if warmup is not None:
            d = [min(known, (1 + n) / (warmup + n)) for n, known in enumerate(d)]
        average, weight = (0.0, 0.0) if start is None else (start, 1.0)
        for row, known in zip(seen, d, strict=True):
            average, weight = known * average + (1 - known) * row, known * weight + (1 - known)
        return average / weight

    return oracle


def of_power(length):
    """Weights that grow as a power of the step, with the wanted standard deviation over the steps."""
    roots = np.roots([1, 7, 16 - length**-2, 12 - length**-2])
    gamma = roots.real.max()

    def oracle(rows):
        s = np.arange(1.0, len(rows) + 1)
        return weighted(rows, s ** (gamma + 1) - (s - 1) ** (gamma + 1))

    return oracle


def schedule(t):
    return 0.9 - 0.5 / (1.0 + t)


START = {"w": np.linspace(-1, 1, 6).reshape(3, 2), "b": np.array(0.5)}
CASES = {
    "ema": (lambda: averaging.ema(0.9), lambda x0: of_ema(0.9)),
    "ema, biased": (lambda: averaging.ema(0.9, debias=False), lambda x0: of_ema(0.9, start=x0)),
    "ema, warmup": (lambda: averaging.ema(0.99, warmup=10), lambda x0: of_ema(0.99, warmup=10)),
    "ema, schedule": (lambda: averaging.ema(schedule), lambda x0: of_ema(schedule)),
    "ema, every 3": (lambda: averaging.ema(schedule, every=3), lambda x0: of_ema(schedule, every=3)),
    "polyak_ruppert": (averaging.polyak_ruppert, lambda x0: lambda rows: rows.mean(0)),
    "swa": (lambda: averaging.swa(7), lambda x0: lambda rows: rows[6:].mean(0)),
    "swa, from the start": (lambda: averaging.swa(0, every=5), lambda x0: lambda rows: rows[4::5].mean(0)),
    "swa, every 5": (lambda: averaging.swa(10, every=5), lambda x0: lambda rows: rows[9::5].mean(0)),
    "lawa": (lambda: averaging.lawa(4), lambda x0: lambda rows: rows[-4:].mean(0)),
    "lawa, every 6": (lambda: averaging.lawa(3, every=6), lambda x0: lambda rows: rows[5::6][-3:].mean(0)),
    "lawa, not full": (lambda: averaging.lawa(9, every=6), lambda x0: lambda rows: rows[5::6].mean(0)),
    "power_ema": (averaging.power_ema, lambda x0: of_power(0.05)),
    "power_ema, long": (lambda: averaging.power_ema((0.2, 0.25)), lambda x0: of_power(0.2)),
}
TRACED = {
    "ema": lambda x: averaging.ema(0.9 * x, warmup=10 * x, every=jnp.int32(2 * x)),
    "swa": lambda x: averaging.swa(jnp.int32(5 * x), every=jnp.int32(3 * x)),
    "lawa": lambda x: averaging.lawa(3, every=jnp.int32(2 * x)),
    "power_ema": lambda x: averaging.power_ema((0.05 * x, 0.1 * x), every=jnp.int32(2 * x)),
    "snapshots": lambda x: averaging.snapshots(3, 5 * x, growth=1.5 * x, start=jnp.int32(x)),
}
SIMPLE = {name: make for name, (make, _) in CASES.items()} | {"snapshots": lambda: averaging.snapshots(3, 5)}


def params(dtype=float):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), START)


def walk(tx, start, steps=STEPS, seed=0):
    """The parameters after each step of random gradients, and the last state of `chain(sgd, tx)`."""
    rng = np.random.default_rng(seed)
    tx = optax.chain(optim.sgd(0.1), tx)

    @jax.jit
    def step(state, x, g):
        updates, state = tx.update(g, state, x)
        return state, optax.apply_updates(x, updates)

    state, x, seen = tx.init(start), start, []
    for _ in range(steps):
        g = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), start)
        state, x = step(state, x, g)
        seen.append(x)
    return seen, state


@pytest.mark.parametrize("name", CASES)
def test_it_is_its_definition_in_double_precision(x64, name):
    make, oracle = CASES[name]
    seen, state = walk(make(), params())
    average = averaging.averaged_params(state, seen[-1])
    for leaf, x0 in START.items():
        rows = np.stack([np.asarray(x[leaf]) for x in seen])
        np.testing.assert_allclose(average[leaf], oracle(x0)(rows), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SIMPLE)
def test_updates_go_through_untouched_and_parameters_are_needed(name):
    x, tx = params(jnp.float32), SIMPLE[name]()
    g = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.25), x)
    updates, _ = tx.update(g, tx.init(x), x)
    assert all(a is b for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(g), strict=True))
    with pytest.raises(InputError, match=r"call update\(updates, state, params\)"):
        tx.update(g, tx.init(x))


@pytest.mark.parametrize("name", SIMPLE)
def test_it_has_begun_once_it_has_looked_at_parameters(name):
    """They change with each step, so that it shows in what is kept; and it is known before."""
    tx = SIMPLE[name]()
    state = start = tx.init(jnp.zeros(2))
    step = jax.jit(tx.update)
    foretold = [averaging.begun(state, more=t) for t in range(30)]
    for t in range(30):
        changed = any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (state.kept, start.kept)), strict=True))
        assert averaging.begun(state) == averaging.begun_arrays(state) == foretold[t] == {state.name: changed}
        _, state = step(jnp.ones(2), state, jnp.full(2, t + 1.0))
    assert changed


@pytest.mark.parametrize("period", [0.3, 1, 1.1, 5.5, 7])
def test_snapshots_begin_with_the_end_of_the_first_cycle(period):
    tx = averaging.snapshots(2, period, growth=1.3, start=2)

    def step(state, _):
        _, state = tx.update(jnp.ones(2), state, jnp.ones(2))
        return state, state.kept.n

    start = tx.init(jnp.ones(2))
    _, taken = jax.lax.scan(step, start, length=12)
    assert int(start.first) == 1 + np.argmax(taken > 0) == 2 + np.ceil(period)


@pytest.mark.parametrize("name", CASES)
def test_before_the_first_step_the_average_is_the_parameters(name, same):
    x = params(jnp.float32)
    same(averaging.averaged_params(CASES[name][0]().init(x), x), x)


@pytest.mark.parametrize("name", SIMPLE)
def test_no_number_decides_on_the_state_s_type_and_a_step_keeps_it(name):
    x, tx = params(jnp.float32), SIMPLE[name]()
    state = tx.init(x)
    assert state.t.dtype == state.first.dtype == jnp.int32
    _, after = jax.eval_shape(tx.update, x, state, x)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    plain = SIMPLE[name.split(",")[0]]().init(x)
    assert jax.tree.structure(state) == jax.tree.structure(plain)


@pytest.mark.parametrize("name", TRACED)
def test_traced_numbers_give_what_known_ones_give(name, same):
    """Built inside `jit` and `vmap`, in a scan: one lane has the known numbers, bit for bit."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(STEPS, 3)), jnp.float32)

    def run(x):
        tx = TRACED[name](x)

        def step(state, row):
            return tx.update(jnp.zeros(3), state, row)[1], None

        return jax.lax.scan(step, tx.init(rows[0]), rows)[0]

    known = jax.jit(lambda: run(1.0))()
    lanes = jax.jit(jax.vmap(run))(jnp.array([1.0, 1.0]))
    same(jax.tree.map(lambda x: x[1], lanes), known)


def dtypes(tx, x):
    """The dtypes in which something is kept for parameters."""
    return {str(leaf.dtype) for name, leaf in tree.named(tx.init(x).kept).items() if name.endswith(("/w", "/b"))}


@pytest.mark.parametrize("name", SIMPLE)
def test_sums_are_kept_in_float32_or_wider_and_parameters_as_they_are(name):
    own = name.startswith(("lawa", "snapshots"))
    assert dtypes(SIMPLE[name](), params(jnp.bfloat16)) == {"bfloat16" if own else "float32"}
    with jax.enable_x64(True):
        for dtype in ("float32", "float64"):
            assert dtypes(SIMPLE[name](), params(dtype)) == {dtype}


@pytest.mark.parametrize(
    "make",
    [
        lambda **dtype: averaging.ema(0.9, **dtype),
        averaging.polyak_ruppert,
        lambda **dtype: averaging.swa(1, **dtype),
        lambda **dtype: averaging.lawa(2, **dtype),
        lambda **dtype: averaging.snapshots(2, 5, **dtype),
        averaging.power_ema,
    ],
)
def test_what_it_is_kept_in_is_a_choice(make):
    assert dtypes(make(dtype=jnp.float16), params(jnp.float32)) == {"float16"}
    with pytest.raises(InputError, match="dtype is int64, expected a floating one such as"):
        make(dtype=int)


def test_an_average_in_float32_of_bfloat16_parameters_keeps_what_they_are_too_coarse_for():
    """Of parameters that jump between two neighbours, it is the number between them."""
    low, high = jnp.bfloat16(1.0), jnp.bfloat16(1.0078125)
    tx = averaging.polyak_ruppert()
    state = tx.init(low)
    for x in [low, high] * 8:
        _, state = tx.update(jnp.zeros_like(x), state, x)
    assert float(state.kept.mean) == pytest.approx(1.00390625, rel=1e-6)
    assert averaging.averaged_params(state, low).dtype == jnp.bfloat16


NARROW = {
    "ema": lambda **dtype: averaging.ema(0.999, **dtype),
    "ema, biased": lambda **dtype: averaging.ema(0.999, debias=False, **dtype),
    "ema, warmup": lambda **dtype: averaging.ema(0.999, warmup=10, **dtype),
    "polyak_ruppert": averaging.polyak_ruppert,
    "power_ema": averaging.power_ema,
}


@pytest.mark.parametrize("name", NARROW)
def test_kept_in_bfloat16_the_average_of_what_stays_is_that(name):
    """A sum of small parts would stop long before it is whole: at 1.05 of 3, with 0.999."""
    tx, x = NARROW[name](dtype=jnp.bfloat16), jnp.float32(3)
    step = jax.jit(lambda state: jax.lax.scan(lambda s, _: (tx.update(0 * x, s, x)[1], None), state, length=3000)[0])
    assert float(averaging.averaged_params(step(tx.init(x)), x)) == 3


@pytest.mark.parametrize("name", SIMPLE)
def test_it_is_sharded_as_the_parameters_are(name):
    mesh = Mesh(jax.devices()[:4], ("model",))
    x = jax.device_put({"w": jnp.ones((8, 4)), "b": jnp.ones(8)}, NamedSharding(mesh, P("model")))
    tx = SIMPLE[name]()
    state = tx.init(x)
    step = jax.jit(tx.update)
    for _ in range(2):
        _, state = step(x, state, x)
        for leaf in jax.tree.leaves(state.kept):
            if leaf.ndim and leaf.size >= 8 and 8 in leaf.shape:
                spec = P(*[None] * leaf.shape.index(8), "model")
                assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, spec), leaf.ndim), (name, leaf.shape)


HOLDING = {
    "accumulate": lambda tx: optim.accumulate(optax.chain(optim.sgd(0.1), tx), 3),
    "skip_nonfinite": lambda tx: optim.skip_nonfinite(optax.chain(optim.sgd(0.1), tx), limit=9),
}


@pytest.mark.parametrize("holding", HOLDING)
@pytest.mark.parametrize("name", SIMPLE)
def test_a_step_that_is_held_back_does_not_count(name, holding):
    """As many steps of the whole as there are steps that count; the state is that of these alone."""
    x, counted = params(jnp.float32), []
    tx = HOLDING[holding](SIMPLE[name]())
    state = tx.init(x)
    step = jax.jit(lambda g, state, x: optim.apply_gradients(tx, g, state, x))
    rng = np.random.default_rng(0)
    for t in range(18):
        held = t % 3 < 2
        bad = np.nan if held and holding == "skip_nonfinite" else 1.0
        g = jax.tree.map(lambda leaf, bad=bad: jnp.asarray(bad * rng.normal(size=leaf.shape), leaf.dtype), x)
        x, state = step(g, state, x)
        if not held:
            counted.append(x)
    alone = SIMPLE[name]()
    expected, rows = alone.init(params(jnp.float32)), [params(jnp.float32), *counted]
    for before, after in itertools.pairwise(rows):
        _, expected = alone.update(jax.tree.map(jnp.subtract, after, before), expected, before)
    got = state.inner[-1]
    assert int(got.t) == 6
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


NEEDED = {
    averaging.ema: {"decay": 0.9},
    averaging.swa: {"start": 1},
    averaging.lawa: {"k": 2},
    averaging.snapshots: {"k": 2, "period": 5},
    averaging.power_ema: {},
}
NUMBERS = [(make, argument) for make in NEEDED for argument in inspect.signature(make).parameters]
NUMBERS = [pair for pair in NUMBERS if pair[1] not in ("debias", "dtype", "name", "lengths")]


@pytest.mark.parametrize(("make", "argument"), NUMBERS)
def test_a_number_that_is_none_is_refused_by_the_argument_s_name(make, argument):
    with pytest.raises(InputError, match=f"^{argument} is nan, expected"):
        make(**NEEDED[make] | {argument: float("nan")})


BAD = {
    "decay": (lambda value: averaging.ema(value), [-0.1, 1.0, 1.5, float("nan"), None, "0.9"]),
    "warmup": (lambda value: averaging.ema(0.9, warmup=value), [0.5, float("inf")]),
    "every": (lambda value: averaging.ema(0.9, every=value), [0, -1, 2.5, float("inf")]),
    "start": (lambda value: averaging.swa(value), [-1, 2.9]),
    "k": (lambda value: averaging.lawa(value), [0, 2.0, True]),
    "period": (lambda value: averaging.snapshots(2, value), [0, -3.0]),
    "growth": (lambda value: averaging.snapshots(2, 5, growth=value), [0.5]),
    "name": (lambda value: averaging.ema(0.9, name=value), ["", "ema/slow"]),
    r"lengths\[1\]": (lambda value: averaging.power_ema((0.05, value)), [0.0, 0.3]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_number_out_of_range_is_refused_by_name(name):
    make, values = BAD[name]
    for value in values:
        with pytest.raises(InputError, match=f"^{name} is .*, expected"):
            make(value)
    with pytest.raises(InputError, match="k is 3, expected how many snapshots to keep: an even int"):
        averaging.power_ema(k=3)
    for make in (lambda: averaging.lawa(2, every=1.9), lambda: averaging.swa(1, every=1.9)):
        with pytest.raises(InputError, match=r"^every is 1.9, expected a whole number, at least 1"):
            make()
    with pytest.raises(InputError, match=r"^start is 0.5, expected a whole number, at least 0"):
        averaging.snapshots(2, 5, start=0.5)
    for lengths in [(0.1,), (0.1, 0.05), (0.05, 0.1, 0.2)]:
        with pytest.raises(InputError, match=r"^lengths are \(.*, expected .*the shorter first"):
            averaging.power_ema(lengths)
