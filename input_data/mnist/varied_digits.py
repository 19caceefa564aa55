"""Augments MNIST's digits for training Efficient-CapsNet: rotates, shifts, squeezes and partly erases them.

Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021; the changes come from
Byerly et al., "No routing needed between capsules" (arXiv:2001.09136).
"""

import numpy as np

from input_data.arrays import integers, shift

ANGLE = 30  # largest rotation in degrees
SQUEEZE = 7  # most pixels by which the width shrinks
UNIT = 256  # divisor of the pixels
NOISE = 11  # random numbers for an image


def vary(images: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Applies the four changes in the paper's order to images float32 [n, rows, columns], by noise [n, 11]."""
    angle, _ = normals(noise[:, 1:3])
    down, right = np.abs(normals(noise[:, 3:5]))
    width, _ = np.abs(normals(noise[:, 7:9]))
    turned = noise[:, 0] < 0.5
    images = images.copy()
    images[turned] = rotated(images[turned], ANGLE * angle[turned])
    images = shifted(images, down, right, noise[:, 5:7] < 0.5)
    images = squeezed(images, 1 + (np.minimum(width, 0.9999) * SQUEEZE).astype(np.int64))
    return erased(images, *integers(noise[:, 9:], 4, 22).T)


def normals(noise: np.ndarray) -> np.ndarray:
    """Two rows of normal numbers with deviation 0.33, cut at ±1, from uniform noise [n, 2] (Box and Muller)."""
    radius = np.sqrt(-2 * np.log1p(-noise[:, 0]))
    turn = 2 * np.pi * noise[:, 1]
    return np.clip(0.33 * radius * np.stack([np.cos(turn), np.sin(turn)]), -1, 1)


def rotated(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Turns each image [rows, columns] counter-clockwise about its centre by its own angle, bilinear."""
    _, height, width = images.shape
    middle, centre = (height - 1) / 2, (width - 1) / 2
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows, columns = rows - middle, columns - centre
    cos, sin = (f(np.radians(degrees)).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    return _bilinear(images, sin * columns + cos * rows + middle, cos * columns - sin * rows + centre)


def _bilinear(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values of images [n, height, width] at positions [n, rows, columns] between their pixels; 0 outside."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    _, height, width = padded.shape
    rows, columns = np.clip(rows + 1, 0, height - 1.001), np.clip(columns + 1, 0, width - 1.001)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    low, right = rows - top, columns - left
    image = np.arange(len(images))[:, None, None]
    above = padded[image, top, left] * (1 - right) + padded[image, top, left + 1] * right
    below = padded[image, top + 1, left] * (1 - right) + padded[image, top + 1, left + 1] * right
    return (above * (1 - low) + below * low).astype(np.float32)


def shifted(images: np.ndarray, down: np.ndarray, right: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Moves the ink of each image by a share `down` and `right` [n] of the free margin on the side to which it moves.

    `back`, bool [n, 2]: whether to move up instead of down, and left instead of right.
    """
    moves = []
    for axis, share in enumerate((down, right)):
        ink = (images > 0).any(axis=2 - axis)  # [n, size]
        before = np.where(ink.any(axis=1), ink.argmax(axis=1), 0)
        after = np.where(ink.any(axis=1), ink[:, ::-1].argmax(axis=1), 0)
        margin = np.where(back[:, axis], before, after)
        moves.append(np.where(back[:, axis], -1, 1) * np.round(share * margin).astype(np.int64))
    return shift(images, *moves)


def squeezed(images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Makes each image narrower by its own number of pixels and puts it in the middle of the frame, bilinear."""
    _, height, width = images.shape
    kept = (width - pixels)[:, None]
    places = np.arange(width) - (pixels // 2)[:, None] + 0.5  # position of each column in the narrow image
    sources = np.where((places > 0) & (places < kept), places * width / kept - 0.5, -2)  # [n, width]
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], images.shape)
    return _bilinear(images, rows, np.broadcast_to(sources[:, None].astype(np.float32), images.shape))


def erased(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sets a square of 4x4 pixels in each image to 0, at its own corner, in place."""
    for image, row, column in zip(images, rows, columns, strict=True):
        image[row : row + 4, column : column + 4] = 0
    return images
