"""Data augmentation on the device: each image by draws of its own, its pixels looked up once (lecture 7, section 3)."""

from typing import TYPE_CHECKING

from lec7.augment.bends import elastic, lens
from lec7.augment.colour import (
    autocontrast,
    brightness,
    contrast,
    equalize,
    gray,
    hue,
    pca_basis,
    pca_colour,
    posterize,
    saturation,
    sharpness,
    solarize,
)
from lec7.augment.elsewhere import hint
from lec7.augment.erase import erase
from lec7.augment.geometry import (
    center_crop,
    mirror,
    random_crop,
    random_resized_crop,
    resize,
    rotate,
    scale_jitter,
    shear,
    stretch,
    translate,
)
from lec7.augment.mix import cutmix, mixup, on_batch
from lec7.augment.operation import Operation, sometimes
from lec7.augment.pipeline import Pipeline, normalize, pipeline
from lec7.augment.policies import augmix, randaugment, trivialaugment
from lec7.augment.preprocess import Preprocessing
from lec7.augment.views import View, mirrored, multi_scale, ten_crop, test_time

__all__ = [
    "Operation",
    "Pipeline",
    "Preprocessing",
    "View",
    "augmix",
    "autocontrast",
    "brightness",
    "center_crop",
    "contrast",
    "cutmix",
    "elastic",
    "equalize",
    "erase",
    "gray",
    "hue",
    "lens",
    "mirror",
    "mirrored",
    "mixup",
    "multi_scale",
    "normalize",
    "on_batch",
    "pca_basis",
    "pca_colour",
    "pipeline",
    "posterize",
    "randaugment",
    "random_crop",
    "random_resized_crop",
    "resize",
    "rotate",
    "saturation",
    "scale_jitter",
    "sharpness",
    "shear",
    "solarize",
    "sometimes",
    "stretch",
    "ten_crop",
    "test_time",
    "translate",
    "trivialaugment",
]

if not TYPE_CHECKING:  # which is to find what is not there by itself

    def __getattr__(name: str):
        raise AttributeError(f"module 'lec7.augment' has no attribute {name!r}{hint(name, __all__)}")
