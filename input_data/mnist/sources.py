"""Finds and reads MNIST and its relatives in a folder: `FORMS` is the table of the file forms that people have."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from input_data.dataset import DataError, check_labels
from input_data.formats import idx, npz, tables
from input_data.mnist.relatives import EMNIST, FASHION, KMNIST, MNIST, QMNIST, Relative, recognise

SIDE = 28  # pixels of the images in tables, which do not state their size
_HELD_OUT = 7  # the last seventh of a table without test images is held out as the test


@dataclass(frozen=True)
class Form:
    """One form in which a data set lies in a folder."""

    images: str  # name of a file, where {} is the part
    labels: str  # the same name if one file holds both
    relative: Relative | None  # the data set that the names imply; None: several data sets use them
    folders: tuple[str, ...] = ("",)  # where the files are looked for, below the user's folder
    parts: tuple[str, str] = ("train", "test")  # the words for these in the names

    @property
    def is_idx(self) -> bool:
        """Whether the files are IDX files, which may be gzipped."""
        return not self.images.endswith((".csv", ".npz"))

    def exists(self, folder: Path) -> bool:
        """Whether a folder has the images of one of the parts."""
        names = [self.names(part)[0] for part in ("train", "test")]
        return any(idx.locate(folder, name) if self.is_idx else (folder / name).is_file() for name in names)

    def names(self, part: str) -> tuple[str, str]:
        """The names of the files of "train" or "test"."""
        word = self.parts[part == "test"]
        return self.images.format(word), self.labels.format(word)


_TORCHVISION = ("", "raw", "MNIST/raw", "FashionMNIST/raw", "fashion-mnist", "KMNIST/raw")
_FILES = {
    **{"mnist.npz": MNIST, "fashion_mnist.npz": FASHION, "fashion-mnist.npz": FASHION, "kmnist.npz": KMNIST},
    **{"mnist_{}.csv": MNIST, "fashion-mnist_{}.csv": FASHION, "train.csv": MNIST},  # Kaggle's test.csv has no labels
}
_PAIRS = {f"emnist-{name}-{{}}": (relative, "EMNIST") for name, relative in EMNIST.items()}
FORMS = (
    Form("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte", None, _TORCHVISION, ("train", "t10k")),
    *(
        Form(f"{name}-images-idx3-ubyte", f"{name}-labels-idx1-ubyte", relative, ("", "raw", f"{folder}/raw"))
        for name, (relative, folder) in _PAIRS.items()
    ),
    Form("qmnist-{}-images-idx3-ubyte", "qmnist-{}-labels-idx2-int", QMNIST, ("", "raw", "QMNIST/raw")),
    Form("kmnist-{}-imgs.npz", "kmnist-{}-labels.npz", KMNIST),
    *(Form(name, name, relative) for name, relative in _FILES.items()),
)
LOOKED_FOR = (
    "IDX files (train-images-idx3-ubyte[.gz], its labels, and those of t10k), also in raw, MNIST/raw, "
    "FashionMNIST/raw, fashion-mnist or KMNIST/raw; EMNIST's (emnist-letters-train-images-idx3-ubyte[.gz] …) and "
    "QMNIST's (qmnist-train-images-idx3-ubyte[.gz] …); mnist.npz or fashion_mnist.npz of Keras; kmnist-train-imgs.npz "
    "…; tables (mnist_train.csv and mnist_test.csv, or Kaggle's train.csv)"
)


@dataclass(frozen=True)
class Source:
    """The files of a form that a folder has, and the data set in them."""

    form: Form
    folder: Path
    relative: Relative

    @property
    def note(self) -> str:
        """What the user should know; may be empty."""
        held_out = self.form.images.endswith(".csv") and "{}" not in self.form.images
        return f"The last seventh of {self.folder / self.form.images} is held out as the test." if held_out else ""

    def _files(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns images and labels of "train" or "test" as they are in the files."""
        names = self.form.names(part)
        images_path, labels_path = (self.folder / name for name in names)
        if self.form.is_idx:
            return idx.load_names(self.folder, *names)
        missing = [path for path in (images_path, labels_path) if not path.is_file()]
        if missing:
            raise DataError(f"{missing[0]} does not exist.")
        if images_path.suffix == ".npz":
            if images_path == labels_path:
                return npz.examples(images_path, part)
            return npz.read(images_path, ("arr_0",))["arr_0"], npz.read(labels_path, ("arr_0",))["arr_0"]
        images, labels = tables.read(images_path, SIDE, SIDE)
        first = len(images) - len(images) // _HELD_OUT if self.note else 0
        own = slice(first, None) if part == "test" else slice(first or None)
        return images[own], labels[own]

    def read(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns images uint8 [n, rows, columns] and labels int32 [n], counted from 0, of "train" or "test"."""
        images, labels = self._files(part)
        if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != (len(images),) or not images.size:
            raise DataError(
                f"{self.folder}: expected grey images uint8 [n, rows, columns] and n labels. "
                f"Received {images.dtype} {list(images.shape)} and labels {list(labels.shape)}."
            )
        relative = self.relative
        labels = check_labels(labels, len(relative.class_names), self.folder, relative.first_label)
        return images.transpose(0, 2, 1) if relative.transposed else images, labels


def _labels(form: Form, folder: Path) -> np.ndarray:
    """The labels in files of which several data sets use the names."""
    if form.images.endswith(".npz"):
        return npz.examples(folder / form.images, "train")[1]
    paths = [idx.locate(folder, form.names(part)[1]) for part in ("train", "test")]
    return next((idx.read_labels(path) for path in paths if path), np.empty(0))


def _search(folder: Path, wanted: Relative) -> list[Source]:
    forms = FORMS
    if folder.is_file() and folder.suffix == ".npz":
        known = next((form.relative for form in FORMS if form.images == folder.name), None)
        forms, folder = (Form(folder.name, folder.name, known),), folder.parent
    elif not folder.is_dir() and folder.name.removeprefix("emnist-") in EMNIST:
        forms, folder = tuple(form for form in FORMS if form.images.startswith(f"{folder.name}-")), folder.parent
    return [
        Source(form, place, form.relative or recognise(_labels(form, place), place, wanted))
        for form in forms
        for place in (folder / name for name in form.folders)
        if form.exists(place)
    ]


def locate(folder: Path, wanted: Relative = MNIST) -> Source | None:
    """Returns the files of the wanted data set in a folder, or of a relative if MNIST is wanted; None if it has none.

    `folder` may also be a `.npz` file, or FOLDER/emnist-NAME where a folder has several splits of EMNIST.
    """
    found = sorted(_search(folder, wanted), key=lambda source: len(source.folder.parts))  # those below come later
    fitting = [source for source in found if source.relative is wanted]
    if fitting or wanted is not MNIST or not found:
        return fitting[0] if fitting else None
    splits = [source for source in found if source.relative in EMNIST.values()]
    if len(splits) > 1 and found[0] is splits[0]:
        choice = ", ".join(str(source.folder / source.form.images.partition("-{}")[0]) for source in splits)
        raise DataError(f"{folder} has several splits of EMNIST. Give one of them as --data_dir: {choice}.")
    return found[0]
