"""A 3 x 3 convolution with both of its gradients on a CPU, written in seven ways, outside of a loop and inside of one.

    .venv/bin/python scripts/bench_conv_forms.py [--rounds 9]

What was tried to be faster than patches and one matrix product; on a CPU, `models.convolution()` is that or Winograd's.
The shape is that of the second convolution of the CNN that scripts/bench_peers trains.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax

from lec7.bench.clock import Spread, in_turns, repeated
from lec7.models.convolution import patches
from lec7.models.winograd import winograd

SHAPE, OUT, STEPS = (128, 14, 14, 32), 64, 10
PADDING = ((1, 1), (1, 1))
TAPS = [*itertools.product(range(3), range(3))]

Form = Callable[[jax.Array, jax.Array], jax.Array]


def padded(x: jax.Array) -> jax.Array:
    """With a row and a column of zeros on each side."""
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def gathered(x: jax.Array, w: jax.Array) -> jax.Array:
    """Patches by one gather of windows, and a product."""
    n, height, width, c = x.shape
    starts = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1)
    numbers = lax.GatherDimensionNumbers((0, 3, 4, 5), (), (1, 2))
    windows = lax.gather(padded(x), starts, numbers, (n, 3, 3, c), mode="promise_in_bounds")
    return windows.reshape(n, height, width, -1) @ w.reshape(9 * c, -1)


def three_products(x: jax.Array, w: jax.Array) -> jax.Array:
    """Patches of one row, and a product for each of the kernel's rows."""
    _, height, width, c = x.shape
    p = padded(x)
    rows = lax.optimization_barrier(jnp.concatenate([p[:, :, j : j + width] for j in range(3)], -1))
    return sum((rows[:, i : i + height] @ w[i].reshape(3 * c, -1) for i in range(3)), start=jnp.zeros(()))


def nine_products(x: jax.Array, w: jax.Array) -> jax.Array:
    """A product for each element of the kernel."""
    _, height, width, _ = x.shape
    p = padded(x)
    return sum((p[:, i : i + height, j : j + width] @ w[i, j] for i, j in TAPS), start=jnp.zeros(()))


def one_product(x: jax.Array, w: jax.Array) -> jax.Array:
    """One product with all elements of the kernel, whose results are shifted and added."""
    products = jnp.einsum("nhwc,ijco->nhwijo", x, w)
    zero = jnp.zeros((), x.dtype)
    return sum(
        (lax.pad(products[:, :, :, i, j], zero, ((0, 0, 0), (1 - i, i - 1, 0), (1 - j, j - 1, 0), (0, 0, 0))))
        for i, j in TAPS
    )


def xla(x: jax.Array, w: jax.Array) -> jax.Array:
    """XLA's own."""
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


FORMS: dict[str, Form] = {
    "patches, one product": lambda x, w: patches(x, w, (1, 1), PADDING),
    "patches by gather": gathered,
    "patches of rows, three products": three_products,
    "nine products": nine_products,
    "one product, nine sums": one_product,
    "Winograd, 16 products": lambda x, w: winograd(x, w, PADDING),
    "XLA's": xla,
}


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    rounds: int = 9
    """Turns of each."""
    seconds: float = 0.2
    """Length of a turn, about."""


def main(options: Options) -> None:
    """Prints milliseconds of each, and how many times as fast as patches each is."""
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = jax.random.normal(keys[0], SHAPE), jax.random.normal(keys[1], (*SHAPE[:3], OUT))
    w = jax.random.normal(keys[2], (3, 3, SHAPE[3], OUT))
    expected = xla(x, w)

    def both_ways(form: Form, x: jax.Array, w: jax.Array, y: jax.Array) -> jax.Array:
        output, pull = jax.vjp(form, x, w)
        return sum((jnp.sum(part) for part in (output, *pull(y))), start=jnp.zeros(()))

    def looped(form: Form, x: jax.Array, w: jax.Array, y: jax.Array) -> jax.Array:
        def step(carry, _):
            return carry + 1e-9 * both_ways(form, x + carry, w, y), None

        return lax.scan(step, jnp.zeros(()), None, length=STEPS)[0]

    calls = {}
    for name, form in FORMS.items():
        np.testing.assert_allclose(form(x, w), expected, rtol=1e-3, atol=1e-3)
        for place, work in (("alone", both_ways), ("in scan", looped)):
            compiled = jax.jit(partial(work, form))
            calls[name, place] = repeated(lambda compiled=compiled: compiled(x, w, y).block_until_ready())
    taken = {
        place: in_turns(
            {name: call for (name, where), call in calls.items() if where == place},
            rounds=options.rounds,
            seconds=options.seconds,
        )
        for place in ("alone", "in scan")
    }
    first = next(iter(FORMS))
    print(f"{'ms':<34}{'alone':>8}{'in scan':>9}{'as fast':>9}  {jax.devices()[0].device_kind}, JAX {jax.__version__}")
    for name in FORMS:
        alone, scanned = Spread.of(taken["alone"][name]).median, Spread.of(taken["in scan"][name]).median / STEPS
        base = Spread.of(taken["in scan"][first]).median / STEPS
        print(f"{name:<34}{1000 * alone:8.1f}{1000 * scanned:9.1f}{base / scanned:9.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
