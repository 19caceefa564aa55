"""Lays out sheets of small images with names and headings, and writes figures to files."""

from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from input_data.formats.files import atomic_write
from runner.summaries import grid, write_png

DPI = 100  # Matplotlib's default, at which figures are written
LINE = 15  # pixels of a line of text
GAP = 10  # pixels between blocks
BESIDE = 90  # side in pixels of an image to the left of a strip
_FONT = 8  # of headings; smaller where they would not fit above their images
_TITLE = {"fontsize": 11}
_HEADING = {"fontsize": 9, "weight": "bold"}


def strip(axes: Axes, rows: dict[str, np.ndarray], headings: list[str], fontsize: float = _FONT) -> None:
    """Shows rows of images in one axes, with the name of each row at its left and a heading above each column.

    Args:
        axes: the axes to draw in.
        rows: images [columns, rows, columns, depth] in [0, 1] by the row's name; all of the same size.
        headings: one for each column.
        fontsize: of the headings.
    """
    picture = grid(list(rows.values()))
    height, width = picture.shape[0] / len(rows), picture.shape[1] / len(headings)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_xticks((np.arange(len(headings)) + 0.5) * width - 0.5, headings, fontsize=fontsize)
    axes.set_yticks((np.arange(len(rows)) + 0.5) * height - 0.5, list(rows), fontsize=8)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


class Sheet:
    """Strips below one another, each under a title, placed so that each image pixel is a square of whole pixels.

    Args:
        title: the title of the sheet.
        tile: approximate height of an image in pixels.
        left: pixels for the names of rows.
        right: pixels left empty at the right.
    """

    def __init__(self, title: str, tile: int = 60, left: int = 110, right: int = 20):
        self.title, self.tile, self.left, self.right = title, tile, left, right
        self.blocks: list[tuple] = []

    def add(
        self, title: str, rows: dict[str, np.ndarray], headings: list[str], beside: np.ndarray | None = None
    ) -> None:
        """Adds a strip (see `strip`) and an image [rows, columns, depth] at its left; without rows, only the title."""
        self.blocks.append((title, rows, headings, beside))

    def _size(self, rows: dict[str, np.ndarray], headings: list[str]) -> tuple[int, int, int]:
        """Height and width of a strip, and height of the headings above it, in pixels."""
        if not headings:
            return 0, 0, 0
        _, tall, wide, _ = next(iter(rows.values())).shape
        scale = max(1, round(self.tile / tall))
        lines = max(heading.count("\n") + 1 for heading in headings)
        return len(rows) * (tall + 2) * scale, len(headings) * (wide + 2) * scale, lines * LINE

    def figure(self) -> Figure:
        """The sheet as a figure, to be given to `write`."""
        sizes = [self._size(rows, headings) for _, rows, headings, _ in self.blocks]
        text = max(_width(self.title, **_TITLE), *(_width(title, **_HEADING) for title, *_ in self.blocks)) + 20
        width = max(self.left + max(size[1] for size in sizes) + self.right, text)
        top = (self.title.count("\n") + 1) * 20 + GAP
        height = top + sum(tall + head + LINE + 2 * GAP for tall, _, head in sizes)
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        figure.text(10 / width, 1 - 8 / height, self.title, va="top", **_TITLE)
        y = height - top
        for (title, rows, headings, beside), (tall, wide, head) in zip(self.blocks, sizes, strict=True):
            figure.text(10 / width, y / height, title, va="top", **_HEADING)
            y -= LINE + GAP + head + tall
            if headings:
                box = (self.left / width, y / height, wide / width, tall / height)
                widest = max(map(_width, headings))
                strip(
                    figure.add_axes(box), rows, headings, _FONT * min(1, 0.92 * wide / len(headings) / max(widest, 1))
                )
            if beside is not None:
                box = (10 / width, (y + tall / 2 - BESIDE / 2) / height, BESIDE / width, BESIDE / height)
                strip(figure.add_axes(box), {"": beside[None]}, [""])
            y -= GAP
        return figure


def _width(text: str, fontsize: float = _FONT, weight: str = "normal") -> int:
    """The width of a text in pixels."""
    figure = Figure(dpi=DPI)
    extent = figure.text(0, 0, text, fontsize=fontsize, weight=weight).get_window_extent(
        FigureCanvasAgg(figure).get_renderer()
    )
    return ceil(extent.width)


def write(path: Path, figure: Figure, dpi: int = DPI) -> None:
    """Writes a figure, completely or not at all, in the format of the file's ending: `.png`, `.svg` or `.pdf`.

    A PNG without colours is written in grey. The same figure gives the same bytes.

    Args:
        path: the file.
        figure: the figure.
        dpi: pixels per inch of a PNG, or of the images inside the other formats. At the default, each pixel of a
            sheet's images is a square of whole pixels.
    """
    figure.set_dpi(dpi)
    ending = path.suffix.lower()
    if ending == ".png":
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
        grey = (picture == picture[..., :1]).all()
        return write_png(path, picture[..., :1] if grey else picture)
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[ending]
    with atomic_write(path) as (draft,), matplotlib.rc_context({"svg.hashsalt": "capsules", "pdf.fonttype": 42}):
        figure.savefig(draft, format=ending[1:], dpi=dpi, metadata=undated)
