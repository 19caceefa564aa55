"""Separates ink from paper in a photo with uneven light, shadows at the edge, grain or several figures.

Everything works on a picture whose sides have at most `SIDE` pixels, inverted if necessary so that ink is dark on light
paper. The brightness of the paper is estimated and divided out. Pixels that are darker than the grain explains are ink,
unless they lie along the edge of the picture, like a narrow shadow or the table.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

SIDE = 512  # pixels of the longer side: many more than the 20 of a digit
_STROKE = 0.25  # every stroke is narrower than this share of the longer side
_LEAST = 14.0  # ink must be darker than its paper by this many levels of 255 ...
_GRAINS = 7.0  # ... and by this many deviations of the smoothed grain
_SEED, _EDGE = 0.5, 0.25  # a figure reaches the first share of the darkest ink somewhere, and ends at the second
_FRINGE = 0.3  # surroundings count as dark below this share of the way from a mark's ink to its paper
_ONE_SIDED = 0.25  # a mark is the fringe of a shadow if this share of its surroundings is dark
_CONTACT = 0.3  # a shadow, but no stroke, touches the edge along this share of the shorter side
_SPECK = 0.03  # a spot below this share of the largest figure's area is dust
_TALL = 0.6  # a mark from this share of the largest figure's length on can be a figure of its own


class Ink(NamedTuple):
    """The ink in a picture."""

    ink: np.ndarray  # float32 [rows, columns], how much darker than the paper each pixel of the figures is; 0 elsewhere
    count: int  # separate figures
    shadow: bool  # whether the fringe of a shadow, or something dark along the edge, was removed


def separate(grey: np.ndarray, dark: bool, most: int = 1) -> Ink | None:
    """Returns the ink of the `most` largest figures in a picture [rows, columns], 0 to 255; None if there is none.

    `dark`: whether ink is darker than its paper. Shade darkens dark ink and its paper by the same factor, so their
    ratio is used; for light ink (chalk) it is the difference.
    """
    sigma = max(grey.shape) / 300
    grey = grey if dark else 255 - grey
    smooth = ndimage.gaussian_filter(grey, sigma)
    # A morphological closing fills dark areas narrower than the widest stroke with the brightness around them, while a
    # shadow, which is wider, keeps its own brightness right up to its edge. Dark areas at the edge continue outside.
    width = max(3, round(_STROKE * max(smooth.shape)))
    closed = ndimage.grey_closing(np.pad(smooth, width, mode="edge"), (width, width))
    paper = np.maximum(closed[width:-width, width:-width], 1)
    usual = np.median(paper - smooth)  # from the grain: the closing follows its brightest pixels
    unit = 255 / paper if dark else 1.0
    depth = np.maximum(paper - smooth - usual, 0)
    grain = np.median(np.abs(smooth - ndimage.gaussian_filter(smooth, 3 * sigma))) * 1.4826  # its deviation
    depth = np.where(depth > _GRAINS * float(grain), depth * unit, 0)
    shadow = np.zeros(grey.shape, bool)
    while True:
        marks, sizes = _marks(np.where(shadow, 0, depth))
        shadows = [mark for mark in sizes if _is_shadow(marks, mark, smooth, paper, int(2 * sigma) + 1)]
        if not shadows:
            break
        shadow |= ndimage.binary_dilation(np.isin(marks, shadows), iterations=int(4 * sigma) + 1)
    if not sizes:
        return None
    figures = [mark for mark, size in sizes.items() if size >= _SPECK * max(sizes.values())]
    figure, count = _largest(marks, figures, most)
    reach = ndimage.binary_dilation(figure, iterations=int(2 * sigma) + 1) & ~shadow
    ink = np.maximum(paper - grey - usual, 0) * unit
    strong = reach & (ink > _EDGE / 2 * ink[figure].max())
    return Ink(np.where(strong, ink, 0), count, bool(shadow.any()))


def _marks(depth: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
    """Returns the connected dark marks that are ink, numbered from 1 [rows, columns], and the size of each."""
    peak = float(depth.max())
    if peak < _LEAST:
        return np.zeros(depth.shape, int), {}
    marks, _ = ndimage.label(depth > max(_EDGE * peak, _LEAST / 2), np.ones((3, 3)))
    inked = np.unique(marks[depth > max(_SEED * peak, _LEAST)])
    sizes = np.bincount(marks.ravel())
    marks[~np.isin(marks, inked)] = 0
    return marks, {int(mark): int(sizes[mark]) for mark in inked if mark}


def _is_shadow(marks: np.ndarray, mark: int, smooth: np.ndarray, paper: np.ndarray, blur: int) -> bool:
    """Whether a mark is the fringe of something dark: it lies along the picture's edge or has paper only on one side.

    `blur` is the number of pixels over which an edge is blurred.
    """
    edges = np.concatenate((marks[0], marks[-1], marks[:, 0], marks[:, -1]))
    if (edges == mark).sum() > _CONTACT * min(marks.shape):
        return True
    rows, columns = ndimage.find_objects((marks == mark).astype(np.uint8))[0]
    around = 2 * blur + 2
    window = tuple(slice(max(side.start - around, 0), side.stop + around) for side in (rows, columns))
    own = marks[window] == mark
    ring = ndimage.binary_dilation(own, iterations=around) & ~ndimage.binary_dilation(own, iterations=blur)
    ink, level = smooth[window][own].mean(), paper[window][own].mean()
    return bool((smooth[window][ring] < ink + _FRINGE * (level - ink)).mean() > _ONE_SIDED)


def _largest(marks: np.ndarray, figures: list[int], most: int) -> tuple[np.ndarray, int]:
    """Returns the pixels of the `most` largest figures and the number of separate figures.

    Marks whose rows or columns overlap are strokes of one figure, unless both are long and lie side by side.
    """
    boxes = ndimage.find_objects(marks)
    spans = {mark: tuple((side.start, side.stop) for side in boxes[mark - 1]) for mark in figures}
    length = max(max(stop - start for start, stop in span) for span in spans.values())
    long = [mark for mark in figures if max(stop - start for start, stop in spans[mark]) >= _TALL * length]
    apart: list[list[int]] = []
    for mark in long:
        for group in apart:
            if any(not _beside(spans[mark], spans[other]) for other in group):
                group.append(mark)
                break
        else:
            apart.append([mark])
    if len(apart) <= most:
        return np.isin(marks, figures), len(apart)
    sizes = np.bincount(marks.ravel())
    apart.sort(key=lambda group: -sum(int(sizes[mark]) for mark in group))
    kept, others = ([mark for group in groups for mark in group] for groups in (apart[:most], apart[most:]))
    own = [mark for mark in figures if any(not _beside(spans[mark], spans[other]) for other in kept)]
    return np.isin(marks, [mark for mark in own if mark not in others]), len(apart)


def _beside(one: tuple, other: tuple) -> bool:
    """Whether two boxes ((top, bottom), (left, right)) are further apart along an axis than strokes of one figure."""
    gap = 0.05 * max(stop - start for box in (one, other) for start, stop in box)
    return any(a[0] > b[1] + gap or b[0] > a[1] + gap for a, b in zip(one, other, strict=True))
