"""Lays out sheets of small images with names and headings, and writes figures to files."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from input_data.formats.files import atomic_write
from runner.summaries import grid

DPI = 100  # pixels per inch at which figures are written
_FONT = 8  # points of the names of rows and columns


@dataclass(frozen=True)
class Block:
    """A part of a sheet: a strip of images (see `strip`) under a title, or only the title if there are no rows."""

    title: str
    rows: dict[str, np.ndarray]  # images [columns, rows, columns, depth] in [0, 1] by name; all of the same size
    headings: list[str]  # one for each column
    colours: Any = None  # a `ScalarMappable` with a `TwoSlopeNorm`, whose colour bar is drawn at the right


def strip(axes: Axes, rows: dict[str, np.ndarray], headings: list[str]) -> None:
    """Shows rows of images, see `Block`, with the name of each row at its left and a heading above each column."""
    picture = grid(list(rows.values()))
    height, width = picture.shape[0] / len(rows), picture.shape[1] / len(headings)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks((np.arange(len(headings)) + 0.5) * width - 0.5, headings, fontsize=_FONT)
    axes.set_yticks((np.arange(len(rows)) + 0.5) * height - 0.5, list(rows), fontsize=_FONT)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def fitted(text: str, inches: float, size: float = _FONT) -> str:
    """Breaks each line of a text so that it is about as wide as given, in letters of `size` points."""
    letters = max(4, int(inches * 72 / (0.62 * size)))
    return "\n".join(fill(line, letters) for line in text.split("\n"))


def sheet(title: str, blocks: list[Block], tile: float = 0.6) -> Figure:
    """A figure with blocks below one another, whose images have a side of `tile` inches, under a title."""
    left = max((len(name) for block in blocks for name in block.rows), default=0) * 0.62 * _FONT / 72
    right = 0.9 if any(block.colours for block in blocks) else 0.1
    width = max(4.5, left + tile * max(len(block.headings) for block in blocks) + right + 0.2)
    title, heads = fitted(title, width - 0.3, 11), [fitted(block.title, width - 0.3, 9) for block in blocks]
    headings = [[fitted(heading, tile) for heading in block.headings] for block in blocks]
    lines = [head.count("\n") + max((1 + text.count("\n") for text in texts), default=0)
             for head, texts in zip(heads, headings, strict=True)]  # fmt: skip
    heights = [0.3 + 0.16 * count + tile * len(block.rows) for count, block in zip(lines, blocks, strict=True)]
    figure = Figure(figsize=(width, sum(heights) + 0.2 * title.count("\n") + 0.35), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=11, weight="bold", x=0.1 / width, ha="left")
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, block, head, texts in zip(parts, blocks, heads, headings, strict=True):
        part.suptitle(head, fontsize=9, x=0.1 / width, ha="left")
        if texts:
            axes = part.subplots()
            strip(axes, block.rows, texts)
            axes.set_anchor("W")
            if block.colours is not None:
                norm, look = block.colours.norm, {"extend": "both", "aspect": 30, "pad": 0.02, "format": "%.3f"}
                bar = part.colorbar(block.colours, ax=axes, ticks=(norm.vmin, norm.vcenter, norm.vmax), **look)
                bar.ax.tick_params(labelsize=_FONT)
    return figure


def write(path: Path, figure: Figure, dpi: int = DPI) -> None:
    """Writes a figure, completely or not at all, in the format of the file's ending: `.png`, `.svg` or `.pdf`.

    The same figure gives the same bytes. `dpi` is pixels per inch of a PNG, or of the images inside the other formats.
    """
    ending = path.suffix.lower().removeprefix(".")
    undated: dict[str, dict] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with atomic_write(path) as (draft,), matplotlib.rc_context({"svg.hashsalt": "capsules", "pdf.fonttype": 42}):
        figure.savefig(draft, format=ending, dpi=dpi, metadata=undated.get(ending))
