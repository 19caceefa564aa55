"""Reads CIFAR-10's pickled batches safely: only arrays and plain containers are unpickled."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import read_limited


def _empty_array(*_: object) -> np.ndarray:
    return np.empty(0, np.uint8)  # its shape and values follow, and must match


def _array(content: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _bytes(text: str, encoding: str) -> bytes:
    return text.encode("latin-1")  # how Python 3 writes bytes for Python 2


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.numeric", "_frombuffer"): _array,
    ("numpy._core.numeric", "_frombuffer"): _array,
    ("numpy", "ndarray"): _empty_array,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _bytes,
}


class _Unpickler(pickle._Unpickler):  # the one in Python: the one in C allocates whatever a damaged pickle claims
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which is not allowed")
        return _ADMITTED[module, name]


def load(path: Path) -> dict[str, Any]:
    """Returns the dictionary in a pickle of NumPy arrays, lists, strings and numbers, with its keys as text.

    Raises:
        DataError: the pickle uses anything else, is damaged or exceeds the limit.
    """
    content = read_limited(path)
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="latin-1").load()
    except Exception as error:  # a damaged pickle raises whatever its opcodes lead to
        raise DataError(f"{path} is not a pickle of arrays or is damaged ({error}).") from None
    if not isinstance(loaded, dict):
        raise DataError(f"{path} should hold a dictionary. Received {type(loaded).__name__}.")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in loaded.items()}
