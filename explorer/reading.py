"""A user's picture as a trained network expects it."""

from pathlib import Path

import numpy as np

import input_data
from input_data.formats.pictures import decode
from runner.loader import Trained


def read_image(source: Path | bytes) -> np.ndarray:
    """The picture in a PNG, JPEG, BMP or GIF: uint8 [rows, columns, depth], depth 1 (grey), 3 (RGB) or 4 (RGBA).

    Args:
        source: the file, or its content.

    Raises:
        ValueError: a file that cannot be read, or content that is no picture.
    """
    if isinstance(source, bytes):
        return decode(source)
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise ValueError(error.strerror) from None
    return decode(content)


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
    return input_data.prepare(trained.dataset, image, trained.model.image_shape)
