"""Writes files completely or not at all, and reads files that may be gzipped, within a limit of size."""

import glob
import gzip
import os
import shutil
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from input_data.dataset import DataError

_DAY = 86_400  # seconds
_BLOCK = 1 << 24  # bytes that are read at a time
_LIMIT_VARIABLE = "INPUT_DATA_LIMIT_GIB"


def size_limit() -> int:
    """Returns the most bytes that a file may take in memory: 4 GiB, or the value of INPUT_DATA_LIMIT_GIB.

    Raises:
        DataError: the variable is not a number above 0.
    """
    return int(limit_of_environment(_LIMIT_VARIABLE, "4", "GiB", 2**20) * 2**30)


def limit_of_environment(variable: str, default: str, unit: str, below: float) -> float:
    """Returns the limit that an environment variable sets, or the default.

    Raises:
        DataError: the variable is not a number above 0 and below `below`.
    """
    text = os.environ.get(variable, default)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < below:
        raise DataError(f"{variable} should be a number of {unit} above 0. Received: {text}")
    return limit


def check_size(path: Path, size: int, what: str = "its content") -> None:
    """Raises DataError if a file would take more than `size_limit()` bytes, before anything is allocated."""
    if size > size_limit():
        raise DataError(
            f"{path}: {what} takes {size / 2**30:,.1f} GiB, more than the limit of {size_limit() / 2**30:g} GiB for "
            f"one file. If the file is what you expect, set {_LIMIT_VARIABLE}={-(-size // 2**30)} in the environment."
        )


def read_sized(path: Path, header: int, length: Callable[[bytes], int]) -> bytearray:
    """The content of a file whose first bytes state its length, unpacked if its name ends in `.gz`.

    Nothing is read or unpacked beyond that length, so a small file cannot fill the memory.

    Args:
        path: the file.
        header: the number of bytes from which the length can be computed.
        length: computes the length in bytes from the first `header` bytes (fewer if the file is shorter).

    Raises:
        DataError: the file has another length than its header states, exceeds the limit, or is a damaged `.gz`.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = bytearray(file.read(header))
            expected = length(bytes(content))
            check_size(path, expected)
            while block := file.read(min(_BLOCK, max(expected + 1 - len(content), 0))):
                content += block
            if len(content) > expected and path.suffix != ".gz":
                size = f"{path.stat().st_size:,}"
            else:
                size = f"{'more' if len(content) > expected else f'{len(content):,}'}"
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged ({error}). Fetch it again.") from None
    if len(content) != expected:
        raise DataError(
            f"{path} should hold {expected:,} bytes, as its header says. Received {size}: it is cut short or damaged. "
            "Fetch it again."
        )
    return content


def read_limited(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzipped.

    Raises:
        DataError: the content exceeds the limit, or the gzip file is damaged.
    """
    check_size(path, path.stat().st_size)
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    unpacked, limit = bytearray(), size_limit()
    try:
        with gzip.open(path) as file:
            while block := file.read(_BLOCK):
                unpacked += block
                if len(unpacked) > limit:
                    check_size(path, len(unpacked), "its unpacked content")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged ({error}). Fetch it again.") from None
    return bytes(unpacked)


def refuse_to_overwrite(paths: list[Path]) -> None:
    """Raises DataError naming the first of the paths that exists."""
    existing = [path for path in paths if path.exists()]
    if existing:
        raise DataError(f"{existing[0]} exists. Move it away, or add --overwrite to replace it.")


def check_disk(folder: Path, needed: int) -> None:
    """Raises DataError if a folder's disk has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder} needs {needed / 1e6:,.1f} MB of free space and has {free / 1e6:,.1f} MB.")


@contextmanager
def atomic_write(*paths: Path) -> Iterator[list[Path]]:
    """Yields temporary paths to write to, which become `paths` when the block ends; an error leaves `paths` untouched.

    A process that is killed leaves its temporary files behind; the next `atomic_write` to the same paths removes them.
    Several files are replaced one by one, after all old ones are removed, so old and new files are never mixed.
    """
    paths = tuple(Path(path).resolve() for path in paths)  # a symbolic link is kept, and its target is replaced
    drafts = [path.with_name(f"{_draft_prefix(path)}{_host()}.{os.getpid()}") for path in paths]
    for path in paths:
        _remove_abandoned_drafts(path)
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


def _draft_prefix(path: Path) -> str:
    return f".{path.name[-40:]}."  # names may have 255 bytes; the end of a name distinguishes shards


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _remove_abandoned_drafts(path: Path) -> None:
    """Removes the drafts of `path` whose process no longer runs, or that nobody has written to for a day."""
    for draft in path.parent.glob(f"{glob.escape(_draft_prefix(path))}*.*"):
        host, _, process = draft.name.removeprefix(_draft_prefix(path)).partition(".")
        if not process.isascii() or not process.isdigit():
            continue
        with suppress(OSError):  # another process may remove it first
            if (host == _host() and not _is_running(int(process))) or time.time() - draft.stat().st_mtime > _DAY:
                draft.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return False  # there a file that is open cannot be removed, and signal 0 would not be harmless
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs for another user
    return True
