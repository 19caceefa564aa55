"""Finds and reads CIFAR-10 in a folder: its binary version, its Python version, or TFRecords of two kinds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from input_data.dataset import DataError, check_labels
from input_data.formats import pickled, tfds
from input_data.formats.files import check_size
from input_data.formats.records import Records, plain_or_packed

RAW = 32  # pixels of a side
_RECORD = 1 + 3 * RAW * RAW
_BATCHES = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
    "valid_train": tuple(f"data_batch_{number}" for number in range(1, 5)),
    "valid_test": ("data_batch_5",),
}
_GENERATED = {  # the TensorFlow models' generator puts data_batch_5 into validation.tfrecords
    "train": ("train", "validation"),
    "test": ("eval",),
    "valid_train": ("train",),
    "valid_test": ("validation",),
}

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 [n, 32, 32, 3] and labels int32 [n]


def read_binary(path: Path) -> Arrays:
    """Returns the images and labels of a file of CIFAR-10's binary version.

    Format: https://www.cs.toronto.edu/~kriz/cifar.html — records of 3,073 bytes: the label, then 32x32 planes of red,
    green and blue.

    Raises:
        DataError: the file is empty, its size is not a multiple of 3,073 bytes, or a label is above 9.
    """
    check_size(path, path.stat().st_size)
    content = np.fromfile(path, np.uint8)
    if not content.size or content.size % _RECORD:
        raise DataError(
            f"{path} should hold records of {_RECORD:,} bytes. Received {content.size:,} bytes: it is cut short or "
            "not CIFAR-10's binary version."
        )
    records = content.reshape(-1, _RECORD)
    return _from_planes(records[:, 1:]), check_labels(records[:, 0], 10, str(path))


def read_pickled(path: Path) -> Arrays:
    """Returns the images and labels of a file of CIFAR-10's Python version.

    Raises:
        DataError: the file has no images and labels of the right sizes; also as `pickled.load`.
    """
    content = pickled.load(path)
    planes, labels = content.get("data"), content.get("labels")
    shape = getattr(planes, "shape", None)
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.ndim != 2 or shape[1] != _RECORD - 1:
        raise DataError(f"{path}: data should be uint8 [n, 3072]. Received {getattr(planes, 'dtype', None)} {shape}.")
    if not isinstance(labels, list) or len(labels) != len(planes) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: labels should be a list of {len(planes)} whole numbers.")
    return _from_planes(planes), check_labels(np.array(labels), 10, str(path))


def read_generated(path: Path) -> Arrays:
    """Returns the images and labels of a TFRecord file that the TensorFlow models' generator wrote.

    Raises:
        DataError: a record is damaged or has another size or class; the message names it.
    """
    records = Records([path])
    check_size(path, len(records) * _RECORD)
    images, labels = [], []
    for block in records.blocks():
        parsed = records.parse(block, {"image": 0, "label": 1})
        images.append(records.pixels(parsed["image"], block, (3, RAW, RAW)))
        labels.append(parsed["label"][:, 0])
    return _from_planes(np.concatenate(images)), check_labels(np.concatenate(labels), 10, str(path))


def _from_planes(values: np.ndarray) -> np.ndarray:
    """Returns [n, 3072], planes of red, green and blue, as images [n, 32, 32, 3]."""
    return values.reshape(-1, 3, RAW, RAW).transpose(0, 2, 3, 1)


def load(folder: Path, split_name: str) -> Arrays:
    """Returns the images and labels of a split; the validation split is data_batch_5.

    Args:
        folder: the folder of the files, or the one above it.
        split_name: train, test, valid_train or valid_test.

    Raises:
        DataError: the folder has none of the formats, or files are missing or damaged.
    """
    batches = _BATCHES[split_name]
    forms: dict[Path, tuple[list[str], Callable[[Path], Arrays]]] = {
        folder / "cifar-10-batches-bin": ([f"{name}.bin" for name in batches], read_binary),
        folder / "cifar-10-batches-py": (list(batches), read_pickled),
    }
    lists = [(place, names, read) for inside, (names, read) in forms.items() for place in (inside, folder)]
    lists.append((folder, [f"{name}.tfrecords" for name in _GENERATED[split_name]], read_generated))
    for place, names, read in lists:
        paths = [plain_or_packed(place, name) for name in names]
        if all(paths):
            images, labels = zip(*(read(path) for path in paths if path), strict=True)
            return np.concatenate(images), np.concatenate(labels)
        if any(paths):
            missing = [name for name, path in zip(names, paths, strict=True) if path is None]
            raise DataError(f"{place} lacks {', '.join(missing)}.")
    paths = tfds.locate(folder, "cifar10", "test" if split_name == "test" else "train")
    if paths:
        return _from_tfds(paths, split_name)
    raise DataError(
        f"{folder} has no CIFAR-10. Looked for: {batches[0]}.bin (binary version), {batches[0]} (Python version), both "
        f"also in cifar-10-batches-bin and cifar-10-batches-py; {_GENERATED[split_name][0]}.tfrecords (generator of "
        "the TensorFlow models); cifar10-train.tfrecord-00000-of-00001 (TensorFlow Datasets)."
    )


def _from_tfds(paths: list[Path], split_name: str) -> Arrays:
    images, labels = tfds.read(paths, (RAW, RAW, 3))
    first = len(images) - len(images) // 5  # the last fifth is as large as data_batch_5
    own = {"valid_train": slice(first), "valid_test": slice(first, None)}.get(split_name, slice(None))
    return images[own, 0], check_labels(labels[own, 0], 10, str(paths[0]))
