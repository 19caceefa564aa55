"""Prepares pictures of digits as in MNIST: light ink on black, 20 pixels tall or wide, centred by mass in 28x28.

MNIST's recipe (http://yann.lecun.com/exdb/mnist/): each digit fits into a 20x20 box without changing its aspect ratio,
and its centre of mass lies in the middle of the frame.
"""

import numpy as np

from input_data.dataset import DataError
from input_data.formats.pictures import resized, with_depth
from input_data.images import scaled
from input_data.mnist import paper

SIZE, BOX = 28, 20
_FAINT = 12  # a small picture is blank if its darkest and lightest pixels differ by fewer levels of 255 than this
_NOTHING = "Nothing readable: no ink stands out from the paper."
_MIDDLE = 14  # where the centre of mass of MNIST's digits lies, counted from 0


def prepare(picture: np.ndarray, image_shape: tuple[int, int, int], unit: int = 255) -> tuple[np.ndarray, list[str]]:
    """Prepares a picture of ink on any background for the network of a digit data set.

    A picture of the network's size is only inverted if necessary. In other pictures, the ink is separated from the
    paper (see `paper`). A network for 28x28 gets the ink in MNIST's layout. Other networks (MultiMNIST's 36x36,
    affNIST's 40x40), for which the position in the frame matters, get the whole picture, resized.

    Args:
        picture: uint8 [rows, columns, depth], depth 1, 3 or 4.
        image_shape: (rows, columns, 1) of the network's images.
        unit: the number by which the pixels of the network's images, 0 to 255, are divided.

    Returns:
        The image, float32 [rows, columns, 1] in [0, 1], and a list of what was done.

    Raises:
        DataError: there is nothing readable in the picture.
    """
    grey, notes = with_depth(picture, 1)
    if picture.shape[:2] == image_shape[:2]:
        ink, inverted = _difference(grey)
        return scaled(ink, unit), [*notes, *inverted]
    written, inverted = _written(grey)
    notes += inverted
    if written.shadow:
        notes.append("a shadow or an edge removed")
    laid_out = image_shape[:2] == (SIZE, SIZE)
    if laid_out:
        if written.count > 1:
            notes.append(f"{written.count} characters: only the largest is read")
        return _laid_out(written.ink[..., None]) * np.float32(255 / unit), [
            *notes,
            f"cut from {_size(picture)} to its ink and centred",
        ]
    ink, padded = written.ink[..., None], []
    if image_shape[0] == image_shape[1]:
        ink, padded = _square(ink)
    frame, _ = resized(ink, *image_shape[:2])
    return scaled(frame, unit), [*notes, *padded, f"resized {_size(picture)} to {image_shape[0]}x{image_shape[1]}"]


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"


def _difference(grey: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """How far each pixel is from the background in the ink's direction: float32 [rows, columns, 1], 0 to 255.

    The background is the median of the border. Ink is darker or lighter than it, whichever differs more.
    """
    grey = grey.astype(np.float32)
    if np.ptp(grey) < _FAINT:
        raise DataError(_NOTHING)
    background = np.median(border(grey))
    if background - grey.min() > grey.max() - background:
        return np.maximum(background - grey, 0), ["inverted: dark on light"]
    return np.maximum(grey - background, 0), []


def _written(grey: np.ndarray) -> tuple[paper.Ink, list[str]]:
    """The ink in a picture [rows, columns, 1], whether dark on light or light on dark."""
    scale = min(1.0, paper.SIDE / max(grey.shape))
    small, _ = resized(grey, *(max(1, round(side * scale)) for side in grey.shape[:2]))
    small = small[..., 0]
    background = np.median(border(small[..., None]))
    dark_first = background - small.min() > small.max() - background
    for dark in (dark_first, not dark_first):
        written = paper.separate(small, dark)
        if written is not None:
            return written, ["inverted: dark on light"] if dark else []
    raise DataError(_NOTHING)


def border(grey: np.ndarray) -> np.ndarray:
    """The pixels of a frame, a twentieth of the smaller side wide."""
    width = max(1, min(grey.shape[:2]) // 20)
    inside = np.zeros(grey.shape, bool)
    inside[width:-width, width:-width] = True
    return grey[~inside]


def _laid_out(ink: np.ndarray) -> np.ndarray:
    """Ink [rows, columns, 1] in MNIST's layout: float32 [28, 28, 1] in [0, 1]."""
    rows, columns = np.flatnonzero(ink.any(axis=(1, 2))), np.flatnonzero(ink.any(axis=(0, 2)))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(digit.shape[:2])
    digit, _ = resized(digit, *(max(1, round(side * scale)) for side in digit.shape[:2]))
    frame = np.zeros((SIZE, SIZE, 1), np.float32)
    corner = []
    for axis in (0, 1):
        mass = digit.sum(axis=(1 - axis, 2))
        middle = (mass * np.arange(len(mass))).sum() / mass.sum()
        corner.append(int(np.clip(round(_MIDDLE - middle), 0, SIZE - len(mass))))
    frame[corner[0] : corner[0] + digit.shape[0], corner[1] : corner[1] + digit.shape[1]] = digit
    return frame / frame.max()  # thin strokes become pale when they shrink


def _square(ink: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The ink with black added on both sides to make it square, so that resizing keeps the digits' shape."""
    rows, columns = ink.shape[:2]
    if rows == columns:
        return ink, []
    margins = [((max(rows, columns) - side) // 2, -(-(max(rows, columns) - side) // 2)) for side in (rows, columns)]
    return np.pad(ink, (*margins, (0, 0))), ["padded to a square"]
