"""Images a second of augmentations, and what each takes as a multiple of a copy: lec7, dm-pix, augmax, albumentations.

    .venv/bin/python scripts/bench_augment.py [--rounds 9] [--batch-size 64] [--size 256] [--only rotation]

On float32 and on bytes. The others take part where they can be imported: `pip install -e .[augment-peers]`. All of one
kind take turns in one process, so that what else the machine does meets them all; what a line shows is the median over
rounds, and the spread from the lower to the upper quartile. albumentations works on one image at a time in NumPy and
OpenCV, in one process, and draws its own numbers.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from lec7 import augment

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PEERS = {"dm-pix": "dm_pix", "augmax": "augmax", "albumentations": "albumentations"}
COPY = "copy"

Run = Callable[[], object]
"""Augments a batch and waits for it."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    rounds: int = 9
    """Turns that each takes."""
    batch_size: int = 64
    """Images at a time."""
    size: int = 256
    """Height and width of an image."""
    only: str = ""
    """Kinds whose name has this in it; all by default."""
    slowest: float = 5.0
    """Seconds; who needs longer for a batch takes part in three rounds."""


def ours(crop: int) -> dict[str, augment.Pipeline]:
    """Pipelines by kind."""
    basis = augment.pca_basis(np.random.default_rng(0).uniform(size=(100, 3)).astype(np.float32))
    kinds = {
        "crop + mirror + normalize": (
            augment.random_crop(crop),
            augment.mirror(),
            augment.normalize(MEAN, STD),
        ),
        "rotation": (augment.rotate((10, 30)),),
        "geometry + colour": (
            augment.mirror(),
            augment.rotate(15),
            augment.stretch(1.25),
            augment.shear(0.2),
            augment.brightness(),
            augment.contrast(),
            augment.saturation(),
            augment.hue(),
            augment.normalize(MEAN, STD),
        ),
        "random_resized_crop": (augment.random_resized_crop(crop),),
        "brightness": (augment.brightness(),),
        "contrast": (augment.contrast(),),
        "saturation": (augment.saturation(),),
        "hue": (augment.hue(),),
        "gray": (augment.gray(),),
        "pca_colour": (augment.pca_colour(basis),),
        "solarize": (augment.solarize(),),
        "posterize": (augment.posterize(),),
        "sharpness": (augment.sharpness(),),
        "equalize": (augment.equalize(),),
        "autocontrast": (augment.autocontrast(),),
    }
    return {kind: augment.pipeline(*operations) for kind, operations in kinds.items()}


def with_dm_pix(crop: int) -> dict[str, Callable[..., Any]]:
    """What dm-pix has of these: functions of a key and an image of floats."""
    import dm_pix as pix

    def crop_mirror_normalize(key, image):
        one, other = jax.random.split(key)
        image = pix.random_flip_left_right(other, pix.random_crop(one, image, (crop, crop, 3)))
        return (image - jnp.array(MEAN)) / jnp.array(STD)

    return {
        "crop + mirror + normalize": crop_mirror_normalize,
        "rotation": lambda key, image: pix.rotate(image, jax.random.uniform(key, (), minval=0.17, maxval=0.52)),
        "brightness": lambda key, image: pix.random_brightness(key, image, 0.4),
        "contrast": lambda key, image: pix.random_contrast(key, image, 0.6, 1.4),
        "saturation": lambda key, image: pix.random_saturation(key, image, 0.6, 1.4),
        "hue": lambda key, image: pix.random_hue(key, image, 0.1),
        "gray": lambda key, image: pix.rgb_to_grayscale(image, keep_dims=True),
        "solarize": lambda key, image: pix.solarize(image, jax.random.uniform(key)),
    }


def with_augmax(crop: int, size: int, dtype: Any) -> dict[str, Callable[..., Any]]:
    """What augmax has of these: functions of a key and an image."""
    import augmax

    def jitter(**strengths):
        # The others' strengths are 0; what it computes of them it drops.
        nothing = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
        return augmax.ColorJitter(**(nothing | strengths), p=1.0)

    finish = augmax.Normalize(mean=jnp.array(MEAN), std=jnp.array(STD))
    kinds = {
        "crop + mirror + normalize": (augmax.RandomCrop(crop, crop), augmax.HorizontalFlip(), finish),
        "rotation": (augmax.Rotate((10, 30), p=1.0),),
        "geometry + colour": (
            augmax.HorizontalFlip(),
            augmax.Rotate(15, p=1.0),
            augmax.RandomSizedCrop(size, size),  # for stretch and shear
            augmax.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0),
            finish,
        ),
        "random_resized_crop": (augmax.RandomSizedCrop(crop, crop),),
        "brightness": (jitter(brightness=0.4),),
        "contrast": (jitter(contrast=0.4),),
        "solarize": (augmax.Solarization(p=1.0),),
        "gray": (augmax.RandomGrayscale(p=1.0),),
    }
    first = (augmax.ByteToFloat(),) if dtype == np.uint8 else ()  # its colours are of floats, which come out, too
    return {kind: augmax.Chain(*first, *transforms) for kind, transforms in kinds.items()}


