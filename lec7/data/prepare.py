"""Writing a data set for TensorFlow Datasets, in ArrayRecord files and without TensorFlow."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lec7.data.catalogue import FASHION_MNIST, read_fashion_mnist
from lec7.data.tfds import data_dir_of, tfds
from lec7.errors import InputError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Of Fashion-MNIST, in the order of their labels."""

NAME, VERSION = "fashion_mnist", "3.0.1"
"""TFDS's, of the data set that has the same examples."""


def prepare_fashion_mnist(
    directory: str | os.PathLike[str] | None = None, data_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Writes Fashion-MNIST where `data.tfds("fashion_mnist", ...)` finds it; does nothing where it is already.

    It is written beside its place and moved there whole, so that nobody finds half of it.

    Args:
        directory: folder of the four IDX files; by default that of Debian's package `dataset-fashion-mnist`.
        data_dir: where data sets are; by default TFDS's own folder.

    Returns:
        The folder that it is in.

    Raises:
        InputError: a file to read is missing or damaged; the folder can't be written, or has files that can't be used.
    """
    root = data_dir_of(data_dir)
    folder = root / NAME / VERSION
    if folder.exists():
        for split in ("train", "test"):
            tfds(f"{NAME}:{VERSION}", split, root)
        return folder
    splits = read_fashion_mnist(Path(directory) if directory else FASHION_MNIST)
    try:
        _write(splits, root)
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error}; name another folder for data sets") from error
    return folder


def _write(splits: Mapping[str, Mapping[str, np.ndarray]], root: Path) -> None:
    import tensorflow_datasets
    from tensorflow_datasets import core, features

    class FashionMnist(core.GeneratorBasedBuilder, skip_registration=True):
        """TFDS's data set, with images as bytes: in its catalogue they are PNG, which TensorFlow encodes."""

        name = NAME
        VERSION = core.Version(VERSION)

        def _info(self):
            image = features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding=features.Encoding.BYTES)
            return core.DatasetInfo(
                builder=self,
                description="Zalando's article images: 60,000 to train on and 10,000 to test with, 28x28, 10 classes.",
                homepage="https://github.com/zalandoresearch/fashion-mnist",
                features=features.FeaturesDict({"image": image, "label": features.ClassLabel(names=CLASSES)}),
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: Any):
            return {name: self._generate_examples(arrays) for name, arrays in splits.items()}

        def _generate_examples(self, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[int, dict[str, Any]]]:
            for i, (image, label) in enumerate(zip(arrays["image"], arrays["label"], strict=True)):
                yield i, {"image": image, "label": int(label)}

    tensorflow_datasets.disable_progress_bar()
    builder = FashionMnist(data_dir=os.fspath(root), file_format="array_record")
    with (
        tempfile.TemporaryDirectory() as downloads,
        contextlib.redirect_stdout(None),
    ):  # TFDS prints, and makes a folder
        no_network = tensorflow_datasets.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_dir=downloads, download_config=no_network)
