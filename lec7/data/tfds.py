"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lec7.data.host import HostSource, narrow, stack
from lec7.data.plain import plain
from lec7.data.records import Part, Records, count_records
from lec7.errors import InputError, nearest

MOST_NAMES = 10
"""Folders that are told where the one that was asked for is not."""

Transform = Callable[[dict[str, Any]], Mapping[str, Any]]
"""From one example, as TFDS decodes it, to the one that is wanted."""


class TfdsSource(HostSource):
    """A split of a TFDS data set; `data.tfds` opens it."""

    def __init__(self, name: str, split: str, records: Records, features: Any, transform: Transform | None):
        self.name, self.split, self.records = name, split, records
        self.features, self.transform = features, transform
        self._plain = None if transform else plain(features, records.read(np.zeros(1, int))[0])

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"TfdsSource({self.name}, split={self.split!r}, {len(self)} examples)"

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `rows`."""
        records, of = self.records.read(rows), f"an example of {self.name}"
        if self._plain:
            return {name: narrow(array, name, of) for name, array in self._plain(records).items()}
        examples = map(self.features.deserialize_example_np, records)
        return stack(list(map(self.transform, examples) if self.transform else examples), of)


def data_dir_of(data_dir: str | os.PathLike[str] | None) -> Path:
    """Where TFDS keeps data sets: the folder that is given, or that of TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def tfds(
    name: str,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
    *,
    transform: Transform | None = None,
) -> TfdsSource:
    """A data set of TensorFlow Datasets that lies prepared on disk, read when it is asked for, without TensorFlow.

    It has to be in ArrayRecord files, which have random access: prepared once, on a machine with TensorFlow, by
    `tfds.builder(name, file_format="array_record").download_and_prepare()`; or by `scripts/prepare_fashion_mnist.py`.

    Args:
        name: of the data set, as in `"fashion_mnist"`, `"fashion_mnist:3.0.1"` or `"glue/cola:2.0.0"`; without a
            version, the newest that is there.
        split: in TFDS's notation, such as `"train"`, `"train[:90%]"` or `"test[1000:2000]"`.
        data_dir: where data sets are; by default TFDS's own folder, `~/tensorflow_datasets` or that of TFDS_DATA_DIR.
        transform: from one example, as TFDS decodes it, to the one that is wanted: by which names are left out, and
            images of several sizes brought to one.

    Returns:
        A source on the host. Arrays have the data set's names and dtypes, but 64-bit numbers are 32-bit ones, labels
        included.

    Raises:
        InputError: the data set, its version or the split is not there, is not in ArrayRecord files, or needs
            TensorFlow to be read; a file is missing or damaged.

    Source: https://www.tensorflow.org/datasets/data_source.
    """
    import tensorflow_datasets

    folder = _folder(name, data_dir_of(data_dir))
    try:
        builder: Any = tensorflow_datasets.builder_from_directory(os.fspath(folder))
        source = TfdsSource(
            builder.info.full_name, split, _open(builder, folder, split), builder.info.features, transform
        )
        source.read(np.zeros(1, int))
    except ImportError as error:
        raise InputError(
            f"{folder} can't be read without {error.name or error}; it has {_kinds(folder)}, expected features that "
            "TFDS decodes in NumPy alone"
        ) from error
    return source


def _kinds(folder: Path) -> str:
    """The features, as a file beside the data names them."""
    try:
        features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
        return ", ".join(f"{name} ({kind['pythonClassName'].split('.')[-1]})" for name, kind in features.items())
    except (OSError, ValueError, KeyError):
        return "other features"


def _open(builder: Any, folder: Path, split: str) -> Records:
    """A split's files, each with as many records as it should have."""
    from tensorflow_datasets import decode

    try:
        source = builder.as_data_source(split=split, deserialize_method=decode.DeserializeMethod.RAW_BYTES)
        instructions = builder.info.splits[split].file_instructions
    except NotImplementedError:
        raise InputError(
            f"{folder} is in the format {builder.info.file_format.value}, which has no random access; expected "
            "array_record: prepare it again, in another data_dir, by tfds.builder(name, file_format='array_record', "
            "data_dir=...).download_and_prepare()"
        ) from None
    except ValueError as error:
        there = [f"{known} ({info.num_examples} examples)" for known, info in builder.info.splits.items()]
        name = split.split("[")[0]
        hint = "" if name in builder.info.splits else nearest(name, list(builder.info.splits))
        raise InputError(
            f"split is {split!r}, which {folder} can't give: {str(error).splitlines()[0]}{hint}; it has "
            f"{', '.join(there)}"
        ) from None
    paths = [Path(one.filename) for one in instructions]
    for path, one, count in zip(paths, instructions, count_records(paths), strict=True):
        if count != one.examples_in_shard:
            raise InputError(
                f"{path} has {count} records, and {folder / 'dataset_info.json'} says {one.examples_in_shard}: delete "
                f"{folder} and prepare the data set anew, or copy it again"
            )
    return Records(source, [Part(path, one.skip, one.take) for path, one in zip(paths, instructions, strict=True)])


def _folder(name: str, root: Path) -> Path:
    """The folder of a version: DIR/NAME/VERSION, or DIR/NAME/CONFIG/VERSION."""
    place, _, version = name.partition(":")
    folder = root / place
    advice = (
        f"prepare it with tfds.builder({name!r}, file_format='array_record', data_dir={os.fspath(root)!r})"
        ".download_and_prepare() where TensorFlow is, or name another data_dir"
    )
    if place == "fashion_mnist":
        advice = f"prepare it with scripts/prepare_fashion_mnist.py --data-dir {root}, or name another data_dir"
    if not folder.is_dir():
        there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        few = [*there[:MOST_NAMES], "..."] if len(there) > MOST_NAMES else there
        has = f"it has {', '.join(few)}" if there else "it has none" if root.is_dir() else "there is no such folder"
        raise InputError(f"no data set {place!r} in {root}: {has}{nearest(place, there)}; {advice}")
    versions = {path.parent.name: path.parent for path in folder.glob("*/dataset_info.json") if _numbers(path.parent)}
    if not versions:
        configs = sorted({path.parent.parent.name for path in folder.glob("*/*/dataset_info.json")})
        if configs:
            raise InputError(f"{folder} has several configurations: name one, {place + '/' + configs[0]!r} for one")
        raise InputError(f"{folder} has no version that is prepared; {advice}")
    if version and version not in versions:
        raise InputError(
            f"no version {version!r} of {place!r} in {root}: it has {', '.join(sorted(versions))}; {advice}"
        )
    return versions[version] if version else max(versions.values(), key=_numbers)


def _numbers(folder: Path) -> list[int]:
    """A version as numbers, `[3, 0, 1]`; empty for what is none."""
    parts = folder.name.split(".")
    return [int(part) for part in parts] if all(part.isdecimal() for part in parts) else []
