"""Sources of examples, and which of them each step sees."""

from lec7.data.catalogue import digits, fashion_mnist, mnist5k
from lec7.data.folder import ImageFolder, image_folder, read_image
from lec7.data.order import batch_indices, permute
from lec7.data.photographs import PHOTOGRAPHS, photographs
from lec7.data.source import ArraySource, Source, batch, split, stratified, take

__all__ = [
    "PHOTOGRAPHS",
    "ArraySource",
    "ImageFolder",
    "Source",
    "batch",
    "batch_indices",
    "digits",
    "fashion_mnist",
    "image_folder",
    "mnist5k",
    "permute",
    "photographs",
    "read_image",
    "split",
    "stratified",
    "take",
]
