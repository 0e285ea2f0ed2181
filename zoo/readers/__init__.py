"""Read data sets from the formats that users have, one file a format; what does not fit into memory stays in its files."""

from zoo.readers.cifar10 import cifar10_files, read_cifar10
from zoo.readers.common import DATA_VARIABLE, data_root, image_task, statistics
from zoo.readers.digits import digits_file, digits_files, read_digits
from zoo.readers.idx import fashion_files, read_fashion_mnist, read_idx, read_idx_file
from zoo.readers.imagefolder import read_imagefolder
from zoo.readers.npz import read_npz

__all__ = [
    "DATA_VARIABLE",
    "cifar10_files",
    "data_root",
    "digits_file",
    "digits_files",
    "fashion_files",
    "image_task",
    "read_cifar10",
    "read_digits",
    "read_fashion_mnist",
    "read_idx",
    "read_idx_file",
    "read_imagefolder",
    "read_npz",
    "statistics",
]
