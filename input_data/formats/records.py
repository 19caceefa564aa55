"""Reads TFRecord files in any order, by an index of offsets into memory-mapped files, and parses them in batches.

The index takes 16 bytes per record, so files may be larger than memory. The checksum of each record is verified
whenever it is read, as TensorFlow's reader did in 2017.
"""

import math
import mmap
import os
import re
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from input_data.dataset import DataError, Split, check_labels
from input_data.formats.files import read_limited

HEADER, FOOTER = 12, 4  # bytes: length and its checksum before the payload, the payload's checksum after it
MOST_FILES = 99_999  # NAME-00000-of-00005 has five digits
_SIZES = ("height", "width", "depth")
_BLOCK = 1000  # records that are verified at a time


def shards(name: str) -> list[Path]:
    """Returns the files that a name stands for: an existing file, or for `NAME@N` NAME-00000-of-0000N and so on.

    Raises:
        DataError: `@N` is malformed, or files are missing.
    """
    path = Path(name)
    base, at, count = path.name.rpartition("@")
    if not at or os.path.isfile(path):
        paths = [path]
    elif not re.fullmatch("[0-9]{1,5}", count) or int(count) < 1:
        raise DataError(f"{name}: NAME@N takes the number of files N, from 1 to {MOST_FILES:,}. Received: {count[:20]}")
    else:
        paths = [path.with_name(f"{base}-{index:05}-of-{int(count):05}") for index in range(int(count))]
    missing = [str(path) for path in paths if not os.path.isfile(path)]
    if missing:
        raise DataError(f"{missing[0]} does not exist ({len(missing)} of {len(paths)} file(s) of {name} are missing).")
    return paths


