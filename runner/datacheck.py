"""What a split holds, read from end to end, and a sheet of its images to look at."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from runner.progress import Progress
from runner.summaries import grid, write_png


def check(name: str, split, batches: Iterable[dict]) -> str:
    """Reads a split once and reports counts, sizes and the range of values.

    Args:
        name: what to call it.
        split: of `input_data`.
        batches: all of it; a bad record raises its own error, which names the file and the place.
    """
    counts, low, high, seen = np.zeros(split.info.num_classes, int), np.inf, -np.inf, 0
    progress = Progress(len(split), "read")
    for batch in batches:
        counts += np.bincount(batch["labels"].ravel(), minlength=len(counts))
        low, high = min(low, batch["images"].min()), max(high, batch["images"].max())
        if not np.isfinite(batch["images"]).all():
            raise ValueError(f"{name}: an image among {seen} to {seen + len(batch['labels'])} is not finite.")
        seen += len(batch["labels"])
        progress.update(seen)
    progress.close()
    classes = ", ".join(f"{label} {count:,}" for label, count in zip(split.info.class_names, counts, strict=True))
    size = "x".join(map(str, split.info.image_shape))
    return f"{name}: {seen:,} images {size}, values {low:.3g} to {high:.3g}\n  {classes}"


def draw_sheet(path: Path, batch: dict, rows: int = 6, columns: int = 16) -> None:
    """Writes a PNG of a batch's first images."""
    images = batch["images"][: rows * columns]
    blank = np.zeros((-len(images) % columns, *images.shape[1:]), images.dtype)
    images = np.concatenate([images, blank])
    write_png(path, grid([images[start : start + columns] for start in range(0, len(images), columns)], scale=2))
