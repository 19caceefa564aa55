"""Reads a data set from end to end, reports on it and draws sheets of its images."""

import numpy as np

from input_data import evaluation_batches, training_batches
from input_data.progress import Progress, say
from runner.config import NetworkConfig, RunConfig
from runner.loader import open_data
from runner.summaries import grid, write_png

ROWS, COLUMNS = 6, 16  # of a sheet


def check_data(flags: RunConfig) -> int:
    """Reads the training and the test (or validation) split once, reports on them and draws a sheet of each."""
    flags.root.mkdir(parents=True, exist_ok=True)
    for training, name in ((True, "train"), (False, flags.part)):
        split = open_data(flags, training).open(NetworkConfig().with_flags(flags))
        counts, low, high, seen = np.zeros(split.info.num_classes, int), np.inf, -np.inf, 0
        with Progress(len(split), "read") as progress:
            for batch in evaluation_batches(split, 500, augmented=training):
                counts += np.bincount(batch["labels"].ravel(), minlength=len(counts))
                low, high = min(low, batch["images"].min()), max(high, batch["images"].max())
                seen += len(batch["labels"])
                progress.update(seen)
        classes = ", ".join(f"{label} {count:,}" for label, count in zip(split.info.class_names, counts, strict=True))
        size = "x".join(map(str, split.info.image_shape))
        say(f"{split.info.name}, {name}: {seen:,} images {size}, values {low:.3g} to {high:.3g}\n  {classes}")
        shown = training_batches(split, 128, flags.seed) if training else evaluation_batches(split, 128, 128)
        images = next(shown)["images"][: ROWS * COLUMNS]
        images = np.pad(images, [(0, -len(images) % COLUMNS), (0, 0), (0, 0), (0, 0)])  # whole rows
        rows = images.reshape(-1, COLUMNS, *images.shape[1:])  # [rows, columns, height, width, depth]
        write_png(flags.root / f"sheet-{name}.png", grid(list(rows), scale=2))
        say(f"{flags.root}/sheet-{name}.png shows {'augmented training' if training else name} images")
    return 0
