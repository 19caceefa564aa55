"""Writes TFRecord files a block of records at a time, with the same bytes as TensorFlow's TFRecordWriter."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from input_data.batches import prefetch
from input_data.formats.files import atomic_write, check_disk, refuse_to_overwrite
from input_data.formats.records import FOOTER, HEADER, checksums
from input_data.progress import track


def frame(payload: bytes) -> np.ndarray:
    """Returns a record without its payload's checksum, uint8 [HEADER + bytes + FOOTER]."""
    length = np.array([len(payload)], "<u8").tobytes()
    return np.frombuffer(length + checksums([length]).tobytes() + payload + bytes(FOOTER), np.uint8)


def record(payload: bytes) -> bytes:
    """Returns a record with its checksums, as it is stored in a file."""
    return seal(frame(payload).copy()[None]).tobytes()


def seal(frames: np.ndarray) -> np.ndarray:
    """Writes the payloads' checksums into the frames [n, bytes] and returns the frames."""
    frames[:, -FOOTER:] = checksums(frames[:, HEADER:-FOOTER]).view(np.uint8).reshape(-1, FOOTER)
    return frames


def write(paths: list[Path], total: int, size: int, blocks: Iterator[np.ndarray], seed: int, overwrite: bool) -> None:
    """Writes records to files of equal size, each record to a random file; the files appear when all are complete.

    Blocks are made and checksummed in one thread and written in another. There are `total` records in `blocks`, which
    are frames, uint8 [n, size], without checksums of their payloads. An existing file is only replaced if `overwrite`.
    """
    if not overwrite:
        refuse_to_overwrite(paths)
    check_disk(paths[0].parent, total * size)
    choice = np.arange(total, dtype=np.uint32) % len(paths)
    if len(paths) > 1:
        np.random.default_rng([seed, 2]).shuffle(choice)
    done = 0
    with atomic_write(*paths) as drafts, ExitStack() as stack:
        files = [stack.enter_context(draft.open("wb")) for draft in drafts]
        for frames in track(prefetch(map(seal, blocks)), total, "example"):
            _scatter(frames, choice[done : done + len(frames)], files)
            done += len(frames)


def _scatter(frames: np.ndarray, choice: np.ndarray, files: list) -> None:
    """Writes each frame to the file whose number is in `choice`; the frames of a file keep their order."""
    if len(files) > 1:
        order = np.argsort(choice, kind="stable")
        frames, choice = frames[order], choice[order]
    bounds = np.searchsorted(choice, np.arange(len(files) + 1))
    for file, start, end in zip(files, bounds[:-1], bounds[1:], strict=True):
        file.write(frames[start:end])
