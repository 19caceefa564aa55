"""Reads CIFAR-10's pickled batches safely: only NumPy's arrays are made, and no other code is run."""

import io
import pickle
from pathlib import Path
from typing import Any

from input_data.dataset import DataError
from input_data.formats.files import read_bytes

_ADMITTED = ("multiarray._reconstruct", "numeric._frombuffer", "numpy.ndarray", "numpy.dtype", "_codecs.encode")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}".replace("numpy._core.", "").replace("numpy.core.", "") not in _ADMITTED:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)  # its name since NumPy 1.26


def load(path: Path) -> dict[str, Any]:
    """Returns the dictionary in a pickle of arrays, lists, texts and numbers; DataError if there is anything else."""
    try:
        loaded = _Unpickler(io.BytesIO(read_bytes(path)), encoding="latin-1").load()
        return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in loaded.items()}
    except Exception as error:  # a damaged pickle raises whatever its opcodes lead to
        raise DataError(f"{path} is not a pickle of a dictionary of arrays or is damaged ({error}).") from None
