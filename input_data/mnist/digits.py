"""Prepares pictures of digits as in MNIST: light ink on black, of a certain size and centred by mass.

MNIST's recipe (http://yann.lecun.com/exdb/mnist/): each digit fits into a 20x20 box without changing its aspect ratio,
and its centre of mass lies in the middle of the 28x28 frame.
"""

import numpy as np

from input_data.dataset import DataError, Fitted, Shape
from input_data.formats.pictures import resized, with_depth

BOXES = {1: 20, 2: 24}  # side of the box that all ink fits into, by the number of digits: two that overlap need more
_SHARE = 20 / 28  # most of the frame's side that the box takes
_FAINT = 12  # a small picture is blank if its darkest and lightest pixels differ by fewer levels of 255 than this
_INVERTED = ["inverted: dark on light"]
_NOTHING = "Nothing readable: no ink stands out from the paper."


def fit(picture: np.ndarray, image_shape: Shape, num_targets: int = 1) -> Fitted:
    """Makes a picture of ink on any background an image for a network that reads `num_targets` digits.

    A picture of the network's size is only inverted if necessary. In other pictures, the ink is separated from the
    paper (see `paper`) and laid out as in MNIST, whatever the margins around it. The image is float32, 0 to 255.

    Raises:
        DataError: nothing is readable.
    """
    from input_data.mnist import paper  # only here: it takes SciPy, which reading the data does not need

    grey, notes = with_depth(picture, 1)
    if picture.shape[:2] == image_shape[:2]:
        difference, dark = _difference(grey)
        if np.ptp(grey) < _FAINT:
            raise DataError(_NOTHING)
        return np.maximum(-difference if dark else difference, 0), [*notes, *_INVERTED[:dark]]
    scale = min(1.0, paper.SIDE / max(grey.shape))
    small, _ = resized(grey, *(max(1, round(side * scale)) for side in grey.shape[:2]))
    _, dark = _difference(small)
    written = paper.separate(small[..., 0], dark, num_targets)
    if written is None:
        dark = not dark
        written = paper.separate(small[..., 0], dark, num_targets)
    if written is None:
        raise DataError(_NOTHING)
    notes += _INVERTED[:dark]
    if written.shadow:
        notes.append("a shadow or an edge removed")
    if written.count > num_targets:
        largest = "largest is" if num_targets == 1 else "two largest are"
        notes.append(f"{written.count} characters: only the {largest} read")
    notes.append(f"cut from {picture.shape[0]}x{picture.shape[1]} to its ink and centred")
    return _laid_out(written.ink[..., None], image_shape[:2], BOXES[num_targets]), notes


def _difference(grey: np.ndarray) -> tuple[np.ndarray, bool]:
    """How much lighter each pixel is than the median of the border, and whether the darker ones differ more."""
    grey = grey.astype(np.float32)
    difference = grey - np.median(border(grey))
    return difference, bool(-difference.min() > difference.max())


def border(grey: np.ndarray) -> np.ndarray:
    """The pixels of a frame, a twentieth of the smaller side wide."""
    width = max(1, min(grey.shape[:2]) // 20)
    inside = np.zeros(grey.shape, bool)
    inside[width:-width, width:-width] = True
    return grey[~inside]


def _laid_out(ink: np.ndarray, size: tuple[int, int], box: int) -> np.ndarray:
    """Ink [rows, columns, 1] fitted into a box and centred by mass in a frame: float32 [*size, 1], 0 to 255."""
    rows, columns = np.flatnonzero(ink.any(axis=(1, 2))), np.flatnonzero(ink.any(axis=(0, 2)))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(box, round(_SHARE * min(size))) / max(digit.shape[:2])
    digit, _ = resized(digit, *(max(1, round(side * scale)) for side in digit.shape[:2]))
    frame = np.zeros((*size, 1), np.float32)
    corner = []
    for axis in (0, 1):
        mass = digit.sum(axis=(1 - axis, 2))
        middle = (mass * np.arange(len(mass))).sum() / mass.sum()
        corner.append(int(np.clip(round(size[axis] // 2 - middle), 0, size[axis] - len(mass))))
    frame[corner[0] : corner[0] + digit.shape[0], corner[1] : corner[1] + digit.shape[1]] = digit
    return frame / frame.max() * np.float32(255)  # thin strokes become pale when they shrink
