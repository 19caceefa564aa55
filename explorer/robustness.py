"""Measures accuracy under rotation, shift, scale, shear and noise of the test images (paper, section 5.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from input_data import Split, evaluation_batches
from input_data.progress import Progress
from runner.evaluation import hits, top_labels
from runner.loader import Trained

BATCH = 100


def moved(images: np.ndarray, matrix: np.ndarray, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Transforms images float32 [n, rows, columns, depth] about their centre, with bilinear interpolation.

    `matrix` [2, 2] over (down, right) maps a point relative to the centre to its new position, and `shift` (down,
    right) in pixels is added. What moves in from outside has the median of the image's border in each channel: with
    black, a report on light pictures would measure the effect of black frames.
    """
    inverse = np.eye(4)
    inverse[1:3, 1:3] = np.linalg.inv(matrix)  # SciPy asks where a point comes from
    centre = (np.array(images.shape) - 1) / 2
    offset = centre - inverse @ (centre + [0, *shift, 0])
    sides = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])  # each [n, pixels, depth]
    fill = np.median(np.concatenate(sides, axis=1), axis=1)[:, None, None, :].astype(np.float32)
    return ndimage.affine_transform(images - fill, inverse, offset, order=1, mode="grid-constant") + fill


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """The images turned counter-clockwise."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return moved(images, np.array([[cos, -sin], [sin, cos]]))


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    """The images with Gaussian noise of a fixed seed, clipped to their range of values."""
    noise = np.random.default_rng(2017).standard_normal(images.shape, np.float32)
    return np.clip(images + np.float32(deviation) * noise, images.min(), images.max())


# The changes by name: the function of images and an amount, the unit of the amount, and the amounts. A shift is to the
# right; a shear slants to the right above the centre, by so many pixels a row.
CHANGES: dict[str, tuple[Callable, str, tuple[float, ...]]] = {
    "rotation": (rotated, "degrees", (-45, -30, -15, 0, 15, 30, 45)),
    "shift": (lambda images, x: moved(images, np.eye(2), (0, x)), "pixels", (-6, -4, -2, 0, 2, 4, 6)),
    "scale": (lambda images, x: moved(images, x * np.eye(2)), "factor", (0.6, 0.8, 1, 1.2, 1.4)),
    "shear": (lambda images, x: moved(images, np.array([[1, 0], [-x, 1]])), "slope", (-0.4, -0.2, 0, 0.2, 0.4)),
    "noise": (noisy, "deviation", (0, 0.1, 0.2, 0.3, 0.4)),
}


@dataclass(frozen=True)
class Row:
    """Numbers of right answers under one change, one in `correct` for each network."""

    change: str
    amount: float
    size: int
    correct: tuple[int, ...]


def measure(networks: list[Trained], split: Split, size: int) -> list[Row]:
    """Counts the right answers of networks on the same `size` changed test images, spread over the split.

    There is a row for each change and amount in `CHANGES`. An image is right when all its labels are predicted.
    """
    size = min(size, len(split))
    batch = next(evaluation_batches(split, size, size))
    settings = [(name, change, amount) for name, (change, _, amounts) in CHANGES.items() for amount in amounts]
    rows = []
    with Progress(len(settings), "change", size * len(networks)) as progress:
        for done, (name, change, amount) in enumerate(settings, start=1):
            images = change(batch["images"], amount)
            rows.append(Row(name, amount, size, tuple(_correct(each, images, batch["labels"]) for each in networks)))
            progress.update(done, f"{name} {amount:g}")
    return rows


def _correct(trained: Trained, images: np.ndarray, labels: np.ndarray) -> int:
    starts = range(0, len(images), BATCH)
    logits = [trained.model.predict_on_batch(images[start : start + BATCH])["logits"] for start in starts]
    return int(hits(labels, top_labels(np.concatenate(logits), labels.shape[1])).all(axis=1).sum())
