"""Reads a data set from end to end, reports on it and draws sheets of its images."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from input_data import Split, evaluation_batches, training_batches
from input_data.progress import Progress, say
from runner.config import NetworkConfig, RunConfig
from runner.loader import open_data
from runner.summaries import grid, write_png


def check_data(flags: RunConfig) -> int:
    """Reads the training and the test (or validation) split once, reports on them and draws a sheet of each."""
    flags.root.mkdir(parents=True, exist_ok=True)
    for training, name in ((True, "train"), (False, flags.part)):
        split = open_data(flags, training).open(NetworkConfig().with_flags(flags))
        split.verify()
        say(report(f"{split.info.name}, {name}", split, evaluation_batches(split, 500, augmented=training)))
        shown = training_batches(split, 128, flags.seed) if training else evaluation_batches(split, 128, 128)
        draw_sheet(flags.root / f"sheet-{name}.png", next(shown))
        say(f"{flags.root}/sheet-{name}.png shows {'augmented training' if training else name} images")
    return 0


def report(name: str, split: Split, batches: Iterable[dict]) -> str:
    """Reads all batches of a split once and reports counts, sizes and the range of values."""
    counts, low, high, seen = np.zeros(split.info.num_classes, int), np.inf, -np.inf, 0
    with Progress(len(split), "read") as progress:
        for batch in batches:
            counts += np.bincount(batch["labels"].ravel(), minlength=len(counts))
            low, high = min(low, batch["images"].min()), max(high, batch["images"].max())
            seen += len(batch["labels"])
            progress.update(seen)
    classes = ", ".join(f"{label} {count:,}" for label, count in zip(split.info.class_names, counts, strict=True))
    size = "x".join(map(str, split.info.image_shape))
    return f"{name}: {seen:,} images {size}, values {low:.3g} to {high:.3g}\n  {classes}"


def draw_sheet(path: Path, batch: dict, rows: int = 6, columns: int = 16) -> None:
    """Writes a PNG of a batch's first images."""
    images = batch["images"][: rows * columns]
    blank = np.zeros((-len(images) % columns, *images.shape[1:]), images.dtype)
    images = np.concatenate([images, blank])
    write_png(path, grid([images[start : start + columns] for start in range(0, len(images), columns)], scale=2))
