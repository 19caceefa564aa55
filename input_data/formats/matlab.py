"""Reads variables from MATLAB's files."""

from pathlib import Path
from typing import Any

from input_data.dataset import DataError


def load(path: Path, *names: str) -> list[Any]:
    """Returns variables of a `.mat` file as SciPy reads them; DataError if it is missing, damaged or lacks one."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    try:
        variables = loadmat(path)
    except Exception as error:  # damage leads to whatever the bytes are taken for
        raise DataError(f"{path} is damaged, or not a file of MATLAB's versions 5 to 7 ({error}).") from None
    missing = [name for name in names if name not in variables]
    if missing:
        raise DataError(f"{path} lacks the variable {missing[0]}. It has: {', '.join(sorted(variables)) or 'none'}.")
    return [variables[name] for name in names]
