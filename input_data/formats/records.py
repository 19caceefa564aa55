"""Random access to TFRecord files: an index of offsets over memory-mapped files, parsed a batch at a time.

Memory stays at 12 bytes a record, so files larger than memory can be read in any order.
"""

import mmap
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from input_data.dataset import DataError, Split

HEADER, FOOTER = 12, 4  # bytes: length and its checksum before the payload, the payload's checksum behind it


def shards(name: str) -> list[Path]:
    """The files that a name stands for: itself, or for `NAME@N` the N files NAME-00000-of-0000N ….

    Raises:
        DataError: a malformed `@N`, or files that are not there.
    """
    base, at, count = str(name).rpartition("@")
    if not at:
        paths = [Path(name)]
    elif not count.isdigit() or int(count) < 1:
        raise DataError(f"{name}: NAME@N takes the number of files N, 1 or more.")
    else:
        paths = [Path(f"{base}-{index:05}-of-{int(count):05}") for index in range(int(count))]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{missing[0]} does not exist ({len(missing)} of {len(paths)} file(s) of {name} are missing).")
    return paths


def checksums(payloads: Iterable) -> np.ndarray:
    """The checksum that TFRecord files keep of each payload: its CRC32C, rotated and offset; uint32 [n].

    Args:
        payloads: bytes, or rows of uint8.
    """
    try:
        import google_crc32c  # only here: reading in random access does without
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
            offsets.append(np.array(starts, np.int64))
            lengths.append(np.array(sizes, np.uint32))
            files.append(np.full(len(starts), number, np.uint16))
        self.paths = paths
        self._offsets, self._lengths, self._files = map(np.concatenate, (offsets, lengths, files))

    def __len__(self) -> int:
        return len(self._offsets)

    def place(self, index: int) -> str:
        """File and number within it of a record, for messages."""
        file = self._files[index]
        return f"{self.paths[file]}, record {index - int(np.searchsorted(self._files, file))}"

    def serialized(self, indices: np.ndarray) -> list[bytes]:
        """The payloads at `indices`."""
        starts = self._offsets[indices]
        return self._pieces(self._files[indices], starts, starts + self._lengths[indices])

    def _pieces(self, files: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[bytes]:
        """A stretch of bytes of each of the files."""
        return [
            self._maps[file][start:end]
            for file, start, end in zip(files.tolist(), starts.tolist(), ends.tolist(), strict=True)
        ]

    def verify(self) -> None:
        """Reads every record; raises DataError naming the first that does not fit its checksums."""
        for block in np.array_split(np.arange(len(self)), -(-len(self) // 1000)):
            files, starts, ends = self._files[block], self._offsets[block], self._offsets[block] + self._lengths[block]
            for first, last, kept in ((starts - HEADER, starts - 4, starts - 4), (starts, ends, ends)):
                stored = np.frombuffer(b"".join(self._pieces(files, kept, kept + FOOTER)), "<u4")
                wrong = np.flatnonzero(checksums(self._pieces(files, first, last)) != stored)
                if wrong.size:
                    raise DataError(f"{self.place(int(block[wrong[0]]))} is damaged: it does not fit its checksum.")

    def parse(self, indices: np.ndarray, features: dict[str, Any]) -> dict[str, np.ndarray]:
        """The features of the records at `indices`.

        Args:
            indices: int [n].
            features: for each name a length: 0 for bytes, n for n int64 values.

        Raises:
            DataError: a record without these features, naming it.
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
        """(rows, columns, depth) of the images, as the first record says."""
        sizes = {"height": 1, "width": 1, "depth": 1}
        first = self.parse(np.array([0]), sizes)
        return tuple(int(first[name][0, 0]) for name in sizes)

    def check_labels(self, labels: np.ndarray, indices: np.ndarray, num_classes: int) -> None:
        """Raises DataError naming the first of the records `indices` whose labels [n, any] are not all of a class."""
        wrong = np.argwhere((labels < 0) | (labels >= num_classes))
        if wrong.size:
            label = labels[tuple(wrong[0])]
            raise DataError(
                f"{self.place(int(indices[wrong[0][0]]))}: label {label} is not 0 to {num_classes - 1}. "
                f"Received {label}: is this another data set?"
            )

    def images(self, values: np.ndarray, indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Raw bytes of a feature as uint8 [n, *shape]; a record of another size raises DataError naming it."""
        size = int(np.prod(shape))
        wrong = next((i for i, value in enumerate(values) if len(value) != size), None)
        if wrong is not None:
            raise DataError(
                f"{self.place(int(indices[wrong]))}: an image of {shape} has {size} bytes. "
                f"Received {len(values[wrong])}."
            )
        return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), *shape)


class RecordSplit(Split):
    """A split whose examples are records."""

    def __init__(self, paths: list[Path]):
        self.records = Records(paths)

    def __len__(self):
        return len(self.records)

    def verify(self):
        self.records.verify()


def _map(path: Path):
    with path.open("rb") as file:
        if not path.stat().st_size:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _scan(path: Path, content) -> tuple[list[int], list[int]]:
    """Offsets and lengths of the payloads in a file; raises DataError where the file is cut short."""
    starts, sizes, position, end = [], [], 0, len(content)
    unpack = struct.Struct("<Q").unpack_from
    while position < end:
        if position + HEADER > end:
            size = end
        else:
            (size,) = unpack(content, position)
        if position + HEADER + size + FOOTER > end:
            raise DataError(f"{path} is cut short or damaged in record {len(starts)}. Copy or generate it again.")
        starts.append(position + HEADER)
        sizes.append(size)
        position += HEADER + size + FOOTER
    return starts, sizes
