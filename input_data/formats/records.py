"""Reads TFRecord files in any order from memory-mapped files, parses them in batches, and writes them in blocks.

All records of a file have one length, as those of 2017 and of the TensorFlow models have, so that a file is a matrix of
bytes: opening it reads a few of them, and it may be larger than memory. The checksum of each record is verified
whenever it is read, as in 2017.
"""

import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import google_crc32c
import numpy as np

from input_data.batches import prefetch
from input_data.dataset import DataError, Split
from input_data.formats.files import GZIPPED, atomic_write, read_bytes
from input_data.progress import Progress

HEADER, FOOTER = 12, 4  # bytes: length and its checksum before the payload, the payload's checksum after it
_BLOCK = 1000  # records that are parsed at a time
_SUMMED = 2_000_000  # of more records, the checksum takes a sample: MultiMNIST's 60 million fill 245 GB
Features = dict[str, int | tuple[int, ...]]  # names with a number k for int64 [n, k], or a shape for uint8 [n, *shape]


def shards(name: str) -> list[Path]:
    """Returns the files that a name stands for: an existing file, or for `NAME@N` NAME-00000-of-0000N and so on."""
    path, paths = Path(name), [Path(name)]
    if (sharded := re.fullmatch("(.+)@([0-9]{1,5})", path.name)) and not path.is_file():
        base, count = sharded[1], int(sharded[2])
        paths = [path.with_name(f"{base}-{index:05}-of-{count:05}") for index in range(count)]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        what = f"{(missing or [path])[0]} does not exist ({len(missing)} of {len(paths)} file(s) of {name} are missing)"
        raise DataError(f"{what}. NAME@N stands for N files NAME-00000-of-0000N, up to 99,999.")
    return paths


def checksums(payloads: Iterable) -> np.ndarray:
    """The checksum of each payload, bytes or a row of uint8, in TFRecords: CRC32C, rotated and offset; uint32 [n]."""
    crc = np.fromiter(map(google_crc32c.value, payloads), np.uint32)
    return (crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)


