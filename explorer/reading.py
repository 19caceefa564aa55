"""Reads a user's picture and prepares it for a trained network."""

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
        ValueError: the file cannot be read, its content is not a picture, or it has too many pixels.
    """
    return pictures.decode(source) if isinstance(source, bytes) else pictures.read(Path(source))


def prepare(image: np.ndarray, trained: Trained) -> tuple[np.ndarray, list[str]]:
    """Prepares a picture like a test image of the data set that a network was trained on.

    Args:
        image: the result of `read_image`.
        trained: the network.

    Returns:
        The image, float32 [rows, columns, depth] in the shape of the network's images, and a list of what was done.

    Raises:
        ValueError: the picture cannot be prepared for this data set.
    """
    shape, names = trained.model.image_shape, trained.class_names
    return input_data.prepare(trained.dataset, image, shape, names, trained.options)
