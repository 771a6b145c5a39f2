"""ResNet-18 and EfficientNet-Lite0, forward and in training, beside the same networks in PyTorch."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from flax import nnx

from lec7 import data, losses, models, optim, train
from lec7.bench.clock import Call, repeated
from lec7.bench.training import fitting
from lec7.models.efficientnet import LITE0
from peers.race import LEC7, Effort, Row, race
from peers.training import EAGER

BATCH, SIZE, LABELS = 32, 112, 10
WINDOW = 5
"""Steps until somebody wants to see the loss."""
OURS: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
    "ResNet-18": lambda rngs: models.resnet18(LABELS, rngs=rngs),
    "EfficientNet-Lite0": lambda rngs: models.efficientnet_lite0(LABELS, keep=1.0, keep_depth=1.0, rngs=rngs),
}


def resnet18() -> Any:
    """ResNet-18 as torchvision has it; without torchvision, whose wheels fit no CPU build of PyTorch."""
    from torch import nn

    def conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.branch = nn.Sequential(
                *(conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
                *(conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)),
            )
            shortcut = conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            self.shortcut = nn.Identity() if (inputs, stride) == (outputs, 1) else nn.Sequential(*shortcut)

        def forward(self, x):
            return nn.functional.relu(self.branch(x) + self.shortcut(x), inplace=True)

    widths = (64, 64, 128, 256, 512)
    stages = [
        block
        for i, (m, n) in enumerate(itertools.pairwise(widths))
        for block in (Block(m, n, 1 if i == 0 else 2), Block(n, n, 1))
    ]
    stem = conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, LABELS))


def lite0() -> Any:
    """EfficientNet-Lite0, with PyTorch's padding, which is as much work as TensorFlow's."""
    from torch import nn

    def conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(outputs, eps=1e-3)]

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int):
            super().__init__()
            wide = inputs * expansion
            expand = [*conv(inputs, wide), nn.ReLU6(inplace=True)] if expansion > 1 else []
            depthwise = [*conv(wide, wide, size, stride, groups=wide), nn.ReLU6(inplace=True)]
            self.branch = nn.Sequential(*expand, *depthwise, *conv(wide, outputs))
            self.residual = (inputs, stride) == (outputs, 1)

        def forward(self, x):
            return x + self.branch(x) if self.residual else self.branch(x)

    blocks, inputs = [], 32
    for stage in LITE0:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            blocks.append(Block(inputs, stage.channels, stage.size, stride, stage.expansion))
            inputs = stage.channels
    stem, neck = [*conv(3, 32, 3, 2), nn.ReLU6(inplace=True)], [*conv(inputs, 1280), nn.ReLU6(inplace=True)]
    return nn.Sequential(*stem, *blocks, *neck, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, LABELS))


THEIRS: dict[str, Callable[[], Any]] = {"ResNet-18": resnet18, "EfficientNet-Lite0": lite0}


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> tuple[Call, Call]:
    """Forward as `lec7 predict` does it, a batch a dispatch, and windows of training steps."""
    model, optimizer = models.from_nnx(OURS[name]), optim.momentum(1e-2)
    source = data.ArraySource({"image": images, "label": labels})
    state = train.init(jax.random.key(0), model, optimizer, train.image(source[:1]))
    variables = jax.tree.map(lambda x: x + 0, state.variables)  # training takes its own away
    evaluate = jax.jit(lambda variables, x: model.apply(variables, x, train=False)[0])
    x = jax.device_put(images)
    step = train.make_step(model, losses.cross_entropy, optimizer)
    training = fitting(step, state, source, BATCH, WINDOW)
    return repeated(lambda: evaluate(variables, x).block_until_ready()), training


def theirs(name: str, images: np.ndarray, labels: np.ndarray, *, last: bool) -> tuple[Call, Call]:
    """The same in PyTorch; `last`: channels lie last in memory, as in JAX, and not first."""
    import torch

    torch.manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    net = THEIRS[name]().to(memory_format=layout)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
    x = torch.tensor(images.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=layout)
    y = torch.tensor(labels).long()

    def forward() -> None:
        net.eval()
        with torch.inference_mode():
            net(x)

    def training() -> float:
        net.train()
        for _ in range(WINDOW):
            loss = torch.nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return repeated(forward), repeated(training)


def pretrained(effort: Effort) -> Iterable[Row]:
    """Both networks, forward and in training, with either layout of PyTorch."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH, SIZE, SIZE, 3)).astype(np.float32)
    labels = rng.integers(0, LABELS, BATCH, np.int32)
    for name in OURS:
        both = {
            LEC7: ours(name, images, labels),
            EAGER: theirs(name, images, labels, last=False),
            f"{EAGER}, channels last": theirs(name, images, labels, last=True),
        }
        for i, (kind, amount) in enumerate({"forward": BATCH, "training": BATCH * WINDOW}.items()):
            calls = {who: pair[i] for who, pair in both.items()}
            title = f"{name}, {kind}, batch {BATCH}, {SIZE} px"
            yield from race(title, "images", amount, calls, effort, {EAGER: 1.0})
