"""Reads the TFRecords of TensorFlow Datasets, whose images are in PNG format, into memory.

Names: `NAME-SPLIT.tfrecord-00000-of-00001`, in a folder `NAME/VERSION` (https://www.tensorflow.org/datasets).
"""

import itertools
import math
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import check_size
from input_data.formats.pictures import decode
from input_data.formats.records import Records, shards


def locate(folder: Path, name: str, split_name: str) -> list[Path]:
    """Returns the files of a split in a folder, or in `NAME/VERSION` or `VERSION` below it; empty if there are none.

    Args:
        folder: the folder.
        name: the data set's name.
        split_name: "train" or "test".

    Raises:
        DataError: some of the files are missing.
    """
    versions = (sorted(folder.glob(pattern), reverse=True) for pattern in (f"{name}/*", "*.*.*"))  # the newest first
    for place in (folder, *itertools.chain(*versions)):
        first = min(place.glob(f"{name}-{split_name}.tfrecord-00000-of-[0-9][0-9][0-9][0-9][0-9]"), default=None)
        if first is not None:
            return shards(str(place / f"{name}-{split_name}.tfrecord@{int(first.name[-5:])}"))
    return []


def read(
    paths: list[Path],
    shape: tuple[int, int, int],
    images: tuple[str, ...] = ("image",),
    numbers: tuple[str, ...] = ("label",),
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all examples of some files.

    Args:
        paths: the files.
        shape: (rows, columns, depth) that every picture must have.
        images: names of the features with a picture.
        numbers: names of the features with a number.

    Returns:
        Pictures, uint8 [n, len(images), *shape], and numbers, int64 [n, len(numbers)].

    Raises:
        DataError: a record is damaged, lacks a feature or has a picture of another size; the message names it.
    """
    records = Records(paths)
    check_size(paths[0], len(records) * len(images) * math.prod(shape))
    pixels = np.empty((len(records), len(images), *shape), np.uint8)
    values = np.empty((len(records), len(numbers)), np.int64)
    for block in records.blocks():
        parsed = records.parse(block, dict.fromkeys(images, 0) | dict.fromkeys(numbers, 1))
        for column, name in enumerate(numbers):
            values[block, column] = parsed[name][:, 0]
        for column, name in enumerate(images):
            for index, content in zip(block.tolist(), parsed[name], strict=True):
                pixels[index, column] = _picture(content, shape, records.place(index))
    return pixels, values


def _picture(content: bytes, shape: tuple[int, int, int], where: str) -> np.ndarray:
    try:
        picture = decode(content)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if picture.shape != shape:
        raise DataError(f"{where}: a picture should be {shape}. Received {picture.shape}.")
    return picture