def with_albumentations(crop: int, dtype: Any) -> dict[str, Callable[..., Any]]:
    """What albumentations has of these: functions of one image in NumPy."""
    import albumentations as a

    def jitter(**strengths):
        nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
        return a.ColorJitter(
            **{name: (1.0 - s, 1.0 + s) if name != "hue" else (-s, s) for name, s in (nothing | strengths).items()}, p=1
        )

    finish = a.Normalize(MEAN, STD, max_pixel_value=255.0 if dtype == np.uint8 else 1.0)
    kinds = {
        "crop + mirror + normalize": [a.RandomCrop(crop, crop), a.HorizontalFlip(), finish],
        "rotation": [a.Rotate((10, 30), p=1)],
        "geometry + colour": [
            a.HorizontalFlip(),
            a.Affine(scale=(0.8, 1.25), rotate=(-15, 15), shear=(-11, 11), keep_ratio=False, p=1),
            jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
            finish,
        ],
        "random_resized_crop": [a.RandomResizedCrop((crop, crop), p=1)],
        "brightness": [jitter(brightness=0.4)],
        "contrast": [jitter(contrast=0.4)],
        "saturation": [jitter(saturation=0.4)],
        "hue": [jitter(hue=0.1)],
        "gray": [a.ToGray(p=1)],
        "solarize": [a.Solarize(p=1)],
        "posterize": [a.Posterize(p=1)],
        "sharpness": [a.Sharpen(p=1)],
        "equalize": [a.Equalize(mode="pil", p=1)],
        "autocontrast": [a.AutoContrast(p=1)],
    }
    return {kind: a.Compose(transforms) for kind, transforms in kinds.items()}


def compiled(function: Callable[..., Any], keys: jax.Array, images: jax.Array) -> Run:
    """Runs a function of keys and images."""
    jitted = jax.jit(function)
    return lambda: jax.block_until_ready(jitted(keys, images))


def racers(options: Options, images: np.ndarray) -> dict[str, dict[str, Run]]:
    """Who takes part, by kind: a copy of the batch is one of each."""
    crop = options.size * 7 // 8
    keys, on_device = jax.random.split(jax.random.key(0), len(images)), jnp.asarray(images)
    kinds: dict[str, dict[str, Run]] = {}
    for kind, pipeline in ours(crop).items():
        # Of the shape and dtype that come out, and with something added, lest it be an alias.
        out = jax.eval_shape(pipeline, keys, on_device)
        kinds[kind] = {
            COPY: compiled(
                lambda _, x, out=out: x[:, : out.shape[1], : out.shape[2]].astype(out.dtype) + 1, keys, on_device
            ),
            "lec7": compiled(pipeline, keys, on_device),
        }
    one_turn = augment.pipeline(augment.rotate((10, 30)))
    kinds["geometry + colour"]["lec7, one bilinear resample"] = compiled(one_turn, keys, on_device)
    for name, module in PEERS.items():
        if not importlib.util.find_spec(module):
            print(f"{name} is not installed, and left out")
            continue
        if name == "albumentations":
            for kind, function in with_albumentations(crop, images.dtype).items():
                kinds[kind][name] = lambda f=function: [f(image=image)["image"] for image in images]
        elif name == "augmax":
            for kind, function in with_augmax(crop, options.size, images.dtype).items():
                kinds[kind][name] = compiled(jax.vmap(function), keys, on_device)
        elif images.dtype == np.float32:  # dm-pix is of floats
            for kind, function in with_dm_pix(crop).items():
                kinds[kind][name] = compiled(jax.vmap(function), keys, on_device)
    return kinds


def race(runs: dict[str, Run], options: Options) -> dict[str, list[float]]:
    """Seconds of each turn of each."""
    seconds: dict[str, list[float]] = {}
    for name, run in list(runs.items()):
        try:
            run()  # compiles
            begin = time.perf_counter()
            run()
        except Exception as error:  # a peer's: it is told, and the others go on
            if name.startswith(("lec7", COPY)):
                raise
            print(f"    {name} fails: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
            continue
        seconds[name] = []
        if time.perf_counter() - begin > options.slowest:
            seconds[name].append(time.perf_counter() - begin)
    for turn in range(options.rounds):
        for name in list(seconds)[:: 1 if turn % 2 else -1]:
            if seconds[name] and seconds[name][0] > options.slowest and turn > 1:
                continue
            begin = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def main(options: Options) -> None:
    """Prints a line for each."""
    images = np.random.default_rng(0).integers(0, 256, (options.batch_size, options.size, options.size, 3), np.uint8)
    print(
        f"{options.batch_size} images of {options.size} x {options.size} x 3, {jax.devices()[0].device_kind}, "
        f"JAX {jax.__version__}"
    )
    for dtype in (np.float32, np.uint8):
        given = images if dtype == np.uint8 else (images / np.float32(255)).astype(np.float32)
        print(f"\n{np.dtype(dtype).name}")
        for kind, runs in racers(options, given).items():
            if options.only not in kind:
                continue
            print(f"  {kind}")
            seconds = race(runs, options)
            copy = statistics.median(seconds[COPY])
            mine = statistics.median(seconds["lec7"])
            for name, taken in seconds.items():
                median = statistics.median(taken)
                low, high = np.quantile(taken, (0.25, 0.75))
                rate, spread = options.batch_size / median, f"({1000 * low:.1f} to {1000 * high:.1f} ms)"
                print(
                    f"    {name:<28}{rate:9.0f} images/s {spread:<20}"
                    f"{median / copy:8.2f} times a copy{median / mine:9.2f} times lec7"
                )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
