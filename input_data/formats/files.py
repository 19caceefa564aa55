"""Writes files completely or not at all, and finds and reads files that may be gzipped."""

import glob
import gzip
import os
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from input_data.dataset import DataError

_DAY = 86_400  # seconds
GZIPPED = b"\x1f\x8b"  # the first bytes of a gzipped file


def find(folder: Path, name: str) -> Path | None:
    """Returns the file with a name in a folder, plain or with the ending `.gz`; None if there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzipped; raises DataError if a gzipped file is damaged."""
    content = path.read_bytes()
    if not content.startswith(GZIPPED):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged ({error}). Fetch it again.") from None


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
        with suppress(OSError, ValueError):  # another process may remove it first; the name may not be a draft's
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
