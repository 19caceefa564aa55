"""Reads numeric arrays, and structs of them, from MATLAB files of version 5.

Format: "MAT-File Format", MathWorks: a header of 128 bytes, then elements, each with a tag (a type and a length) and
data. Every length is checked against the content of the file before anything is allocated, and elements that are not
numeric arrays are skipped. No file can therefore take more memory than `files.size_limit` or crash the reader.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import check_size, size_limit

_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # as stored
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED, _STRUCT = 14, 15, 2
_COMPLEX = 0x08  # among the flags

Variable = np.ndarray | dict[str, np.ndarray]


class _Damaged(Exception):
    """The file is damaged; the argument says how."""


@dataclass(frozen=True)
class _Reader:
    """Reads the elements of a file or of an unpacked element.

    Attributes:
        content: the bytes.
        order: byte order of the numbers, "<" or ">".
    """

    content: memoryview
    order: str

    def elements(self) -> Iterator[tuple[int, memoryview]]:
        """Yields the type and the data of each element in turn."""
        position = 0
        while position + 8 <= len(self.content):
            kind, size = np.frombuffer(self.content, self.order + "u4", 2, position).tolist()
            if kind >> 16:  # a small element: length and type share a word, and the data follow it
                kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
                position += 8
                if size > 4:
                    raise _Damaged("a small element is larger than 4 bytes")
            else:
                start = position + 8
                position = start + size + (-size % 8 if kind != _COMPRESSED else 0)
            if start + size > len(self.content):
                raise _Damaged(f"an element has {size:,} bytes where {len(self.content) - start:,} are left")
            yield kind, self.content[start : start + size]
        if position < len(self.content):
            raise _Damaged("it ends within an element")

    def numbers(self, kind: int, data: memoryview) -> np.ndarray:
        """Returns the values of an element."""
        if kind not in _DTYPES or len(data) % np.dtype(_DTYPES[kind]).itemsize:
            raise _Damaged(f"an element of type {kind} and {len(data):,} bytes holds no numbers")
        return np.frombuffer(data, self.order + _DTYPES[kind])

    def variable(self, within_struct: bool = False) -> tuple[str, Variable | None]:
        """Returns the name and the value of a matrix element; the value is None if it is not a numeric array."""
        elements = self.elements()
        try:
            (_, flags), (kind, sizes), (_, name) = next(elements), next(elements), next(elements)
            flag = int(np.frombuffer(flags, self.order + "u4")[0])
            shape = tuple(self.numbers(kind, sizes).tolist())
            if any(size < 0 for size in shape):
                raise _Damaged(f"an array has the dimensions {shape}")
            text = bytes(name).decode("latin-1")
            if flag & 0xFF == _STRUCT and not within_struct:
                return text, self._struct(elements) if math.prod(shape) == 1 else None
            dtype = _CLASSES.get(flag & 0xFF)
            if dtype is None or flag >> 8 & _COMPLEX:
                return text, None
            values = self.numbers(*next(elements))
        except (StopIteration, IndexError, ValueError):
            raise _Damaged("an array is not complete") from None
        if math.prod(shape) != len(values):
            raise _Damaged(f"an array of {shape} comes with {len(values):,} values")
        return text, values.astype(dtype, copy=False).reshape(shape, order="F")

    def _struct(self, elements: Iterator[tuple[int, memoryview]]) -> dict[str, np.ndarray]:
        """Returns the numeric fields of a struct whose name has been read."""
        width = int(self.numbers(*next(elements))[0])
        names = bytes(next(elements)[1])
        if width < 1:
            raise _Damaged("the names of a struct's fields have no length")
        fields = {}
        for start in range(0, len(names), width):
            kind, data = next(elements)
            value = _Reader(data, self.order).variable(within_struct=True)[1] if kind == _MATRIX and data else None
            if isinstance(value, np.ndarray):
                fields[names[start : start + width].partition(b"\0")[0].decode("latin-1")] = value
        return fields


def load(path: Path, names: tuple[str, ...]) -> dict[str, Variable]:
    """Returns the variables of a `.mat` file: numeric arrays, or for a 1x1 struct its numeric fields by name.

    Args:
        path: the file.
        names: the variables that it must have.

    Raises:
        DataError: the file does not exist, is damaged, exceeds the limit, or lacks one of these variables.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    check_size(path, path.stat().st_size)
    try:
        variables = _variables(path)
    except _Damaged as error:
        raise DataError(f"{path} is not a MATLAB v5 file or is damaged ({error}).") from None
    missing = [name for name in names if name not in variables]
    if missing:
        raise DataError(f"{path} lacks the variable {missing[0]}. It has: {', '.join(variables) or 'none'}.")
    return variables


def _variables(path: Path) -> dict[str, Variable]:
    content = memoryview(path.read_bytes())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is None or bytes(content[:8]) == b"\x89HDF\r\n\x1a\n":
        raise _Damaged("its beginning is different; save it with MATLAB's -v7 or older")
    variables, left = {}, size_limit()
    for kind, data in _Reader(content[128:], order).elements():
        reader = _Reader(data, order)
        if kind == _COMPRESSED:
            unpacked = _unpacked(path, data, left)
            left -= len(unpacked)
            inner = next(_Reader(unpacked, order).elements(), None)
            if inner is None:
                raise _Damaged("a compressed element is empty")
            kind, reader = inner[0], _Reader(inner[1], order)
        if kind == _MATRIX:
            name, value = reader.variable()
            if value is not None:
                variables[name] = value
    return variables


def _unpacked(path: Path, data: memoryview, limit: int) -> memoryview:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, limit)
        if not unpacker.eof:
            if len(unpacked) >= limit:
                check_size(path, size_limit() + 1, "its unpacked content")
            raise _Damaged("a compressed element is cut short")
    except zlib.error as error:
        raise _Damaged(str(error)) from None
    return memoryview(unpacked)
