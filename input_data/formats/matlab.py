"""Reads MATLAB v5 files, with SciPy."""

from pathlib import Path

import numpy as np

from input_data.dataset import DataError


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Some variables of a `.mat` file.

    Args:
        path: the file.
        names: the variables it must have.

    Raises:
        DataError: no such file, no SciPy, a damaged file, or one without these variables.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(f"{path} needs SciPy to be read: pip install scipy") from None
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    try:
        content = loadmat(path, squeeze_me=False)
    except Exception as error:  # SciPy raises whatever the damage leads to
        raise DataError(f"{path} is no MATLAB v5 file, or is damaged ({error}).") from None
    missing = [name for name in names if name not in content]
    if missing:
        found = ", ".join(name for name in content if not name.startswith("__"))
        raise DataError(f"{path} lacks the variable {missing[0]}. It has: {found or 'none'}.")
    return content
