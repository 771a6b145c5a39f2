"""What the augmentations of this room are called elsewhere: in torchvision, albumentations, Keras and PIX."""

from collections.abc import Sequence

from lec7.errors import nearest

HERE = {
    "mirror()": ("horizontal flip", "flip", "flip left right", "fliplr", "hflip"),
    "mirror(vertical=True)": ("vertical flip", "flip up down", "flipud", "vflip"),
    "random_crop(size, pad=...)": ("crop",),
    "random_resized_crop(size)": ("resized crop", "sized crop", "crop and resize"),
    "center_crop(size)": ("central crop", "centre crop"),
    "resize(size)": ("smallest max size", "rescale", "resizing"),
    "scale_jitter((least, most))": ("shortest size", "scale"),
    "rotate(degrees)": ("rotation", "safe rotate"),
    "translate(part)": ("translation", "shift"),
    "stretch(factor)": ("zoom",),
    "rotate(degrees), translate(part), stretch(factor) and shear(limit)": ("affine", "shift scale rotate"),
    "lens(strength)": ("optical distortion", "distortion"),
    "elastic(std)": ("elastic transform", "elastic deformation"),
    "brightness(), contrast(), saturation() and hue()": ("color jitter", "colour jitter"),
    "brightness() and contrast()": ("brightness contrast",),
    "hue() and saturation()": ("hue saturation value",),
    "pca_colour(pca_basis(images))": ("fancy pca", "pca color", "pca"),
    "gray()": ("grayscale", "greyscale", "to gray", "grey", "rgb to grayscale"),
    "sharpness()": ("adjust sharpness", "sharpen"),
    "equalize()": ("histogram equalization",),
    "solarize()": ("solarization",),
    "erase()": ("erasing", "cutout", "coarse dropout"),
    "normalize(mean, std)": ("normalization", "standardize"),
    "trivialaugment()": ("trivial augment wide",),
    "randaugment()": ("augment", "auto augment"),
    "sometimes(operation, probability)": ("apply",),
    "pipeline(...)": ("compose", "sequential"),
    "test_time(answer, views)": ("tta", "test time augmentation"),
}
"""What others call by the names on the right is written here as on the left."""


def hint(name: str, known: Sequence[str]) -> str:
    """What to write in place of a name that this room lacks; the empty string where nothing comes near.

    >>> hint("RandomHorizontalFlip", ["mirror"]), hint("Rotate", ["rotate"])
    ('; here it is augment.mirror()', '; here it is augment.rotate')
    >>> hint("rotat", ["rotate"])
    "; did you mean 'rotate'?"
    """
    ours = {_plain(one): one for one in known} | {
        _plain(other): one for one, others in HERE.items() for other in others
    }
    found = ours.get(_plain(name))
    return nearest(name, known) if found is None else f"; here it is augment.{found}"


def _plain(name: str) -> str:
    """Without what libraries differ in: capitals, underscores and a leading `random`."""
    return name.lower().replace("_", "").replace(" ", "").removeprefix("random")