def plain_or_packed(folder: Path, name: str) -> Path | None:
    """Returns the file with a name in a folder, plain or with the ending `.gz`; None if there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def checksums(payloads: Iterable) -> np.ndarray:
    """Returns the checksum of each payload as in TFRecord files: its CRC32C, rotated and offset; uint32 [n].

    Args:
        payloads: bytes, or rows of uint8.
    """
    try:
        import google_crc32c  # only here, so that the other formats read without it
    except ImportError:
        raise DataError("The checksums of TFRecords need google-crc32c: pip install google-crc32c") from None

    crc = np.fromiter(map(google_crc32c.value, payloads), np.uint32)
    return (crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)


class Records:
    """The serialized examples of some TFRecord files as one sequence."""

    def __init__(self, paths: list[Path]):
        self._maps, offsets, lengths, files = [], [], [], []
        for number, path in enumerate(paths):
            content = _map(path)
            starts, sizes = _scan(path, content)
            if not starts:
                raise DataError(f"{path} holds no records.")
            self._maps.append(content)
            offsets.append(np.frombuffer(starts, np.int64))
            lengths.append(np.frombuffer(sizes, np.uint32))
            files.append(np.full(len(starts), number, np.uint32))
        self.paths = paths
        self._offsets, self._lengths = np.concatenate(offsets), np.concatenate(lengths)
        self._files = np.concatenate(files)

    def __len__(self) -> int:
        return len(self._offsets)

    def place(self, index: int) -> str:
        """Returns the file of a record and its number within it, for messages."""
        file = self._files[index]
        return f"{self.paths[file]}, record {index - int(np.searchsorted(self._files, file))}"

    def serialized(self, indices: np.ndarray) -> list[bytes]:
        """Returns the payloads at `indices`; raises DataError naming the first that does not fit its checksum."""
        maps = [self._maps[file] for file in self._files[indices].tolist()]
        starts = self._offsets[indices]
        ends = starts + self._lengths[indices]
        spans = list(zip(maps, starts.tolist(), ends.tolist(), strict=True))
        payloads = [content[start:end] for content, start, end in spans]
        stored = np.frombuffer(b"".join([content[end : end + FOOTER] for content, _, end in spans]), "<u4")
        wrong = np.flatnonzero(checksums(payloads) != stored)
        if wrong.size:
            raise DataError(f"{self.place(int(indices[wrong[0]]))} is damaged: it does not match its checksum.")
        return payloads

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the indices of all records in blocks."""
        yield from np.array_split(np.arange(len(self)), -(-len(self) // _BLOCK))

    def verify(self) -> None:
        """Reads every record; raises DataError naming the first that does not fit its checksum."""
        for block in self.blocks():
            self.serialized(block)

    def checksum(self) -> int:
        """A checksum of the payloads' checksums in the files."""
        total = 0
        for block in self.blocks():
            files, ends = self._files[block].tolist(), (self._offsets[block] + self._lengths[block]).tolist()
            stored = [self._maps[file][end : end + FOOTER] for file, end in zip(files, ends, strict=True)]
            total = zlib.crc32(b"".join(stored), total)
        return total

    def parse(self, indices: np.ndarray, features: dict[str, Any]) -> dict[str, np.ndarray]:
        """Returns the features of the records at `indices`.

        Args:
            indices: int [n].
            features: the length of each feature by name: 0 for bytes, n for n int64 values.

        Raises:
            DataError: a record lacks one of these features or does not match its checksum; the message names it.
        """
        import tensorflow as tf  # only here, so that the other formats read without TensorFlow

        spec = {
            name: tf.io.FixedLenFeature([], tf.string) if size == 0 else tf.io.FixedLenFeature([size], tf.int64)
            for name, size in features.items()
        }
        serialized = self.serialized(indices)
        try:
            with tf.device("CPU:0"):
                parsed = tf.io.parse_example(serialized, spec)
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError):
            if len(indices) > 1:
                for index in indices:  # find the one to name
                    self.parse(np.array([index]), features)
            raise DataError(
                f"{self.place(int(indices[0]))} does not hold the features {', '.join(features)} or is damaged."
            ) from None
        return {name: value.numpy() for name, value in parsed.items()}

    def image_shape(self) -> tuple[int, int, int]:
        """Returns (rows, columns, depth) of the images, from the first record."""
        first = self.parse(np.array([0]), dict.fromkeys(_SIZES, 1))
        rows, columns, depth = (int(first[name][0, 0]) for name in _SIZES)
        return rows, columns, depth

    def examples(
        self,
        indices: np.ndarray,
        shape: tuple[int, int, int],
        num_classes: int,
        images: tuple[str, ...] = ("image_raw",),
        labels: tuple[str, ...] = ("label",),
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Returns images and labels of the records at `indices`, in the format of 2017; each record is checked.

        Args:
            indices: int [n].
            shape: (height, width, depth) that every record must have.
            num_classes: number of classes.
            images: names of the features with an image.
            labels: names of the features with a label.

        Returns:
            A list with the raw bytes for each of `images`, uint8 [n, height·width·depth]; and the labels, int32
            [n, len(labels)].

        Raises:
            DataError: a record is damaged or has another shape or class; the message names the first.
        """
        parsed = self.parse(indices, dict.fromkeys(images, 0) | dict.fromkeys((*labels, *_SIZES), 1))
        sizes = np.concatenate([parsed[name] for name in _SIZES], axis=1)
        wrong = np.flatnonzero((sizes != shape).any(axis=1))
        if wrong.size:
            raise DataError(
                f"{self.place(int(indices[wrong[0]]))}: height, width and depth should be {shape}. "
                f"Received {tuple(sizes[wrong[0]].tolist())}."
            )
        numbers = np.concatenate([parsed[name] for name in labels], axis=1)
        outside = np.flatnonzero(((numbers < 0) | (numbers >= num_classes)).any(axis=1))
        if outside.size:
            check_labels(numbers[outside[0]], num_classes, self.place(int(indices[outside[0]])))
        return [self.pixels(parsed[name], indices, shape) for name in images], numbers.astype(np.int32)

    def pixels(self, values: np.ndarray, indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Returns the raw bytes of a feature as uint8 [n, size of shape]; DataError if a record has another size."""
        size = math.prod(shape)
        wrong = next((i for i, value in enumerate(values) if len(value) != size), None)
        if wrong is not None:
            raise DataError(
                f"{self.place(int(indices[wrong]))}: an image of {shape} has {size} bytes. "
                f"Received {len(values[wrong])}."
            )
        return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), size)


class RecordSplit(Split):
    """A split whose examples are records."""

    def __init__(self, paths: list[Path]):
        self.records = Records(paths)

    def __len__(self):
        return len(self.records)

    def checksum(self):
        return self.records.checksum()

    def verify(self):
        self.records.verify()


def _map(path: Path):
    """Returns the content of a file: mapped, or unpacked in memory if it is gzipped."""
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return read_limited(path)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _scan(path: Path, content) -> tuple[array, array]:
    """Returns offsets and lengths of the payloads in a file.

    Raises:
        DataError: the file is cut short, or a length does not match its checksum.
    """
    starts, sizes, position, end = array("q"), array("I"), 0, len(content)
    unpack = struct.Struct("<Q").unpack
    valid = set()  # headers that match their checksum: most files have records of only a few lengths
    while position < end:
        header = content[position : position + HEADER]
        if len(header) < HEADER:
            raise DataError(f"{path} is cut short or damaged in record {len(starts)}. Copy or generate it again.")
        if header not in valid:
            if int(checksums([header[:8]])[0]) != int.from_bytes(header[8:], "little"):
                raise DataError(f"{path} is not a TFRecord file or is damaged in record {len(starts)}.")
            valid.add(header)
        (size,) = unpack(header[:8])
        if size >= 2**32 or position + HEADER + size + FOOTER > end:
            raise DataError(f"{path} is cut short or damaged in record {len(starts)}. Copy or generate it again.")
        starts.append(position + HEADER)
        sizes.append(size)
        position += HEADER + size + FOOTER
    return starts, sizes
