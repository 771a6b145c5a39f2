"""How much there is to do: as much as keeps a device busy, and no more than minutes of it."""

from dataclasses import dataclass
from typing import Literal

import jax

Network = Literal["mlp", "cnn", "resnet18", "resnet50"]


@dataclass(frozen=True)
class Training:
    """A network, and how it is trained.

    Attributes:
        network: which.
        size: height and width of the images; those of 28 pixels are gray.
        batch_size: examples a step.
        every: steps a dispatch.
        dtype: what it computes in.
    """

    network: Network
    size: int
    batch_size: int
    every: int
    dtype: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class Scale:
    """Sizes of the work.

    Attributes:
        copy_bytes: of the array whose copying is the limit; far more than caches hold.
        matmul: rows of the matrices whose product is the limit.
        dtypes: that are multiplied in.
        trainings: networks to train.
        parameters: of an optimizer's update.
        leaves: arrays that they are dealt out to.
        images: images that are augmented at a time, and their height and width.
        lanes: runs side by side.
        unknowns: of the problems that are solved: those that keep a matrix, and the others.
        streamed: images that are read from the host at a time, and their height and width.
    """

    copy_bytes: int
    matmul: int
    dtypes: tuple[str, ...]
    trainings: tuple[Training, ...]
    parameters: int
    leaves: tuple[int, ...]
    images: tuple[int, int]
    lanes: tuple[int, ...]
    unknowns: tuple[int, int]
    streamed: tuple[int, int]


CPU = Scale(
    copy_bytes=2**28,
    matmul=2048,
    dtypes=("float32",),
    trainings=(
        Training("mlp", 28, 128, every=100),
        Training("mlp", 28, 32, every=100),
        Training("cnn", 28, 128, every=10),
        Training("resnet18", 112, 32, every=1),
    ),
    parameters=10**7,
    leaves=(10, 100, 1000),
    images=(64, 256),
    lanes=(1, 8, 64),
    unknowns=(1000, 10**6),
    streamed=(128, 112),
)
ACCELERATOR = Scale(
    copy_bytes=2**31,
    matmul=8192,
    dtypes=("float32", "bfloat16"),
    trainings=(
        Training("mlp", 28, 128, every=1000),
        Training("cnn", 28, 128, every=100),
        Training("resnet18", 112, 128, every=10),
        Training("resnet50", 224, 128, every=10, dtype="bfloat16"),
    ),
    parameters=10**8,
    leaves=(10, 100, 1000),
    images=(256, 224),
    lanes=(1, 64, 512),
    unknowns=(10**4, 10**7),
    streamed=(256, 224),
)


def of_device() -> Scale:
    """The scale of the default device."""
    return CPU if jax.default_backend() == "cpu" else ACCELERATOR
