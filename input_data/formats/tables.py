"""Reads images from Kaggle's CSV tables, with a line for each image: its label, then its pixels."""

import warnings
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import check_size


def read(path: Path, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] and labels int32 [n] of a `.csv` file, with or without a heading line.

    Raises:
        DataError: the file does not exist, a line has another length, or a value is not a whole number from 0 to 255.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    check_size(path, 2 * path.stat().st_size)
    width = rows * columns + 1
    try:
        with path.open(encoding="ascii") as file:
            heading = not file.readline(10 * width).lstrip()[:1].isdigit()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty table is refused below
            table = np.loadtxt(path, np.int16, delimiter=",", skiprows=int(heading), encoding="ascii", ndmin=2)
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
    return table[:, 1:].astype(np.uint8).reshape(-1, rows, columns), table[:, 0].astype(np.int32)
