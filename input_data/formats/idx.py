"""Reads and writes IDX files, the format of MNIST and its relatives, plain or gzipped.

Format: http://yann.lecun.com/exdb/mnist/ — two zero bytes, a type, the number of dimensions, each dimension as a
big-endian 32-bit number, then the values.
"""

import gzip
import math
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import read_sized

_TYPES = {np.dtype("u1"): 0x08, np.dtype(">i4"): 0x0C}


def read(path: Path, dimensions: int, dtype: str = "u1") -> np.ndarray:
    """Returns the array in an IDX file, `.gz` or plain.

    Args:
        path: the file.
        dimensions: the number of dimensions that it must have: 3 for images, 1 for labels.
        dtype: the type that the values must have: "u1" or ">i4".

    Raises:
        DataError: the type, the number of dimensions or the length is wrong, or the length exceeds the limit.
    """
    magic = bytes([0, 0, _TYPES[np.dtype(dtype)], dimensions])
    header = 4 + 4 * dimensions
    shape: tuple[int, ...] = ()

    def length(head: bytes) -> int:
        nonlocal shape
        if head[:4] != magic:
            raise DataError(
                f"{path} is not an IDX file of {dimensions} dimension(s): it should begin with {magic.hex(' ')}. "
                f"Received {head[:4].hex(' ') or 'an empty file'}."
            )
        shape = tuple(int(size) for size in np.frombuffer(head[4:].ljust(4 * dimensions, b"\0"), ">u4"))
        return header + math.prod(shape) * np.dtype(dtype).itemsize

    content = read_sized(path, header, length)
    return np.frombuffer(content, dtype, offset=header).reshape(shape)


def write(path: Path, array: np.ndarray) -> None:
    """Writes a uint8 array as gzipped IDX; the same array always gives the same bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + np.ascontiguousarray(array).tobytes(), compresslevel=9, mtime=0))


def locate(folder: Path, name: str) -> Path | None:
    """Returns the file with a name such as `train-images-idx3-ubyte`, plain or `.gz`; None if there is neither."""
    names = (name, name.replace("-idx", ".idx"))  # some copies are called train-images.idx3-ubyte
    return next((path for n in names for path in (folder / n, folder / f"{n}.gz") if path.is_file()), None)


def needed(folder: Path, images_name: str, labels_name: str) -> tuple[Path, Path]:
    """Returns the files with two names; raises DataError if the folder lacks one."""
    images, labels = locate(folder, images_name), locate(folder, labels_name)
    if images is None or labels is None:
        raise DataError(f"{folder} lacks {images_name if images is None else labels_name}[.gz].")
    return images, labels


def load(folder: Path, split_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] and labels uint8 [n] of MNIST's files for "train" or "test".

    Raises:
        DataError: files are missing, damaged, or differ in their number of examples.
    """
    prefix = {"train": "train", "test": "t10k"}[split_name]
    return pair(*needed(folder, f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"))


def pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] and labels uint8 [n] of two files.

    Raises:
        DataError: files are damaged, empty, or differ in their number of examples.
    """
    images, labels = read(images_path, 3), read(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels.")
    if not images.size:
        raise DataError(f"{images_path} holds no images.")
    return images, labels
