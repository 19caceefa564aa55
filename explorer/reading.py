"""A user's picture as a trained network expects it."""

from pathlib import Path

import numpy as np

import input_data
from input_data.formats import pictures
from runner.loader import Trained


def read_image(source: Path | bytes) -> np.ndarray:
    """Returns a picture as a viewer shows it: uint8 [rows, columns, depth], depth 1 (grey), 3 (RGB) or 4 (RGBA).

    Args:
        source: a PNG, JPEG, BMP, GIF, WebP, TIFF or PPM file, or its content.

    Raises:
        ValueError: a file that cannot be read, content that is no picture, or more pixels than are read.
    """
    return pictures.decode(source) if isinstance(source, bytes) else pictures.read(Path(source))


def prepare(image: np.ndarray, trained: Trained) -> tuple[np.ndarray, list[str]]:
    """A picture as a test image of the data set that a network was trained on.

    Args:
        image: of `read_image`.
        trained: the network.

    Returns:
        float32 [rows, columns, depth] of the network's images, and what was done, in words.

    Raises:
        ValueError: not such a picture.
    """
    shape, names = trained.model.image_shape, trained.class_names
    return input_data.prepare(trained.dataset, image, shape, names, trained.options)
