"""A split of images in memory, which shifts them at random in training."""

import numpy as np

from input_data.dataset import Info, Split, labels_checksum
from input_data.images import integers, scaled, shift


class ImageArrays(Split):
    """Images scaled to [0, 1], each shifted at random by up to `reach` pixels each way.

    Args:
        info: the data set's facts; its image_shape is that of `images`.
        images: uint8 [n, rows, columns, depth].
        labels: [n].
        reach: pixels; 0 for no shift, as in evaluation.
    """

    def __init__(self, info: Info, images: np.ndarray, labels: np.ndarray, reach: int):
        self.info, self.images, self.labels, self.reach = info, images, labels.astype(np.int32), reach
        self.noise = 2 if reach else 0

    def __len__(self):
        return len(self.images)

    def batch(self, indices, noise):
        images = self.images[indices]
        if self.reach:
            images = shift(images, *integers(noise, -self.reach, self.reach).T)
        return {"images": scaled(images), "labels": self.labels[indices, None]}

    def checksum(self):
        return labels_checksum(self.labels)


def hold_out(split: str, *arrays: np.ndarray) -> list[np.ndarray]:
    """The part of the training arrays for a split: validation takes the first sixth, as for MNIST in 2017."""
    size = len(arrays[0]) // 6
    part = {"valid_train": slice(size, None), "valid_test": slice(size)}.get(split, slice(None))
    return [array[part] for array in arrays]
