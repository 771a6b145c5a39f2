"""PyTorch: a loop with fused Adam, eager or compiled."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from peers.task import (
    CHANNELS,
    EVALUATED_EVERY,
    FEATURES,
    HIDDEN,
    LABELS,
    LEARNING_RATE,
    Arrays,
    Call,
    Task,
    reach,
    rows_of,
    windows_of,
)


def network(kind: str) -> nn.Sequential:
    """Of images [n, 1, 28, 28]."""
    if kind == "mlp":
        hidden = nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(HIDDEN, LABELS))
    convolutions = [
        layer
        for m, n in zip((1, *CHANNELS), CHANNELS, strict=False)
        for layer in (nn.Conv2d(m, n, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    hidden = nn.Flatten(), nn.Linear(FEATURES, HIDDEN), nn.ReLU()
    return nn.Sequential(*convolutions, *hidden, nn.Linear(HIDDEN, LABELS))


def tensors(arrays: Arrays) -> tuple[torch.Tensor, torch.Tensor]:
    """Images in bytes, with channels last in memory, which its convolutions like best; and labels."""
    return torch.tensor(arrays.images).permute(0, 3, 1, 2), torch.tensor(arrays.labels).long()


def losses(kind: str, arrays: Arrays, batch_size: int, net: nn.Module, forward: nn.Module):
    """Steps, without end."""
    images, labels = tensors(arrays)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    for row in map(torch.from_numpy, rows_of(len(images), batch_size)):
        loss = cross_entropy(forward(images[row].float() / 255), labels[row])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss


def steps(task: Task, arrays: Arrays, *, compiled: bool) -> Call:
    """Training in eager mode, or with `torch.compile`."""
    torch.manual_seed(0)
    net = network(task.kind).to(memory_format=torch.channels_last)
    one = losses(task.kind, arrays, task.batch_size, net, torch.compile(net) if compiled else net)

    def windows():
        while True:
            for _ in range(task.every):
                loss = next(one)
            yield loss.item()

    return windows_of(windows())


def until(arrays: Arrays, test: Arrays, enough) -> None:
    """Trains in eager mode until that is enough."""
    torch.manual_seed(0)
    net = network("cnn").to(memory_format=torch.channels_last)
    images, labels = tensors(test)
    for step, _ in enumerate(losses("cnn", arrays, 128, net, net), start=1):
        if step % EVALUATED_EVERY == 0:
            with torch.inference_mode():
                said = torch.cat([net(part.float() / 255).argmax(1) for part in images.split(1000)])
            if enough((said == labels).float().mean().item()):
                return


if __name__ == "__main__":
    reach(until)
