"""Writes Fashion-MNIST for TensorFlow Datasets, in ArrayRecord files: what data.tfds("fashion_mnist") reads.

    .venv/bin/python scripts/prepare_fashion_mnist.py [--directory IDX_FOLDER] [--data-dir DIR]

Neither TensorFlow nor a network is needed: the images come from Debian's package dataset-fashion-mnist, or from any
folder that holds the four IDX files.
"""

import argparse
import sys

from lec7.data import prepare_fashion_mnist
from lec7.errors import InputError

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--directory", help="folder of the IDX files; by default that of Debian's package")
parser.add_argument("--data-dir", help="where data sets are; by default TFDS's own, ~/tensorflow_datasets")
given = parser.parse_args()
try:
    folder = prepare_fashion_mnist(given.directory, given.data_dir)
except InputError as error:
    sys.exit(str(error))
root = folder.parents[1]
print(f"""Fashion-MNIST is in {folder}:
    data.tfds("fashion_mnist", split="train[:90%]", data_dir={str(root)!r})
    lec7 run experiments/fashion.py --data tfds --directory {root}""")
