"""Separates ink from paper in a photo: uneven light, shadows at the edge, the grain of a dim picture, several figures.

Everything works on a picture of at most `SIDE` pixels, turned so that ink is dark on light paper. The steps: the
brightness of the paper is estimated and divided out; what is darker than the grain allows is ink; what lies along the
edge of the picture, as a narrow shadow or the table does, is not.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 512  # pixels of the longer side: many more than the 20 of a digit
_STROKE = 0.25  # share of the longer side that is wider than any stroke
_LEAST = 14.0  # levels of 255 by which ink must be darker than its paper
_GRAINS = 7.0  # and deviations of the smoothed grain
_SEED, _EDGE = 0.5, 0.25  # shares of the darkest ink: a figure has the former somewhere and reaches to the latter
_FRINGE = 0.3  # share of the way from ink to paper below which what is around a mark is as dark as it
_ONE_SIDED = 0.25  # share of its surroundings that are as dark, from which a mark is the fringe of a shadow
_CONTACT = 0.3  # share of the shorter side along which a shadow, but no stroke, touches the edge
_SPECK = 0.03  # share of the largest figure's area below which a spot is dust
_TALL = 0.6  # share of the largest figure's length from which another is a figure of its own


@dataclass(frozen=True)
class Ink:
    """What is written in a picture.

    Attributes:
        ink: float32 [rows, columns], how much darker than the paper each pixel of the largest figure is; 0 elsewhere.
        count: how many figures stand apart from one another.
        shadow: whether a shadow's fringe, or something dark along the edge, was passed over.
    """

    ink: np.ndarray
    count: int
    shadow: bool


def separate(grey: np.ndarray, dark: bool) -> Ink | None:
    """Returns the ink of a picture; None where nothing is written.

    Args:
        grey: float32 [rows, columns], 0 (black) to 255.
        dark: whether ink is darker than its paper. Light takes away the same share from dark ink and its paper, so that
            their ratio is what counts; of light ink (chalk) it is the difference.
    """
    from scipy import ndimage

    sigma = max(grey.shape) / 300
    grey = grey if dark else 255 - grey
    smooth = ndimage.gaussian_filter(grey, sigma)
    paper = _paper(smooth)
    usual = np.median(paper - smooth)  # the grain's: the closing follows its brightest pixels
    unit = 255 / paper if dark else 1.0
    depth = np.maximum(paper - smooth - usual, 0)
    depth = np.where(depth > _GRAINS * _grain(smooth, sigma), depth * unit, 0)
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
    figure, count = _largest(marks, figures)
    reach = ndimage.binary_dilation(figure, iterations=int(2 * sigma) + 1) & ~shadow
    ink = np.maximum(paper - grey - usual, 0) * unit
    strong = reach & (ink > _EDGE / 2 * ink[figure].max())
    return Ink(np.where(strong, ink, 0), count, bool(shadow.any()))


def _paper(smooth: np.ndarray) -> np.ndarray:
    """Returns the brightness that paper has at each pixel, at least 1.

    It is the morphological closing: what is dark and narrower than the widest stroke is filled with the brightness
    around it, while a shadow, which is wider, keeps its own brightness up to its very edge.
    """
    from scipy import ndimage

    width = max(3, round(_STROKE * max(smooth.shape)))
    beyond = np.pad(smooth, width, mode="edge")  # what is dark at the edge goes on outside
    closed = ndimage.grey_closing(beyond, (width, width))[width:-width, width:-width]
    return np.maximum(closed, 1)


def _grain(smooth: np.ndarray, sigma: float) -> float:
    """Returns the deviation that the paper's grain has after smoothing, from how it differs from its surroundings."""
    from scipy import ndimage

    return float(np.median(np.abs(smooth - ndimage.gaussian_filter(smooth, 3 * sigma))) * 1.4826)


def _marks(depth: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
    """Returns the connected dark marks, numbered from 1 [rows, columns], and the size of each that is ink."""
    from scipy import ndimage

    peak = float(depth.max())
    if peak < _LEAST:
        return np.zeros(depth.shape, int), {}
    marks, _ = ndimage.label(depth > max(_EDGE * peak, _LEAST / 2), np.ones((3, 3)))
    inked = np.unique(marks[depth > max(_SEED * peak, _LEAST)])
    sizes = np.bincount(marks.ravel())
    marks[~np.isin(marks, inked)] = 0
    return marks, {int(mark): int(sizes[mark]) for mark in inked if mark}


def _is_shadow(marks: np.ndarray, mark: int, smooth: np.ndarray, paper: np.ndarray, blur: int) -> bool:
    """Whether a mark is the fringe of something dark: it lies along the picture's edge, or has paper on one side only.

    Args:
        marks: numbered marks [rows, columns].
        mark: the one in question.
        smooth: the picture.
        paper: the brightness of its paper.
        blur: pixels over which an edge is blurred.
    """
    from scipy import ndimage

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


def _largest(marks: np.ndarray, figures: list[int]) -> tuple[np.ndarray, int]:
    """Returns where the largest figure is, and how many there are that stand apart.

    Marks whose rows or columns overlap are strokes of one figure, unless both are long and lie side by side.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(marks)
    spans = {mark: tuple((side.start, side.stop) for side in boxes[mark - 1]) for mark in figures}
    length = max(max(stop - start for start, stop in span) for span in spans.values())
    long = [mark for mark in figures if max(stop - start for start, stop in spans[mark]) >= _TALL * length]
    apart: list[list[int]] = []
    for mark in long:
        group = next((g for g in apart if any(not _beside(spans[mark], spans[other]) for other in g)), None)
        if group is None:
            apart.append([mark])
        else:
            group.append(mark)
    sizes = np.bincount(marks.ravel())
    group = max(apart, key=lambda g: sum(int(sizes[mark]) for mark in g))
    if len(apart) == 1:
        return np.isin(marks, figures), 1
    own = [mark for mark in figures if any(not _beside(spans[mark], spans[other]) for other in group)]
    others = {mark for g in apart if g is not group for mark in g}
    return np.isin(marks, [mark for mark in own if mark not in others]), len(apart)


def _beside(one: tuple, other: tuple) -> bool:
    """Whether two boxes ((top, bottom), (left, right)) are apart along an axis by more than a gap within a figure."""
    gap = 0.05 * max(stop - start for box in (one, other) for start, stop in box)
    return any(a[0] > b[1] + gap or b[0] > a[1] + gap for a, b in zip(one, other, strict=True))
