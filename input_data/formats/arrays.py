"""Reads arrays from NumPy's `.npz` files, MATLAB's files, CIFAR-10's pickles and tables (`.csv`)."""

import io
import pickle
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from input_data.dataset import DataError, unfit
from input_data.formats.files import read_bytes

_HARMLESS = ("multiarray._reconstruct", "numeric._frombuffer", "numpy.ndarray", "numpy.dtype", "_codecs.encode")


class _Unpickler(pickle.Unpickler):
    """Makes NumPy's arrays and plain containers only; no other code is run."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}".replace("numpy._core.", "").replace("numpy.core.", "") not in _HARMLESS:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)  # its name since NumPy 1.26


def _load(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".npz":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".mat":
        from scipy.io import loadmat

        return loadmat(path, simplify_cells=True)
    found = _Unpickler(io.BytesIO(read_bytes(path)), encoding="latin-1").load()
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is missing, damaged or of another format ({error}). Fetch it again.")


def read(path: Path, *names: str) -> dict[str, Any]:
    """Returns the arrays with these names in a `.npz` file, a `.mat` file, or a pickle of a dictionary.

    Those that are not asked for are None, and not read from a `.npz` file. DataError: the file is missing, damaged or
    lacks one, or a pickle has anything but arrays, lists, texts and numbers.
    """
    try:
        content = _load(path)
        found = {name: content[name] if name in names else None for name in content}
    except Exception as error:  # damage leads to whatever the bytes are taken for
        raise _unreadable(path, error) from None
    require(path, names, found)
    return found


def require(path: Path, names: Collection[str], found: Collection[str]) -> None:
    """Raises DataError unless a file has arrays with all these names."""
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path} lacks the array {missing[0]}. It has: {', '.join(sorted(found)) or 'none'}.")


def npz_examples(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images [n, …] and labels [n] of "train", "test" or "val" of a `.npz` file as Keras or MedMNIST has it."""
    there = read(path)
    for layout in (("x_{}", "y_{}"), ("{}_images", "{}_labels")):
        wanted = [name.format(each) for each in (part, "train", "test") for name in layout]
        if there.keys() >= set(wanted):
            images, labels = map(read(path, *wanted[:2]).get, wanted[:2])
            return images, labels.reshape(-1)
    should = "have the arrays x_train, y_train, x_test, y_test or train_images, train_labels, test_images, test_labels"
    raise unfit(path, should, ", ".join(sorted(there)) or "none")


def read_csv(path: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, side, side] and labels [n] of a table with a line for each image: its label and pixels.

    The label is the one column whose name has no digit (`label` of Kaggle, `class` of OpenML). Without a heading it is
    the first column, or the last if the first has the same value everywhere and the last has not.
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines() or [""]
        names = [name.strip(" \t\n'\"") for name in lines[0].split(",")]
        heading = any(letter.isalpha() for name in names for letter in name)
        with warnings.catch_warnings(action="ignore"):  # an empty table is refused below
            table = np.loadtxt(lines[heading:], np.int16, delimiter=",", ndmin=2, quotechar='"')
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    worded = [place for place, name in enumerate(names) if not any(letter.isdigit() for letter in name)]
    fits = len(table) and table.shape[1] == side * side + 1 and table.min() >= 0 and table.max() <= 255
    if not fits or (heading and len(worded) != 1):
        should = f"have {side * side} pixels from 0 to 255 and a label in each line, and one name without a number"
        received = f"{len(table)} lines of {table.shape[1]} values, and {len(worded)} such names"
        raise unfit(path, should, f"{received}: {', '.join(names[place] for place in worded[:5])}")
    label = worded[0] if heading else -1 if np.ptp(table[:, 0]) == 0 < np.ptp(table[:, -1]) else 0
    return np.delete(table, label, axis=1).astype(np.uint8).reshape(-1, side, side), table[:, label]
