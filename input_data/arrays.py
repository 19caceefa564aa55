"""Splits in memory."""

from collections.abc import Callable
from functools import partial

import numpy as np

from input_data.dataset import Info, Split, labels_checksum
from input_data.images import shifted


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
