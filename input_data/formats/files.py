"""Files that are whole or not there, and files that may be gzipped."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from input_data.dataset import DataError


def unpacked(path: Path) -> bytes:
    """The content of a file, unpacked where its name ends in `.gz`.

    Raises:
        DataError: a damaged or cut `.gz`.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged ({error}). Fetch it again.") from None


def refuse_to_overwrite(paths: list[Path]) -> None:
    """Raises DataError naming the first of the paths that is there already."""
    there = [path for path in paths if path.exists()]
    if there:
        raise DataError(f"{there[0]} exists. Move it away, or add --overwrite to replace it.")


@contextmanager
def whole(*paths: Path) -> Iterator[list[Path]]:
    """Gives temporary names to write to, which become `paths` at the end; an error leaves all of them as they were."""
    drafts = [path.with_name(f".{path.name}.{os.getpid()}") for path in paths]
    try:
        yield drafts
        for draft, path in zip(drafts, paths, strict=True):
            os.replace(draft, path)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
