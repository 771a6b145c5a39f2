"""Examples a second that come from the host, read ahead and put on the device."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from lec7 import data, losses, models, optim, train
from lec7.bench.clock import Call
from lec7.bench.limits import HOST
from lec7.bench.scale import Scale
from lec7.bench.training import LABELS, fitting, images
from lec7.bench.work import Work

FILES = 256
"""Images in the folder."""
EVERY = 10


def inputs(scale: Scale) -> Iterator[Work]:
    """Bytes of memory maps as they are, and JPEG files that Pillow decodes, into the smallest of trainings."""
    batch_size, size = scale.streamed
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind, source in (("memory maps", _maps(folder, size)), ("JPEG files", _files(folder / "files", size))):
            yield Work(
                "input",
                f"{kind}, {size} px, batch {batch_size}",
                "examples",
                _call(source, batch_size),
                amount=EVERY * batch_size,
                nbytes=EVERY * batch_size * 3 * size**2,
                memory=HOST,
            )


def _maps(folder: Path, size: int) -> data.Source:
    for name, array in images(2048, size).arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))
    return data.memory_maps(folder)


def _files(folder: Path, size: int) -> data.Source:
    rng = np.random.default_rng(0)
    for i in range(FILES):
        path = folder / str(i % LABELS) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=90)
    return data.images(folder, size)


def _call(source: data.Source, batch_size: int) -> Call:
    def init(key: Any, inputs: Any) -> models.Variables:
        return models.Variables({"w": jnp.zeros((3, LABELS))}, {})

    def apply(variables: models.Variables, inputs: Any, *, train: bool, key: Any = None) -> Any:
        return inputs.mean((1, 2)) @ variables.params["w"], variables.state

    model, optimizer = models.Model(init, apply), optim.sgd(1e-3)
    step = train.make_step(model, losses.cross_entropy, optimizer)
    state = train.init(jax.random.key(0), model, optimizer, jnp.zeros((1, 1, 1, 3)))
    return fitting(step, state, source, batch_size, EVERY)
