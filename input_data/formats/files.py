"""Writes files completely or not at all, and finds and reads files that may be gzipped."""

import glob
import gzip
import math
import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from input_data.dataset import DataError, unfit

_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
GZIPPED = b"\x1f\x8b"  # the first bytes of a gzipped file


def find(folder: Path, name: str) -> Path | None:
    """Returns the file with a name in a folder, plain or with the ending `.gz`; None if there is neither."""
    names = dict.fromkeys((name, name.replace("-idx", ".idx")))  # some copies are called …images.idx3-ubyte
    return next((path for each in names for path in (folder / each, folder / f"{each}.gz") if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzipped; raises DataError if a gzipped file is damaged."""
    content = path.read_bytes()
    if not content.startswith(GZIPPED):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged ({error}). Fetch it again.") from None


def matrix(path: Path, magic: bytes, order: str, dtype: str, shape: tuple, least: int = 0) -> np.ndarray:
    """The array in a file (also gzipped) of a magic number, sizes of 32 bits, at least `least` of them, and values.

    DataError: magic number, shape (where None is any size) or length are others. `order` is that of the sizes' bytes.
    """
    content, start = read_bytes(path), len(magic) + 4 * max(least, len(shape))
    sizes = np.frombuffer(content[len(magic) : start].ljust(start - len(magic), b"\0"), f"{order}u4")
    actual = tuple(sizes[: len(shape)].tolist())
    fits = all(size in (None, got) for size, got in zip(shape, actual, strict=True))
    if (begins := content[: len(magic)]) != magic or not fits:
        should = f"begin with {magic.hex(' ')} and have {len(shape)} dimension(s) of the sizes {shape} (None: any)"
        raise unfit(path, should, f"{begins.hex(' ') or 'an empty file'} and {actual}", "Fetch it again.")
    expected = start + math.prod(actual) * np.dtype(dtype).itemsize
    if len(content) != expected:
        should = f"hold {expected:,} bytes, as its header says"
        raise unfit(path, should, f"{len(content):,}", "It is cut short or damaged: fetch it again.")
    return np.frombuffer(content, dtype, offset=start).reshape(actual)


@contextmanager
def atomic_write(*paths: Path) -> Iterator[list[Path]]:
    """Yields temporary paths to write to, which become `paths` when the block ends; an error leaves `paths` untouched.

    A process that is killed leaves its temporary files behind; the next `atomic_write` to the same paths on the same
    machine removes them. Several files are replaced one by one, after all old ones are removed, so old and new files
    are never mixed.
    """
    paths = tuple(Path(path).resolve() for path in paths)  # a symbolic link is kept, and its target is replaced
    drafts = []
    for path in paths:
        prefix = f".{path.name[-40:]}.{_HOST}."  # names may have 255 bytes; the end of a name distinguishes shards
        drafts.append(path.with_name(f"{prefix}{os.getpid()}"))
        for draft in path.parent.glob(f"{glob.escape(prefix)}*"):
            try:
                os.kill(int(draft.name.removeprefix(prefix)), 0)  # does it run?
            except OSError as error:
                if isinstance(error, ProcessLookupError):  # otherwise it runs for another user
                    draft.unlink(missing_ok=True)  # another process may remove it first
    try:
        yield drafts
        if len(paths) > 1:
            for path in paths:
                path.unlink(missing_ok=True)
        for draft, path in zip(drafts, paths, strict=True):
            os.replace(draft, path)
    except OSError as error:
        if error.errno and error.filename is None:  # for example, the disk is full: names the file
            error.filename = str(paths[0])
        raise
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
