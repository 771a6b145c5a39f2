"""Convolution on a CPU as lec7 writes it, XLA's own, and PyTorch's: training a CNN, and depthwise convolutions alone.

    .venv/bin/python scripts/bench_conv.py [--rounds 15] [--depthwise]

XLA's runs in a dispatch for each step too, for it loses its threads inside a loop. PyTorch takes part where it can be
imported, in eager mode with fused Adam: `pip install torch` into the same environment. All take turns in one process.

Depthwise convolutions are a sum over taps. Two of EfficientNet-Lite0's are measured, forwards, and backwards to image
and kernel as well.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import tyro
from jax import lax

from lec7 import data, losses, models, optim, train

BATCH, EVERY, CHANNELS, WIDTH, KEEP = 128, 5, (32, 64), 256, 0.75

Run = Callable[[], object]
"""Does its work and waits for it; in training `EVERY` steps."""


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    rounds: int = 15
    """Turns that each takes."""
    depthwise: bool = False
    """Measure depthwise convolutions alone, which takes a minute."""


def with_lec7(source: data.ArraySource, convolution: Callable[..., jax.Array], loop: bool) -> Run:
    """The CNN with this convolution, all steps in one dispatch or one at a time."""

    def build(rngs):
        cnn = models.CNN((28, 28, 1), CHANNELS, WIDTH, 10, keep=KEEP, rngs=rngs)
        for layer in cnn.convs:
            layer.conv_general_dilated = convolution
        return cnn

    model, optimizer = models.from_nnx(build), optim.adam(1e-3)
    step, draw = train.make_step(model, losses.cross_entropy, optimizer), train.draw(BATCH)
    state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
    many = train.jit(train.scan(step, EVERY, draw))
    one = train.jit(lambda state, source: step(state, draw(source, state, state.step)))

    def run():
        nonlocal state
        for _ in range(1 if loop else EVERY):
            state, metrics = (many if loop else one)(state, source)
        return jax.block_until_ready(metrics)

    return run


def with_torch(source: data.ArraySource) -> Run:
    """The same network, optimizer and batches as one writes them in PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    blocks = [
        layer
        for m, n in zip((1, *CHANNELS), CHANNELS, strict=False)
        for layer in (nn.Conv2d(m, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU(), nn.MaxPool2d(2))
    ]
    hidden = nn.Linear(7 * 7 * CHANNELS[-1], WIDTH)
    net = nn.Sequential(
        *blocks, nn.Flatten(), nn.Dropout(1 - KEEP), hidden, nn.ReLU(), nn.Dropout(1 - KEEP), nn.Linear(WIDTH, 10)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    images = torch.tensor(np.moveaxis(np.asarray(source.arrays["image"]), -1, 1).copy())
    labels = torch.tensor(np.asarray(source.arrays["label"])).long()

    def run():
        for _ in range(EVERY):
            indices = torch.randint(len(labels), (BATCH,))
            logits = net(images[indices].float() / 255)
            loss = nn.functional.cross_entropy(logits, labels[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return run


def depthwise(shape: tuple[int, ...], size: int, backwards: bool) -> dict[str, Run]:
    """A depthwise convolution of images [n, height, width, channels], written in each way."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(size, size, 1, shape[-1])).astype(np.float32)

    def with_jax(convolution: Callable[..., jax.Array]) -> Run:
        def forwards(x, kernel):
            numbers = lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
            return convolution(x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=x.shape[-1])

        def both(x, kernel):
            y, pull = jax.vjp(forwards, x, kernel)
            return pull(y)

        run = jax.jit(both if backwards else forwards)
        arguments = jax.device_put((x, kernel))
        return lambda: jax.block_until_ready(run(*arguments))

    runs: dict[str, Run] = {
        "lec7": with_jax(models.convolution()),
        "XLA's grouped convolution": with_jax(lax.conv_general_dilated),
    }
    if importlib.util.find_spec("torch"):
        import torch

        images = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_(backwards)  # channels last in memory, as in JAX
        weights = torch.tensor(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_(backwards)

        def run():
            y = torch.nn.functional.conv2d(images, weights, padding=size // 2, groups=shape[-1])
            return torch.autograd.grad(y, (images, weights), y.detach()) if backwards else y

        runs[f"PyTorch {torch.__version__}"] = run
    return runs


def race(runs: dict[str, Run], rounds: int, steps: int) -> None:
    """Prints a line for each: how many steps a second, and how lec7 compares."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # compiles
    for turn in range(rounds):
        for name, run in list(runs.items())[:: 1 if turn % 2 else -1]:
            begin = time.perf_counter()
            run()
            rates[name].append(steps / (time.perf_counter() - begin))
    for name, rate in rates.items():
        ratios = sorted(a / b for a, b in zip(rates["lec7"], rate, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:<44}{statistics.median(rate):6.1f} /s; lec7 is {spread} times as fast", flush=True)


def main(options: Options) -> None:
    """Prints a line for each."""
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}")
    for shape, size in (((16, 56, 56, 144), 3), ((16, 14, 14, 672), 5)):
        for backwards in (False, True):
            what = "forwards and backwards" if backwards else "forwards"
            print(f"\nDepthwise {size} x {size} over {' x '.join(map(str, shape))}, {what}")
            race(depthwise(shape, size, backwards), options.rounds, 1)
    if options.depthwise:
        return
    source, _ = data.mnist5k()
    runs = {
        "lec7": with_lec7(source, models.convolution(), loop=True),
        "lec7, XLA's convolution in a loop": with_lec7(source, lax.conv_general_dilated, loop=True),
        "lec7, XLA's convolution, a dispatch a step": with_lec7(source, lax.conv_general_dilated, loop=False),
    }
    if importlib.util.find_spec("torch"):
        import torch

        runs[f"PyTorch {torch.__version__}"] = with_torch(source)
    print(f"\nTraining steps of the CNN 32-64-256, batch {BATCH}, Adam")
    race(runs, options.rounds, EVERY)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
