"""Examples of a source on the device, as one that is read on the host."""

import time

import numpy as np

from lec7.errors import InputError


class OnHost:
    """Gives a dict of NumPy arrays for an array of indices, and keeps account of how many rows were asked for.

    Args:
        source: whose examples they are.
        seconds: how long each reading takes.
        broken: an example that can't be read.
    """

    def __init__(self, source, seconds=0.0, broken=None):
        self.arrays = {name: np.asarray(array) for name, array in source.arrays.items()}
        self.seconds, self.broken, self.rows = seconds, broken, []

    def __len__(self):
        return len(self.arrays["label"])

    def __getitem__(self, indices):
        time.sleep(self.seconds)
        if self.broken in np.asarray(indices):
            raise InputError(f"cat{self.broken}.jpg can't be read")
        self.rows.append(len(indices))
        return {name: array[indices] for name, array in self.arrays.items()}
