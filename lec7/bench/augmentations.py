"""Images a second of augmentations, on the device."""

from collections.abc import Callable, Iterator
from itertools import cycle

import jax
import jax.numpy as jnp

from lec7 import augment, tree
from lec7.bench.clock import Call, repeated
from lec7.bench.scale import Scale
from lec7.bench.work import Work, counted

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def augmentations(scale: Scale) -> Iterator[Work]:
    """Pixels that are copied, looked up between others, and painted."""
    count, size = scale.images
    images = jax.random.randint(jax.random.key(0), (count, size, size, 3), 0, 256, jnp.uint8)
    for name, operations in {
        "crop, mirror, normalize": (augment.random_crop(size * 7 // 8), augment.mirror(), augment.normalize(MEAN, STD)),
        "rotation": (augment.rotate(15),),
        "resized crop": (augment.random_resized_crop(size * 7 // 8),),
        "colour": (augment.brightness(), augment.contrast(), augment.saturation(), augment.hue()),
    }.items():
        run, key = _jitted(augment.pipeline(*operations)), jax.random.key(0)
        yield Work(
            "augment",
            f"{name}, {count} of {size} px",
            "images",
            _call(run, images),
            amount=count,
            flops=counted(run, key, images),
            nbytes=tree.nbytes((images, jax.eval_shape(run, key, images))),
        )


def _jitted(pipeline: augment.Pipeline) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.jit(lambda key, images: pipeline(jax.random.split(key, len(images)), images))


def _call(run: Callable[..., jax.Array], images: jax.Array) -> Call:
    keys = cycle(jax.random.split(jax.random.key(0), 64))
    # One at a time: a CPU would begin several.
    return repeated(lambda: run(next(keys), images).block_until_ready())
