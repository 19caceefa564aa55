"""MNIST's relatives and the forms in which people have them: a table of facts, a table of files, and one search."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from input_data.dataset import DataError, check_examples, check_labels
from input_data.formats import idx
from input_data.formats.arrays import npz_examples, read_csv, read_npz

_HELD_OUT = 7  # the last seventh of a table without test images is held out as the test


class Relative(NamedTuple):
    """Facts of a data set of small grey images. Several use MNIST's file names and are told apart by the last two."""

    name: str
    class_names: tuple[str, ...]
    first_label: int = 0  # of the first class in the files
    transposed: bool = False  # whether the files store rows as columns
    beginnings: tuple[tuple[int, ...], ...] = ()  # the first labels of its training and its test file
    words: tuple[str, ...] = ()  # in the name of its folder


_DIGITS, _CAPITALS = tuple("0123456789"), tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BALANCED = _DIGITS + _CAPITALS + tuple("abdefghnqrt")  # the small letters that do not look like their capitals
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_MNISTS = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5), (7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6)
_FASHIONS = (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9), (9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5)

MNIST = Relative("MNIST", _DIGITS, beginnings=_MNISTS)
FASHION = Relative("Fashion-MNIST", _GARMENTS, beginnings=_FASHIONS, words=("fashion",))
KMNIST = Relative("KMNIST", _KANA, words=("kmnist", "kuzushiji"))
QMNIST = Relative("QMNIST", _DIGITS)
EMNIST = {
    "balanced": Relative("EMNIST balanced", _BALANCED, transposed=True),
    "letters": Relative("EMNIST letters", _CAPITALS, first_label=1, transposed=True),
    "digits": Relative("EMNIST digits", _DIGITS, transposed=True),
    "mnist": Relative("EMNIST MNIST", _DIGITS, transposed=True),
    "bymerge": Relative("EMNIST by merge", _BALANCED, transposed=True),
    "byclass": Relative("EMNIST by class", _DIGITS + _CAPITALS + tuple(map(str.lower, _CAPITALS)), transposed=True),
}


def has_layout_of_digits(class_names: tuple[str, ...]) -> bool:
    """Whether images of these classes are pen strokes that are cropped and centred as in MNIST."""
    return tuple(class_names) not in (_GARMENTS, _KANA)


class Form(NamedTuple):
    """One form in which a data set lies in a folder."""

    images: str  # name of a file, where {} is the part
    labels: str  # the same name if one file holds both
    relative: Relative | None  # the data set that the names imply; None: several data sets use them
    folders: tuple[str, ...] = ("",)  # where the files are looked for, below the user's folder
    test: str = "test"  # the word for this part in the names

    def names(self, part: str) -> tuple[str, str]:
        """The names of the files of "train" or "test"."""
        word = self.test if part == "test" else part
        return self.images.format(word), self.labels.format(word)


_IDX = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
_TORCHVISION = ("", "raw", "MNIST/raw", "FashionMNIST/raw", "fashion-mnist", "KMNIST/raw")
_FILES = {
    **{"mnist.npz": MNIST, "fashion_mnist.npz": FASHION, "fashion-mnist.npz": FASHION, "kmnist.npz": KMNIST},
    **{"mnist_{}.csv": MNIST, "fashion-mnist_{}.csv": FASHION, "train.csv": MNIST},  # Kaggle's test.csv has no labels
}
FORMS = (
    Form(*_IDX, None, _TORCHVISION, "t10k"),
    *(
        Form(*(f"emnist-{name}-{file}" for file in _IDX), relative, ("", "raw", "EMNIST/raw"))
        for name, relative in EMNIST.items()
    ),
    Form("qmnist-{}-images-idx3-ubyte", "qmnist-{}-labels-idx2-int", QMNIST, ("", "raw", "QMNIST/raw")),
    Form("kmnist-{}-imgs.npz", "kmnist-{}-labels.npz", KMNIST),
    *(Form(name, name, relative) for name, relative in _FILES.items()),
)
LOOKED_FOR = "train_2shifted_mnist.tfrecords, test_0shifted_mnist.tfrecords, " + ", ".join(
    f"{'|'.join(filter(None, form.folders))}/".lstrip("/") + form.images.format("train") for form in FORMS
)


