"""Prepares pictures of digits as in MNIST: light ink on black, of a certain size and centred by mass.

MNIST's recipe (http://yann.lecun.com/exdb/mnist/): each digit fits into a 20x20 box without changing its aspect ratio,
and its centre of mass lies in the middle of the 28x28 frame.
"""

import numpy as np
from scipy import ndimage

from input_data.dataset import DataError, Fitted, Shape
from input_data.formats.pictures import resized, with_depth

BOXES = {1: 20, 2: 24}  # side of the box that all ink fits into, by the number of digits: two that overlap need more
_SHARE = 20 / 28  # most of the frame's side that the box takes
_FAINT = 12  # a small picture is blank if its darkest and lightest pixels differ by fewer levels of 255 than this
_INVERTED = ["inverted: dark on light"]
_NOTHING = "Nothing readable: no ink stands out from the paper."
_SIDE = 512  # the most pixels of a side in which ink is looked for: many more than the 20 of a digit
_STROKE = 0.25  # every stroke is narrower than this share of the longer side
_LEAST = 14.0  # ink must be darker than its paper by this many levels of 255 ...
_GRAINS = 7.0  # ... and by this many deviations of the smoothed grain
_SEED, _EDGE = 0.5, 0.25  # a figure reaches the first share of the darkest ink somewhere, and ends at the second
_FRINGE = 0.3  # surroundings count as dark below this share of the way from a mark's ink to its paper
_ONE_SIDED = 0.25  # a mark is the fringe of a shadow if this share of its surroundings is dark
_CONTACT = 0.3  # a shadow, but no stroke, touches the edge along this share of the shorter side
_SPECK = 0.03  # a spot below this share of the largest figure's area is dust
_TALL = 0.6  # a mark from this share of the largest figure's length on can be a figure of its own


def fit(picture: np.ndarray, image_shape: Shape, num_targets: int = 1) -> Fitted:
    """Makes a picture of ink on any background an image for a network that reads `num_targets` digits.

    A picture of the network's size is only inverted if necessary. In other pictures, the ink is separated from the
    paper (see `_separate`) and laid out as in MNIST, whatever the margins around it. The image is float32, 0 to 255.

    Raises:
        DataError: nothing is readable.
    """
    grey, notes = with_depth(picture, 1)
    if picture.shape[:2] == image_shape[:2]:
        difference, dark = _difference(grey)
        if np.ptp(grey) < _FAINT:
            raise DataError(_NOTHING)
        return np.maximum(-difference if dark else difference, 0), [*notes, *_INVERTED[:dark]]
    scale = min(1.0, _SIDE / max(grey.shape))
    small, _ = resized(grey, *(max(1, round(side * scale)) for side in grey.shape[:2]))
    likely = _difference(small)[1]
    for dark in (likely, not likely):
        if written := _separate(small[..., 0], dark, num_targets):
            break
    else:
        raise DataError(_NOTHING)
    notes += _INVERTED[:dark]
    ink, count, shadow = written
    notes += ["a shadow or an edge removed"][:shadow]
    if count > num_targets:
        largest = "largest is" if num_targets == 1 else "two largest are"
        notes.append(f"{count} characters: only the {largest} read")
    notes.append(f"cut from {picture.shape[0]}x{picture.shape[1]} to its ink and centred")
    return _laid_out(ink, image_shape[:2], BOXES[num_targets]), notes


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
    """Ink [rows, columns] fitted into a box and centred by mass in a frame: float32 [*size, 1], 0 to 255."""
    digit = ink[ndimage.find_objects((ink > 0).astype(np.uint8))[0]][..., None]
    scale = min(box, round(_SHARE * min(size))) / max(digit.shape[:2])
    digit, _ = resized(digit, *(max(1, round(side * scale)) for side in digit.shape[:2]))
    frame = np.zeros((*size, 1), np.float32)
    sides = zip(size, ndimage.center_of_mass(digit[..., 0]), digit.shape, strict=False)
    top, left = (int(np.clip(round(side // 2 - middle), 0, side - length)) for side, middle, length in sides)
    frame[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return frame / frame.max() * np.float32(255)  # thin strokes become pale when they shrink


def _separate(grey: np.ndarray, dark: bool, most: int) -> tuple[np.ndarray, int, bool] | None:
    """Separates ink from paper in a picture [rows, columns], 0 to 255; None if there is no ink.

    The brightness of the paper is estimated and divided out. Pixels that are darker than the grain explains are ink,
    unless they lie along the edge of the picture, like a narrow shadow or the table.

    `dark`: whether ink is darker than its paper. Shade darkens dark ink and its paper by the same factor, so their
    ratio is used; for light ink (chalk) it is the difference.

    Returns:
        How much darker than the paper each pixel of the `most` largest figures is, float32 [rows, columns], 0
        elsewhere; the number of separate figures; and whether a shadow or something dark along the edge was removed.
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
    return np.where(strong, ink, 0), count, bool(shadow.any())


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
    rows, columns = ndimage.find_objects(marks)[mark - 1]
    around = 2 * blur + 2
    window = tuple(slice(max(side.start - around, 0), side.stop + around) for side in (rows, columns))
    own = marks[window] == mark
    ring = ndimage.binary_dilation(own, iterations=around) & ~ndimage.binary_dilation(own, iterations=blur)
    ink, level = smooth[window][own].mean(), paper[window][own].mean()
    return bool((smooth[window][ring] < ink + _FRINGE * (level - ink)).mean() > _ONE_SIDED)


def _largest(marks: np.ndarray, figures: list[int], most: int) -> tuple[np.ndarray, int]:
    """Returns the pixels of the `most` largest figures and the number of separate figures.

    Marks whose rows or columns overlap, or nearly so, are strokes of one figure, unless both are long and lie side by
    side.
    """
    boxes = ndimage.find_objects(marks)
    sides = np.array([[(side.start, side.stop) for side in boxes[mark - 1]] for mark in figures])
    starts, stops = np.moveaxis(sides, -1, 0)  # [marks, (row, column)]
    lengths = (stops - starts).max(axis=1)
    gaps = 0.05 * np.maximum.outer(lengths, lengths)[..., None]
    apart = (starts[:, None] > stops + gaps).any(axis=2)
    apart |= apart.T
    groups: list[list[int]] = []
    for mark in np.flatnonzero(lengths >= _TALL * lengths.max()):
        near = [group for group in groups if not apart[mark, group].all()]
        if near:
            near[0].append(mark)
        else:
            groups.append([mark])
    if len(groups) > most:
        sizes = np.bincount(marks.ravel())[figures]
        groups.sort(key=lambda group: -sizes[group].sum())
        kept, others = ([mark for group in part for mark in group] for part in (groups[:most], groups[most:]))
        own = [mark for mark in range(len(figures)) if mark not in others and not apart[mark, kept].all()]
        figures = [figures[mark] for mark in own]
    return np.isin(marks, figures), len(groups)