class Records(Split):
    """The serialized examples of some TFRecord files as one sequence; damage raises DataError naming the record."""

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self._files = [_records(path) for path in paths]
        self._first = np.cumsum([0, *map(len, self._files)])  # number of each file's first record

    def __len__(self):
        return int(self._first[-1])

    def _places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of each record's file, and its number within it."""
        files = np.searchsorted(self._first, indices, side="right") - 1
        return files, indices - self._first[files]

    def place(self, index: int) -> str:
        """Returns the file of a record and its number within it, for messages."""
        file, number = self._places(index)
        return f"{self.paths[file]}, record {number}"

    def _serialized(self, indices: np.ndarray) -> list[bytes]:
        """The payloads at `indices`, each of which fits its checksum."""
        records = [self._files[file][number] for file, number in zip(*self._places(indices), strict=True)]
        payloads = [record[HEADER:-FOOTER].tobytes() for record in records]
        stored = np.concatenate([record[-FOOTER:] for record in records]).view("<u4")
        wrong = np.flatnonzero(checksums(payloads) != stored)
        if wrong.size:
            raise DataError(f"{self.place(indices[wrong[0]])} is damaged: it does not match its checksum.")
        return payloads

    def checksum(self):
        """A checksum of the payloads' checksums in the files; of millions of records, of an even sample of them."""
        step = 1 if len(self) <= _SUMMED else _BLOCK * -(-len(self) // _SUMMED)
        parts = zip(self._files, self._first[:-1].tolist(), strict=True)
        total = zlib.crc32(b"".join(file[-first % step :: step, -FOOTER:].tobytes() for file, first in parts))
        return total if step == 1 else zlib.crc32(b"%d" % len(self), total)

    def parse(self, features: Features, indices: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Returns features of all records, or of those at `indices`."""
        import tensorflow as tf  # only here, so that the other formats read without TensorFlow

        indices = np.arange(len(self)) if indices is None else indices
        if len(indices) > _BLOCK:
            parts = [self.parse(features, block) for block in np.array_split(indices, -(-len(indices) // _BLOCK))]
            return {name: np.concatenate([part[name] for part in parts]) for name in features}
        pixels = {name: kind for name, kind in features.items() if isinstance(kind, tuple)}
        spec = {name: tf.io.FixedLenFeature([features[name]], tf.int64) for name in features.keys() - pixels.keys()}
        spec |= dict.fromkeys(pixels, tf.io.FixedLenFeature([], tf.string))
        serialized = self._serialized(indices)
        try:
            with tf.device("CPU:0"):
                found = tf.io.parse_example(serialized, spec)
                for name, shape in pixels.items():
                    found[name] = tf.reshape(tf.io.decode_raw(found[name], tf.uint8), [len(indices), *shape])
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, UnicodeDecodeError):  # it words some in UTF-8
            for index in indices if len(indices) > 1 else ():  # find the one to name
                self.parse(features, np.array([index]))
            names = ", ".join(f"{name} of shape {kind}" if kind != 1 else name for name, kind in features.items())
            raise DataError(f"{self.place(indices[0])} does not hold the features {names}, or is damaged.") from None
        return {name: found[name].numpy() for name in features}


def _records(path: Path) -> np.ndarray:
    """The records of a file, uint8 [records, bytes]; DataError unless records of the first one's length fill it."""
    if not path.stat().st_size:
        raise DataError(f"{path} holds no records.")
    content = np.asarray(np.memmap(path, np.uint8, "r"))
    if content[:2].tobytes() == GZIPPED:
        content = np.frombuffer(read_bytes(path), np.uint8)
    length = content[:8].tobytes()
    if content[8:HEADER].tobytes() != checksums([length]).tobytes():
        raise DataError(f"{path} is not a TFRecord file or is damaged in record 0.")
    size = HEADER + int.from_bytes(length, "little") + FOOTER
    count, rest = divmod(content.size, size)
    if rest:
        should = f"all records should have the {size:,} bytes of the first"
        raise DataError(f"{path} is cut short or damaged in record {count}: {should}. Copy or generate it again.")
    return content.reshape(count, size)


def _seal(frames: np.ndarray) -> np.ndarray:
    """Writes the payloads' checksums into the frames [n, bytes] and returns the frames."""
    frames[:, -FOOTER:] = checksums(frames[:, HEADER:-FOOTER]).view(np.uint8).reshape(-1, FOOTER)
    return frames


def write(paths: list[Path], total: int, size: int, blocks: Iterator[np.ndarray], seed: int, overwrite: bool) -> None:
    """Writes records to files of equal size, each record to a random file; the files appear when all are complete.

    Blocks are made and checksummed in one thread and written in another. There are `total` records in `blocks`, which
    are frames, uint8 [n, size], without checksums of their payloads. The bytes are those of TensorFlow's writer. An
    existing file without `overwrite`, or a disk with too little space, is a DataError.
    """
    if not overwrite and (existing := [path for path in paths if path.exists()]):
        raise DataError(f"{existing[0]} exists. Move it away, or add --overwrite to replace it.")
    needed, free = total * size / 1e6, shutil.disk_usage(paths[0].parent).free / 1e6
    if needed > free:
        raise DataError(f"{paths[0].parent} needs {needed:,.1f} MB of free space and has {free:,.1f} MB.")
    choice = np.arange(total, dtype=np.uint32) % len(paths)
    if len(paths) > 1:
        np.random.default_rng([seed, 2]).shuffle(choice)
    done = 0
    with atomic_write(*paths) as drafts, ExitStack() as stack, Progress(total, "example") as progress:
        files = [stack.enter_context(draft.open("wb")) for draft in drafts]
        for frames in prefetch(map(_seal, blocks)):
            own = choice[done : done + len(frames)]
            order = np.argsort(own, kind="stable") if len(files) > 1 else slice(None)  # in a file, as they came
            frames, bounds = frames[order], np.searchsorted(own[order], np.arange(len(files) + 1))
            for file, start, end in zip(files, bounds[:-1], bounds[1:], strict=True):
                file.write(frames[start:end])
            done += len(frames)
            progress.update(done)