class Source:
    """The files of a form that a folder has, and the data set in them: the wanted one unless they say another.

    Names that several data sets use are told apart by their first labels, or else by the name of their folder, or of
    the folder above if it is called `raw`.
    """

    def __init__(self, form: Form, folder: Path, wanted: Relative):
        self.form, self.folder = form, folder
        self.relative = form.relative or self._recognise() or wanted
        held_out = form.images == "train.csv"
        self.note = f"The last seventh of {folder / form.images} is held out as the test." if held_out else ""

    def _recognise(self) -> Relative | None:
        if self.form.images.endswith(".npz"):
            labels = npz_examples(self.folder / self.form.images, "train")[1]
        else:
            paths = [idx.locate(self.folder, self.form.names(part)[1]) for part in ("train", "test")]
            labels = next((idx.read_labels(path) for path in paths if path), np.empty(0))
        for relative in (MNIST, FASHION):
            if tuple(labels[: len(_MNISTS[0])].tolist()) in relative.beginnings:
                return relative
        name = (self.folder.parent if self.folder.name == "raw" else self.folder).resolve().name.lower()
        return next((each for each in (FASHION, KMNIST) if any(word in name for word in each.words)), None)

    def _files(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns images and labels of "train" or "test" as they are in the files."""
        names = self.form.names(part)
        if not names[0].endswith((".csv", ".npz")):
            return idx.load_names(self.folder, *names)
        paths = [self.folder / name for name in names]
        if names[0].endswith(".npz"):
            if names[0] == names[1]:
                return npz_examples(paths[0], part)
            images, labels = (read_npz(path, ["arr_0"])["arr_0"] for path in paths)
            return images, labels
        images, labels = read_csv(paths[0], 28)
        first = len(images) - len(images) // _HELD_OUT if self.note else 0
        own = slice(first, None) if part == "test" else slice(first or None)
        return images[own], labels[own]

    def read(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns images uint8 [n, rows, columns] and labels int32 [n], counted from 0, of "train" or "test"."""
        images, labels = self._files(part)
        check_examples(self.folder, images, labels, (None, None))
        labels = check_labels(labels, len(self.relative.class_names), self.folder, self.relative.first_label)
        return images.transpose(0, 2, 1) if self.relative.transposed else images, labels


def _has(folder: Path, form: Form) -> bool:
    names = (form.names(part)[0] for part in ("train", "test"))
    return any((folder / name).is_file() if Path(name).suffix else idx.locate(folder, name) for name in names)


def locate(folder: Path, wanted: Relative = MNIST) -> Source | None:
    """Returns the files of the wanted data set in a folder, or of a relative if MNIST is wanted; None if it has none.

    `folder` may also be a `.npz` file, or FOLDER/emnist-NAME where a folder has several splits of EMNIST.
    """
    forms, top = FORMS, folder
    if folder.is_file() and folder.suffix == ".npz":
        known = next((form.relative for form in FORMS if form.images == folder.name), None)
        forms, top = (Form(folder.name, folder.name, known),), folder.parent
    elif not folder.is_dir() and folder.name.removeprefix("emnist-") in EMNIST:
        forms, top = tuple(form for form in FORMS if form.images.startswith(f"{folder.name}-")), folder.parent
    places = [(form, top / name) for form in forms for name in form.folders]
    found = [Source(form, place, wanted) for form, place in places if _has(place, form)]
    found.sort(key=lambda source: len(source.folder.parts))  # those below come later
    fitting = [source for source in found if source.relative is wanted]
    if fitting or wanted is not MNIST or not found:
        return fitting[0] if fitting else None
    splits = [source for source in found if source.relative in EMNIST.values()]
    if len(splits) > 1 and found[0] is splits[0]:
        choice = ", ".join(str(source.folder / source.form.images.partition("-{}")[0]) for source in splits)
        raise DataError(f"{folder} has several splits of EMNIST. Give one of them as --data_dir: {choice}.")
    return found[0]
