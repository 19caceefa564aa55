"""Splits in memory, and what is done to batches of their images.

The random numbers are arguments (see `Split.noise`), so every function is deterministic.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from input_data.dataset import Info, Split, labels_checksum


class Arrays(Split):
    """Images uint8 [n, …] and labels [n] in memory; their data set's function `view` makes what the network sees."""

    def __init__(self, info: Info, images: np.ndarray, labels: np.ndarray, view: Callable, noise: int, note: str = ""):
        self.info, self.images, self.labels = info, images, labels.astype(np.int32)
        self.noise, self.note, self.view = noise, note, view

    def __len__(self):
        return len(self.images)

    def read(self, indices):
        """The images at `indices` as in the files and their labels, int32 [n, 1]."""
        return self.images[indices], self.labels[indices, None]

    def batch(self, indices, random=None):
        images, labels = self.read(indices)
        return {"images": self.view(images, random if self.noise else None), "labels": labels}

    def checksum(self):
        return labels_checksum(self.labels)


class ImageArrays(Arrays):
    """Images [n, rows, columns, depth] scaled to [0, 1], in training shifted by up to `reach` pixels each way."""

    def __init__(self, info: Info, images: np.ndarray, labels: np.ndarray, reach: int, note: str = ""):
        super().__init__(info, images, labels, partial(shifted, reach=reach), 2 if reach else 0, note)


def hold_out(split: str, *arrays: np.ndarray) -> list[np.ndarray]:
    """The part of the training arrays for a split: validation takes the first sixth, as for MNIST in 2017."""
    size = len(arrays[0]) // 6
    part = {"valid_train": slice(size, None), "valid_test": slice(size)}.get(split, slice(None))
    return [array[part] for array in arrays]


def shift(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, fill: np.ndarray | int = 0) -> np.ndarray:
    """Moves each image [n, height, width] or [n, height, width, depth] down and right, and fills the gap.

    `rows` and `columns`, int [n], are pixels; negative is up and left. `fill` is a value, or [n, 1, 1, depth].
    """
    if images.ndim == 3:
        return shift(images[..., None], rows, columns, fill)[..., 0]
    count, height, width, depth = images.shape
    reach = int(max(np.abs(rows).max(initial=0), np.abs(columns).max(initial=0)))
    padded = np.full((count, height + 2 * reach, width + 2 * reach, depth), fill, images.dtype)
    padded[:, reach : reach + height, reach : reach + width] = images
    return crop(padded, reach - rows, reach - columns, (height, width))


def border_colours(images: np.ndarray) -> np.ndarray:
    """The median of each image's outermost pixels in each channel: [n, 1, 1, depth]."""
    edges = images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]
    return np.median(np.concatenate(edges, axis=1), axis=1)[:, None, None]


def integers(noise: np.ndarray, low: int, high: int) -> np.ndarray:
    """Turns uniform numbers in [0, 1) into whole numbers from `low` to `high`, both included."""
    return low + (noise * (high - low + 1)).astype(np.int64)


def scaled(images: np.ndarray, unit: int = 255) -> np.ndarray:
    """Pixels from 0 to 255 as float32 in [0, 1]: divided by `unit`."""
    return images.astype(np.float32) * np.float32(1 / unit)


def shifted(images: np.ndarray, random: np.ndarray | None, reach: int, fill: np.ndarray | int = 0) -> np.ndarray:
    """A `view`: images scaled to [0, 1], in training shifted by up to `reach` pixels each way."""
    return scaled(images if random is None else shift(images, *integers(random, -reach, reach).T, fill))


def crop(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crops of a size from images [n, height, width, depth], each from its own first row and column, int [n]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, size, axis=(1, 2))
    return np.moveaxis(windows[np.arange(len(images)), rows, columns], 1, -1)  # [n, *size, depth]


def centre(images: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle of each image [n, height, width, depth]."""
    row, column = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, row : row + size, column : column + size]


def distort(
    images: np.ndarray, brightness: np.ndarray, contrast: np.ndarray, reach: float = 63, spread: float = 0.8
) -> np.ndarray:
    """Changes brightness by ±`reach` and then contrast by a factor of 1 ± `spread`; the defaults are those of 2017.

    `images` are float32 [n, height, width, depth], `brightness` and `contrast` noise [n] in [0, 1).
    """
    images = images + (2 * reach * brightness - reach).astype(np.float32)[:, None, None, None]
    mean = images.mean(axis=(1, 2), keepdims=True)  # of each channel
    return (images - mean) * (1 - spread + 2 * spread * contrast).astype(np.float32)[:, None, None, None] + mean


def standardised(images: np.ndarray) -> np.ndarray:
    """Standardises each image to mean 0 and deviation 1; a deviation below 1/√pixels is raised, as in TensorFlow."""
    # Sums along rows are the same for one image as for a batch, in every bit.
    rows = images.astype(np.float32).reshape(len(images), -1)  # [n, height·width·depth]
    mean, deviation = rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
    return ((rows - mean) / np.maximum(deviation, np.float32(rows.shape[1] ** -0.5))).reshape(images.shape)
