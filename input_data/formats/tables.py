"""Reads images from tables (`.csv`) with a line for each image: its label and its pixels."""

import warnings
from pathlib import Path

import numpy as np

from input_data.dataset import DataError


def read(path: Path, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] and labels int32 [n] of a table with or without a heading line.

    The label is the one column whose name has no digit (`label` of Kaggle, `class` of OpenML). Without a heading it is
    the first column, or the last if the first has the same value everywhere and the last has not.

    Raises:
        DataError: the heading names no column of labels or several, a line has another length, or a value is not a
            whole number from 0 to 255.
    """
    width = rows * columns + 1
    try:
        with path.open(encoding="utf-8-sig") as file:
            names = [name.strip(" \t\n'\"") for name in file.readline().split(",")]
        heading = any(letter.isalpha() for name in names for letter in name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty table is refused below
            table = np.loadtxt(
                path, np.int16, delimiter=",", skiprows=int(heading), encoding="utf-8-sig", ndmin=2, quotechar='"'
            )
    except ValueError as error:
        raise DataError(f"{path} should be a table of whole numbers ({error}).") from None
    if table.shape[1] != width or not len(table):
        raise DataError(
            f"{path} should have a label and {width - 1} pixels in each line. Received {table.shape[1]} columns and "
            f"{len(table)} lines."
        )
    wrong = np.flatnonzero(((table < 0) | (table > 255)).any(axis=1))
    if wrong.size:
        raise DataError(f"{path}, line {wrong[0] + 1 + heading}: pixels must be 0 to 255.")
    label = _label_column(path, names) if heading else -1 if np.ptp(table[:, 0]) == 0 < np.ptp(table[:, -1]) else 0
    pixels = np.delete(table, label, axis=1).astype(np.uint8)
    return pixels.reshape(-1, rows, columns), table[:, label].astype(np.int32)


def _label_column(path: Path, names: list[str]) -> int:
    found = [place for place, name in enumerate(names) if not any(letter.isdigit() for letter in name)]
    if len(found) != 1:
        raise DataError(
            f"{path}: one column should hold the label, and the names of the others, of pixels, have numbers. "
            f"Received {len(found)} names without a number: {', '.join(names[place] for place in found[:5]) or 'none'}."
        )
    return found[0]
