"""Finds and reads MNIST and its relatives in a folder, in their usual file formats.

Each format is a function that looks for its files in a folder and returns a `Source` or None. `FORMS` lists them in the
order in which they are tried, with a description of the files for the user.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from input_data.dataset import DataError, check_labels
from input_data.formats import idx, npz, tables, tfds
from input_data.mnist import relatives
from input_data.mnist.relatives import EMNIST, FASHION, KMNIST, MNIST, QMNIST, Relative

SIDE = 28  # pixels of the images in tables and in TensorFlow Datasets, which do not state their size
_HELD_OUT = 7  # the last seventh of a file without test images is held out as the test


@dataclass(frozen=True)
class Source:
    """Files of one format.

    Attributes:
        path: the folder or file, for messages.
        relative: the data set that the file names imply; None: MNIST, or a data set with the same file names.
        read: returns images uint8 [n, rows, columns] and labels [n] of "train" or "test".
        note: what the user should know; may be empty.
    """

    path: Path
    relative: Relative | None
    read: Callable[[str], tuple[np.ndarray, np.ndarray]]
    note: str = ""


@dataclass(frozen=True)
class Examples:
    """Images and labels of a split.

    Attributes:
        images: uint8 [n, rows, columns].
        labels: int32 [n], counted from 0.
        relative: the data set's facts.
        note: what the user should know; may be empty.
    """

    images: np.ndarray
    labels: np.ndarray
    relative: Relative
    note: str = ""


def _below(folder: Path, *names: str) -> list[Path]:
    """Returns the folder itself and the folders below it in which torchvision keeps its files."""
    return [folder, folder / "raw", *(folder / name / "raw" for name in names)]


def _idx(folder: Path) -> Source | None:
    names = {"train": "train", "test": "t10k"}
    for place in _below(folder, "MNIST", "FashionMNIST", "KMNIST"):
        if any(idx.locate(place, f"{prefix}-images-idx3-ubyte") for prefix in names.values()):
            return Source(place, None, partial(idx.load, place))
    return None


def _emnist(folder: Path) -> Source | None:
    """EMNIST's files. If a folder has several of its six splits, FOLDER/emnist-letters names one of them."""
    inside = folder if folder.is_dir() else folder.parent
    for place in _below(inside, "EMNIST"):
        splits = [name for name in EMNIST if idx.locate(place, f"emnist-{name}-test-images-idx3-ubyte")]
        splits = [name for name in splits if folder == inside or folder.name == f"emnist-{name}"]
        if len(splits) > 1:
            choice = ", ".join(f"{place / f'emnist-{name}'}" for name in splits)
            raise DataError(f"{place} has several splits of EMNIST. Give one of them as --data_dir: {choice}.")
        if splits:
            prefix = f"emnist-{splits[0]}"
            return Source(place, EMNIST[splits[0]], partial(_idx_pair, place, prefix))
    return None


def _idx_pair(folder: Path, prefix: str, split_name: str) -> tuple[np.ndarray, np.ndarray]:
    return idx.pair(
        *idx.needed(folder, f"{prefix}-{split_name}-images-idx3-ubyte", f"{prefix}-{split_name}-labels-idx1-ubyte")
    )


def _qmnist(folder: Path) -> Source | None:
    def read(split_name: str) -> tuple[np.ndarray, np.ndarray]:
        names = (f"qmnist-{split_name}-images-idx3-ubyte", f"qmnist-{split_name}-labels-idx2-int")
        images_path, labels_path = idx.needed(place, *names)
        images, labels = idx.read(images_path, 3), idx.read(labels_path, 2, ">i4")
        if len(images) != len(labels) or labels.shape[1] < 1:
            raise DataError(f"{images_path} has {len(images)} images, but {labels_path} has {labels.shape} labels.")
        return images, labels[:, 0]  # the digit; the others say who wrote it

    for place in _below(folder, "QMNIST"):
        if any(idx.locate(place, f"qmnist-{split_name}-images-idx3-ubyte") for split_name in ("train", "test")):
            return Source(place, QMNIST, read)
    return None


