"""Sources of examples, and which of them each step sees."""

from lec7.data.catalogue import digits, fashion_mnist, mnist5k
from lec7.data.describe import describe
from lec7.data.folder import ImageFolder, image_folder, read_image
from lec7.data.images import images
from lec7.data.memory_maps import memory_maps
from lec7.data.order import HostOrder, InOrder, Order, batch_indices, permute
from lec7.data.photographs import PHOTOGRAPHS, photographs
from lec7.data.prepare import prepare_fashion_mnist
from lec7.data.records import array_record
from lec7.data.source import ArraySource, Source, batch
from lec7.data.stream import Stream, batches, stream
from lec7.data.subset import split, stratified, take
from lec7.data.tfds import tfds
from lec7.data.whole import load, nbytes

__all__ = [
    "PHOTOGRAPHS",
    "ArraySource",
    "HostOrder",
    "ImageFolder",
    "InOrder",
    "Order",
    "Source",
    "Stream",
    "array_record",
    "batch",
    "batch_indices",
    "batches",
    "describe",
    "digits",
    "fashion_mnist",
    "image_folder",
    "images",
    "load",
    "memory_maps",
    "mnist5k",
    "nbytes",
    "permute",
    "photographs",
    "prepare_fashion_mnist",
    "read_image",
    "split",
    "stratified",
    "stream",
    "take",
    "tfds",
]
