"""What a data set is known by: other labels, other pixels and other numbers of examples are told apart."""

import numpy as np
from on_host import OnHost

from lec7 import data


def source(**change):
    rng = np.random.default_rng(0)
    arrays = {"image": rng.integers(0, 255, (500, 4, 4, 1), np.uint8), "label": rng.integers(0, 10, 500, np.int32)}
    return data.ArraySource(arrays | change)


def test_the_same_examples_are_the_same_wherever_they_are():
    assert data.describe(source()) == data.describe(source())
    assert data.describe(OnHost(source())) == data.describe(source())


def test_others_are_told_apart():
    labels = np.asarray(source().arrays["label"])
    pixels = np.asarray(source().arrays["image"])
    others = [
        source(),
        source(label=labels[::-1]),
        source(image=255 - pixels),
        source(image=pixels.astype(np.float32)),
        data.take(source(), np.arange(499)),
        data.take(source(), np.arange(1)),
    ]
    assert len({data.describe(other) for other in others}) == len(others)


def test_floats_that_another_device_rounds_otherwise_are_no_other_examples():
    features = np.linspace(0, 1, 500, dtype=np.float32)[:, None]
    rounded = np.nextafter(features, np.float32(2))
    assert data.describe(source(image=features)) == data.describe(source(image=rounded))
