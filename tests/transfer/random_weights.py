"""Weights that anyone can draw anew from their names and shapes, so that no file of millions of numbers is kept.

`scripts/make_timm_goldens.py` gives them to timm's models, and the tests to lec7's.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"


def weight(name, shape):
    """Float32 of a size that keeps activations near 1: kernels by their fan-in, scales and variances about 1."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.int64(0)
    if name in ("cls_token", "pos_embed"):
        return rng.normal(0, 0.5, shape).astype(np.float32)
    if len(shape) > 1:
        return rng.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape).astype(np.float32)
    if name.endswith(("weight", "running_var")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.normal(0, 0.1, shape).astype(np.float32)


def weights(family):
    """All weights of a family by timm's names."""
    shapes = json.loads((DATA / "timm_shapes.json").read_text())
    return {name: weight(name, shape) for name, shape in shapes[family].items()}


def images(family):
    """One image [1, height, width, 3]; a transformer's positions ask for 224 x 224."""
    size = 224 if family.startswith("vit") else 64
    return np.random.default_rng(0).normal(size=(1, size, size, 3)).astype(np.float32)


def efficientnet_inputs(name):
    """What the figures of EfficientNet-Lite0 were computed of: a photograph, or numbers that rise evenly."""
    if name == "ramp":
        return np.linspace(-1, 1, 224 * 224 * 3).astype(np.float32).reshape(1, 224, 224, 3)
    pixels = np.load(DATA / "efficientnet_lite0.npz")[f"{name}/x8"]
    return (pixels[None].astype(np.float32) - 127) / 128


def figures(features):
    """What is kept of features [n, ..., channels]: mean, standard deviation, and six of them spread evenly."""
    flat = np.asarray(features, np.float64).reshape(-1)
    return np.array([flat.mean(), flat.std(), *flat[np.linspace(0, flat.size - 1, 6).astype(int)]])
