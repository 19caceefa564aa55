"""Reads and writes IDX files, the format of MNIST and its relatives, gzipped or not.

Format: http://yann.lecun.com/exdb/mnist/ — two zero bytes, a type (8: uint8), the number of dimensions,
each dimension as a big-endian 32-bit number, then the values.
"""

import gzip
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import unpacked

_PREFIX = {"train": "train", "test": "t10k"}
_SUFFIXES = ("-images-idx3-ubyte", "-labels-idx1-ubyte")


def read(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array in an IDX file, `.gz` or plain.

    Args:
        path: the file.
        dimensions: how many it must have: 3 for images, 1 for labels.

    Raises:
        DataError: a wrong magic number or number of dimensions, or a length that does not fit them.
    """
    content = unpacked(path)
    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"{path} is not an IDX file of {dimensions} dimension(s): it should begin with {magic.hex(' ')}. "
            f"Received {content[:4].hex(' ') or 'an empty file'}."
        )
    header = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(content[4:header].ljust(4 * dimensions, b"\0"), ">u4"))
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        raise DataError(f"{path} should hold {shape}: {expected} bytes. Received {len(content)}. Fetch it again.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def write(path: Path, array: np.ndarray) -> None:
    """Writes a uint8 array as gzipped IDX, the same bytes for the same array."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + np.ascontiguousarray(array).tobytes(), compresslevel=9, mtime=0))


def find(folder: Path, part: str) -> tuple[Path, Path] | None:
    """The images' and the labels' file of a part ("train" or "test") in a folder; None where neither is there."""
    found = [_find(folder, _PREFIX[part] + suffix) for suffix in _SUFFIXES]
    if not any(found):
        return None
    for path, suffix in zip(found, _SUFFIXES, strict=True):
        if path is None:
            raise DataError(f"{folder} has one half of its {part} files: {_PREFIX[part]}{suffix}[.gz] is missing.")
    return found[0], found[1]


def _find(folder: Path, name: str) -> Path | None:
    names = (name, name.replace("-idx", ".idx"))  # some copies write train-images.idx3-ubyte
    return next((p for n in names for p in (folder / n, folder / f"{n}.gz") if p.is_file()), None)


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, rows, columns] and labels uint8 [n] of "train" or "test".

    Raises:
        DataError: files that are missing, damaged, or disagree in their number of examples.
    """
    paths = find(folder, part)
    if paths is None:
        raise DataError(f"{folder} has no {_PREFIX[part]}-images-idx3-ubyte[.gz].")
    images, labels = read(paths[0], 3), read(paths[1], 1)
    if len(images) != len(labels):
        raise DataError(f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels.")
    if not len(images):
        raise DataError(f"{paths[0]} holds no images.")
    return images, labels
