"""Reads images and labels from NumPy's `.npz` files in the layouts of Keras and of MedMNIST. Nothing is unpickled."""

from pathlib import Path

import numpy as np

from input_data.dataset import DataError

# The arrays of images and of labels of each part.
LAYOUTS = (
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},  # Keras
    {  # MedMNIST, which has its own validation split
        "train": ("train_images", "train_labels"),
        "val": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
)


def read(path: Path, names: tuple[str, ...] = ()) -> dict[str, np.ndarray | None]:
    """Returns the arrays with these names in a `.npz` file; the other arrays, which are not read, are None."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] if name in names else None for name in archive.files}
    except Exception as error:  # damage leads to whatever the header is parsed as
        raise DataError(f"{path} is not a .npz file of numbers or is damaged ({error}). Fetch it again.") from None
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks the array {missing[0]}. It has: {', '.join(arrays) or 'none'}.")
    return arrays


def parts(path: Path) -> dict[str, tuple[str, str]]:
    """Returns the names of the arrays of images and labels for "train", "test" and, in MedMNIST, "val"."""
    names = read(path).keys()
    for layout in LAYOUTS:
        if all(set(pair) <= names for pair in layout.values()):
            return layout
    raise DataError(
        f"{path} should have the arrays x_train, y_train, x_test and y_test (Keras), or train_images, train_labels, "
        f"val_images, val_labels, test_images and test_labels (MedMNIST). It has: {', '.join(sorted(names)) or 'none'}."
    )


def examples(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, rows, columns] or [n, rows, columns, depth], and labels [n], of a part."""
    names = parts(path)[part]
    images, labels = map(read(path, names).get, names)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise DataError(
            f"{path}: {names[0]} should be uint8 [n, rows, columns] or [n, rows, columns, depth], 0 to 255. "
            f"Received {images.dtype} {list(images.shape)}."
        )
    if labels.shape not in ((len(images),), (len(images), 1)) or labels.dtype.kind not in "biuf":
        raise DataError(
            f"{path}: {names[1]} should hold one label for each of {len(images):,} images. "
            f"Received {labels.dtype} {list(labels.shape)}."
        )
    return images, labels.reshape(-1)