def _npz(folder: Path) -> Source | None:
    names = {"mnist.npz": None, "fashion_mnist.npz": FASHION, "fashion-mnist.npz": FASHION, "kmnist.npz": KMNIST}
    path = folder if folder.is_file() else next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None or path.suffix != ".npz":
        return None

    def read(split_name: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = npz.examples(path, *npz.parts(path)[split_name])
        if images.ndim != 3:
            raise DataError(f"{path}: images should be grey, uint8 [n, rows, columns]. Received {list(images.shape)}.")
        return images, labels

    return Source(path, names.get(path.name), read)


def _kmnist_npz(folder: Path) -> Source | None:
    """KMNIST's own `.npz` files, each with one array."""
    if not any((folder / f"kmnist-{split_name}-imgs.npz").is_file() for split_name in ("train", "test")):
        return None

    def read(split_name: str) -> tuple[np.ndarray, np.ndarray]:
        paths = [folder / f"kmnist-{split_name}-{kind}.npz" for kind in ("imgs", "labels")]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{folder} lacks {path.name}.")
        (images,), (labels,) = (npz.read(path, ("arr_0",)) for path in paths)
        return images, labels

    return Source(folder, KMNIST, read)


def _tfds(folder: Path) -> Source | None:
    names = {"mnist": MNIST, "fashion_mnist": FASHION, "kmnist": KMNIST}
    for name, relative in names.items():
        paths = {split_name: tfds.locate(folder, name, split_name) for split_name in ("train", "test")}
        if not any(paths.values()):
            continue

        def read(split_name: str, name=name, paths=paths) -> tuple[np.ndarray, np.ndarray]:
            if not paths[split_name]:
                raise DataError(f"{folder} lacks {name}-{split_name}.tfrecord-00000-of-00001.")
            images, labels = tfds.read(paths[split_name], (SIDE, SIDE, 1))
            return images[:, 0, ..., 0], labels[:, 0]

        return Source(folder, relative, read)
    return None


def _csv(folder: Path) -> Source | None:
    """Kaggle's tables. The digit contest's `test.csv` has no labels, so a share of `train.csv` replaces it."""
    pairs = {
        ("mnist_train.csv", "mnist_test.csv"): None,
        ("fashion-mnist_train.csv", "fashion-mnist_test.csv"): FASHION,
    }
    for (train, test), relative in pairs.items():
        if (folder / train).is_file() or (folder / test).is_file():
            paths = {"train": folder / train, "test": folder / test}
            return Source(folder, relative, lambda split_name, paths=paths: tables.read(paths[split_name], SIDE, SIDE))
    path = folder / "train.csv"
    if not path.is_file():
        return None

    def read(split_name: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = tables.read(path, SIDE, SIDE)
        first = len(images) - len(images) // _HELD_OUT
        own = slice(first, None) if split_name == "test" else slice(first)
        return images[own], labels[own]

    return Source(path, None, read, f"The last seventh of {path} is held out as the test.")


FORMS: dict[str, Callable[[Path], Source | None]] = {
    "IDX files (train-images-idx3-ubyte[.gz], its labels, and those of t10k), also in MNIST/raw, FashionMNIST/raw or "
    "KMNIST/raw": _idx,
    "EMNIST's (emnist-letters-train-images-idx3-ubyte[.gz] …)": _emnist,
    "QMNIST's (qmnist-train-images-idx3-ubyte[.gz], qmnist-train-labels-idx2-int[.gz] …)": _qmnist,
    "mnist.npz or fashion_mnist.npz of Keras": _npz,
    "kmnist-train-imgs.npz …": _kmnist_npz,
    "TFRecords of TensorFlow Datasets (mnist-train.tfrecord-00000-of-00001 …)": _tfds,
    "Kaggle's train.csv, or mnist_train.csv and mnist_test.csv": _csv,
}


def locate(folder: Path) -> Source | None:
    """Returns the files of the first format in a folder (or a `.npz` file); None if it has none."""
    return next((source for form in FORMS.values() if (source := form(folder)) is not None), None)


def load(folder: Path, split_name: str, relative: Relative | None = None) -> Examples:
    """Returns the images and labels of the training or the test files.

    Args:
        folder: a folder, a `.npz` file, or FOLDER/emnist-NAME.
        split_name: "test" for the test files; "train", "valid_train" or "valid_test" for all training images.
        relative: the data set in the files if their names do not say.

    Raises:
        DataError: there are no such files, or files are missing, damaged or have other labels.
    """
    source = locate(folder)
    if source is None:
        raise DataError(f"{folder} has none of these: {'; '.join(FORMS)}.")
    images, labels = source.read("test" if split_name == "test" else "train")
    if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != (len(images),) or not images.size:
        raise DataError(
            f"{source.path}: expected images uint8 [n, rows, columns] and n labels. "
            f"Received {images.dtype} {list(images.shape)} and labels {list(labels.shape)}."
        )
    relative = source.relative or relative or relatives.recognise(labels, "/".join(source.path.parts[-3:]))
    labels = check_labels(labels, len(relative.class_names), str(source.path), relative.first_label)
    return Examples(images.transpose(0, 2, 1) if relative.transposed else images, labels, relative, source.note)
