"""Measures accuracy under rotation, shift, scale, shear and noise of the test images (paper, section 5.2)."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from input_data import Split, evaluation_batches
from input_data.arrays import border_colours
from input_data.progress import Progress
from runner.evaluation import hits, top_labels
from runner.loader import Trained


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
    fill = border_colours(images)
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


def measure(networks: list[Trained], split: Split, size: int) -> dict[str, np.ndarray]:
    """Counts the right answers of networks on the same `size` changed test images, spread over the split.

    For each change in `CHANGES` they are int [amounts, networks]. An image is right when all its labels are predicted.
    """
    batch = next(evaluation_batches(split, size, size))
    found = {name: np.zeros((len(amounts), len(networks)), int) for name, (_, _, amounts) in CHANGES.items()}
    settings = [(name, row, amount) for name in found for row, amount in enumerate(CHANGES[name][2])]
    with Progress(len(settings), "change", size * len(networks)) as progress:
        for done, (name, row, amount) in enumerate(settings, start=1):
            images = CHANGES[name][0](batch["images"], amount)
            for column, each in enumerate(networks):
                logits = each.model.predict(images, batch_size=100, verbose=0)["logits"]
                found[name][row, column] = (
                    hits(batch["labels"], top_labels(logits, each.config.num_targets)).all(axis=1).sum()
                )
            progress.update(done, f"{name} {amount:g}")
    return found
