"""Reads the checkpoint files of TensorFlow (V2 bundles), trusting no size and no number in them.

TensorFlow's own reader takes a file name for a glob pattern, and a damaged index can crash the process.

`PREFIX.index` is a LevelDB table: blocks of sorted keys and values with checksums. The end of the file points to the
block that lists the others. A key is a variable's name, and its value gives the type, the shape and the position in the
files `PREFIX.data-SHARD-of-SHARDS`. The empty key has the number of shards.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

from input_data.formats.records import checksums

INDEX = ".index"
_LARGEST_INDEX = 1 << 24  # bytes; ours have a few kilobytes
_LONGEST_NAME = 1024  # bytes
_FOOTER = 48  # bytes: two handles, padded, and a magic number
_MAGIC = 0xDB4775248B80FB57
_TRAILER = 5  # bytes after a block: kind of compression and checksum


class CheckpointError(ValueError):
    """A checkpoint that cannot be used or written."""


class MissingCheckpoint(CheckpointError):
    """There is no such checkpoint; the training job that wrote it may have deleted it since."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that is cut short, corrupted, or has values that training never writes."""


@dataclass(frozen=True)
class Entry:
    """A variable in a bundle.

    Attributes:
        dtype: its NumPy type; None if it holds no numbers or is stored in slices.
        shape: its shape.
        path: the file.
        offset, size: position and length in the file, in bytes.
        checksum: checksum of these bytes.
    """

    dtype: np.dtype | None
    shape: tuple[int, ...]
    path: Path
    offset: int
    size: int
    checksum: int


class Bundle:
    """The variables of a checkpoint.

    Args:
        prefix: the path of its files without their endings.

    Attributes:
        entries: each variable's `Entry` by its name.

    Raises:
        MissingCheckpoint: there is no such checkpoint.
        DamagedCheckpoint: it is cut short or damaged.
    """

    def __init__(self, prefix: str):
        self.prefix = str(prefix)
        try:
            content = self._read_file(Path(self.prefix + INDEX), 0, None)
        except FileNotFoundError:
            raise MissingCheckpoint(
                f"There is no checkpoint {self.prefix} ({self.prefix}{INDEX} does not exist)."
            ) from None
        try:
            self.entries = self._parse(content)
        except (DecodeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
            raise self.damaged(f"its index is damaged ({error})") from None

    def damaged(self, reason: str) -> DamagedCheckpoint:
        """The error for a damaged checkpoint."""
        return DamagedCheckpoint(f"The checkpoint {self.prefix} is cut short or damaged: {reason}.")

    def read(self, name: str) -> np.ndarray:
        """A variable's value.

        Raises:
            DamagedCheckpoint: its checksum or size is wrong, or its file is missing or too short.
            MissingCheckpoint: the files have been deleted.
        """
        entry = self.entries[name]
        if entry.dtype is None:
            raise self.damaged(f"{name} holds no numbers or is stored in slices")
        if entry.size != math.prod(entry.shape) * entry.dtype.itemsize:
            raise self.damaged(f"{name} of shape {list(entry.shape)} should not have {entry.size} bytes")
        try:
            content = self._read_file(entry.path, entry.offset, entry.size)
        except FileNotFoundError:
            if Path(self.prefix + INDEX).exists():
                raise self.damaged(f"{entry.path.name} does not exist") from None
            raise MissingCheckpoint(f"The checkpoint {self.prefix} was deleted while it was read.") from None
        if checksums([content])[0] != entry.checksum:
            raise self.damaged(f"{name} does not fit its checksum")
        return np.frombuffer(content, entry.dtype).reshape(entry.shape)

    def _read_file(self, path: Path, offset: int, size: int | None) -> bytes:
        """`size` bytes of a file from `offset`; with None the whole file, which must be an index."""
        try:
            with path.open("rb") as file:
                end = file.seek(0, 2)
                if size is None:
                    size = end
                    if size > _LARGEST_INDEX:
                        raise self.damaged(f"an index of {size:,} bytes is larger than any")
                if not 0 <= offset <= offset + size <= end:
                    raise self.damaged(
                        f"{path.name} has {end:,} bytes and should have {size:,} from byte {offset:,} on"
                    )
                file.seek(offset)
                return file.read(size)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            raise self.damaged(f"{path.name} cannot be read ({error.strerror})") from None

    def _parse(self, content: bytes) -> dict[str, Entry]:
        footer = content[-_FOOTER:]
        if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
            raise ValueError("its end is missing")
        place = _skip_varints(footer, 0, 2)  # the handle of the table's own facts, of which there are none
        header, entries, before = None, {}, b""
        for _, handle in _entries(_block(content, footer[place:])):
            for key, value in _entries(_block(content, handle)):
                if header is None and key == b"":
                    header = BundleHeaderProto.FromString(value)
                    if header.endianness != BundleHeaderProto.LITTLE or not 0 < header.num_shards < 100_000:
                        raise ValueError("its header is of another kind")
                    continue
                if header is None or key <= before:
                    raise ValueError("its names are not in order")
                entries[key.decode()] = self._entry(BundleEntryProto.FromString(value), header.num_shards)
                before = key
        if header is None:
            raise ValueError("its header is missing")
        return entries

    def _entry(self, proto: BundleEntryProto, shards: int) -> Entry:
        if proto.shape.unknown_rank or any(dimension.size < 0 for dimension in proto.shape.dim):
            raise ValueError("a shape is not whole")
        if not 0 <= proto.shard_id < shards:
            raise ValueError(f"shard {proto.shard_id} of {shards}")
        dtype = np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype)
        return Entry(
            None if dtype.hasobject or proto.slices else dtype,
            tuple(dimension.size for dimension in proto.shape.dim),
            Path(f"{self.prefix}.data-{proto.shard_id:05}-of-{shards:05}"),
            proto.offset,
            proto.size,
            proto.crc32c,
        )


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number stored in seven bits per byte, low bits first, and the position after it."""
    number = 0
    for shift in range(0, 64, 7):
        byte = content[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError("a number is too long")


def _skip_varints(content: bytes, place: int, count: int) -> int:
    for _ in range(count):
        _, place = _varint(content, place)
    return place


def _block(content: bytes, handle: bytes) -> bytes:
    """The block at a handle, which is its offset and size."""
    offset, place = _varint(handle, 0)
    size, _ = _varint(handle, place)
    end = offset + size
    if end + _TRAILER > len(content):
        raise ValueError("a block lies outside")
    kind, stored = struct.unpack_from("<BI", content, end)
    if checksums([content[offset : end + 1]])[0] != stored:
        raise ValueError("a block does not fit its checksum")
    if kind:
        raise ValueError("a block is compressed, which TensorFlow's are not")
    return content[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; a key shares its first bytes with the key before it."""
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 * (restarts + 1)
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or shared + own > _LONGEST_NAME or place + own + length > end:
            raise ValueError("a name or value lies outside its block")
        key = key[:shared] + block[place : place + own]
        place += own + length
        yield key, block[place - length : place]
