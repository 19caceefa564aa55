"""Draws a hand-drawn digit as in MNIST: with its size, its position and its width of pen.

The page sends the path of the pen, not pixels, so a small drawing gets the same pen as a large one.
"""

from itertools import pairwise

import numpy as np

PEN = 1.6  # half the width of a stroke, in pixels: gives as much ink as MNIST's digits have (102 pixels on average)
SOFT = 0.5  # width of its soft edge on each side, in pixels
BOXES = {1: 20, 2: 24}  # side in pixels by the number of digits: two overlapping digits need more room than one
SMALLEST = 0.15  # as a share of the canvas: a smaller drawing, such as a dot, stays small


def draw(strokes: list[np.ndarray], rows: int, columns: int, box: int) -> np.ndarray:
    """Draws strokes fitted into a square box and moved so that their centre of mass is in the middle, as in MNIST.

    Args:
        strokes: the points (x right, y down) of each, float [n, 2] with n >= 1; the canvas is 1 wide and 1 high.
        rows: of the image.
        columns: of the image.
        box: side of the box that holds all ink, in pixels: 20 for a digit of MNIST.

    Returns:
        The image, uint8 [rows, columns], white on black.
    """
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (box - 2 * (PEN + SOFT)) / max((high - low).max(), SMALLEST)
    middle = np.array([columns // 2, rows // 2])  # where the digits of MNIST have their centre of mass
    placed = [(stroke - (low + high) / 2) * scale + middle for stroke in strokes]
    ink = _ink(placed, rows, columns)
    mass = np.array([(ink.sum(axis=0) * np.arange(columns)).sum(), (ink.sum(axis=1) * np.arange(rows)).sum()])
    ink = _ink([stroke + middle - mass / ink.sum() for stroke in placed], rows, columns)
    return np.round(255 * ink).astype(np.uint8)


def _ink(strokes: list[np.ndarray], rows: int, columns: int) -> np.ndarray:
    """How much ink each pixel has, [rows, columns] in [0, 1], by its distance from the nearest stroke."""
    y, x = np.mgrid[:rows, :columns]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)  # [rows·columns, 2]
    nearest = np.full(len(pixels), np.inf)
    for stroke in strokes:
        stroke = np.concatenate([stroke[:1], stroke])  # a click is a line from a point to itself
        for start, end in pairwise(stroke):
            line = end - start
            along = np.clip((pixels - start) @ line / max(line @ line, 1e-12), 0, 1)
            offset = pixels - start - along[:, None] * line
            np.minimum(nearest, np.einsum("ij,ij->i", offset, offset), out=nearest)
    return np.clip((PEN + SOFT - np.sqrt(nearest)) / (2 * SOFT), 0, 1).reshape(rows, columns)
