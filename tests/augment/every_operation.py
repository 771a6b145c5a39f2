"""Augmentations that tests go over, with numbers that show what each does to an image of 24 x 32 pixels."""

import numpy as np

from lec7 import augment

HEIGHT, WIDTH = 24, 32
BASIS = np.array([[0.2, 0.05, -0.1], [0.2, 0.0, 0.12], [0.2, -0.05, 0.02]], np.float32)

GEOMETRY = {
    "mirror": augment.mirror(),
    "mirror vertical": augment.mirror(vertical=True),
    "translate": augment.translate(0.3),
    "rotate": augment.rotate(60),
    "stretch": augment.stretch(1.3),
    "stretch by much": augment.stretch(2.2),
    "shear": augment.shear(0.4),
    "lens": augment.lens(0.25),
    "elastic": augment.elastic(1.5, spacing=8),
}
"""Those that keep the size."""

SIZES = {
    "center_crop": augment.center_crop((17, 20)),
    "random_crop": augment.random_crop((20, 25), pad=3),
    "random_resized_crop": augment.random_resized_crop((16, 20)),
    "resize": augment.resize((16, 40)),
}
"""Those that change it."""

COLOURS = {
    "brightness": augment.brightness(),
    "contrast": augment.contrast(),
    "saturation": augment.saturation(),
    "hue": augment.hue(0.4),
    "pca_colour": augment.pca_colour(BASIS, 1.0),
    "gray": augment.gray(),
    "solarize": augment.solarize(),
    "posterize": augment.posterize(),
    "sharpness": augment.sharpness(),
    "equalize": augment.equalize(),
    "autocontrast": augment.autocontrast(),
}


def photograph(seed=0, n=None, channels=3, dtype=np.uint8, size=(HEIGHT, WIDTH)):
    """Noise, of all values; one or n of them."""
    shape = (*(() if n is None else (n,)), *size, channels)
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return values if dtype == np.uint8 else (values / 255).astype(dtype)
