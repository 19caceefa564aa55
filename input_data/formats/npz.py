"""Reads images and labels from NumPy's `.npz` files in the layouts of Keras and of MedMNIST. Nothing is unpickled."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import check_size

# The arrays of images and of labels of each split.
LAYOUTS = (
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},  # Keras
    {  # MedMNIST, which has its own validation split
        "train": ("train_images", "train_labels"),
        "val": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
)


def read(path: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    """Returns arrays of a `.npz` file. Their sizes are checked before anything is allocated.

    Args:
        path: the file.
        names: the names of the arrays.

    Raises:
        DataError: the file is not a `.npz` file, is damaged, exceeds the limit, lacks an array, or has arrays of
            objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [_array(path, archive, name) for name in names]
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not a .npz file of numbers or is damaged ({error}).") from None


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise DataError(f"{path} lacks the array {name}. It has: {', '.join(array_names(path))}.") from None
    check_size(path, member.file_size, f"the array {name}")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"the array {name} has the version {version}")
        shape, fortran, dtype = reader(file)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise DataError(f"{path}: the array {name} should hold numbers. Received {dtype}.")
        size = math.prod(shape) * dtype.itemsize
        if any(side < 0 for side in shape) or file.tell() + size != member.file_size:
            raise ValueError(f"the array {name} claims {shape} of {dtype} and has {member.file_size:,} bytes")
        values = np.frombuffer(file.read(), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def array_names(path: Path) -> list[str]:
    """Returns the names of the arrays in a `.npz` file; raises DataError if it is not one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is not a .npz file or is damaged ({error}).") from None


def parts(path: Path) -> dict[str, tuple[str, str]]:
    """Returns the names of the arrays of images and labels for "train", "test" and, in MedMNIST, "val".

    Raises:
        DataError: the file has neither the layout of Keras nor that of MedMNIST.
    """
    names = set(array_names(path))
    for layout in LAYOUTS:
        if all(pair <= names for pair in map(set, layout.values())):
            return layout
    raise DataError(
        f"{path} should have the arrays x_train, y_train, x_test and y_test (Keras), or train_images, train_labels, "
        f"val_images, val_labels, test_images and test_labels (MedMNIST). It has: {', '.join(sorted(names)) or 'none'}."
    )


def examples(path: Path, images_name: str, labels_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] or [n, rows, columns, depth], and labels [n].

    Raises:
        DataError: the arrays have other shapes or types; also as `read`.
    """
    images, labels = read(path, (images_name, labels_name))
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise DataError(
            f"{path}: {images_name} should be uint8 [n, rows, columns] or [n, rows, columns, depth], 0 to 255. "
            f"Received {images.dtype} {list(images.shape)}."
        )
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise DataError(
            f"{path}: {labels_name} should hold one label for each of {len(images):,} images. "
            f"Received {list(labels.shape)}."
        )
    return images, labels.reshape(-1)
