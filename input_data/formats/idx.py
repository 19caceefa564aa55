"""Reads and writes IDX files, the format of MNIST and its relatives, plain or gzipped.

Format: http://yann.lecun.com/exdb/mnist/ — two zero bytes, a type, the number of dimensions, each dimension as a
big-endian 32-bit number, then the values.
"""

import gzip
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import find, matrix


def read(path: Path, dimensions: int) -> np.ndarray:
    """Returns the uint8 array in an IDX file, `.gz` or plain; DataError if type, dimensions or length are others."""
    return matrix(path, bytes([0, 0, 8, dimensions]), ">", "u1", (None,) * dimensions)


def write(path: Path, array: np.ndarray) -> None:
    """Writes a uint8 array as gzipped IDX; the same array always gives the same bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + np.ascontiguousarray(array).tobytes(), compresslevel=9, mtime=0))


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] and labels [n] of MNIST's files for "train" or "test".

    `name` may also be that of any file of images, such as `emnist-letters-train-images-idx3-ubyte`.
    """
    name = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}.get(name, name)
    names = name, name.replace("images-idx3", "labels-idx1")
    images, labels = (find(folder, each) for each in names)
    if images is None or labels is None:
        raise DataError(f"{folder} lacks {names[0] if images is None else names[1]}[.gz].")
    return read(images, 3), read(labels, 1)
