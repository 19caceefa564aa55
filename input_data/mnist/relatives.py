"""Facts of MNIST and the data sets in its format: their names, their classes, and how to tell them apart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Relative:
    """Facts of a data set of small grey images. Several use MNIST's file names and are told apart by the last two."""

    name: str
    class_names: tuple[str, ...]
    first_label: int = 0  # of the first class in the files
    transposed: bool = False  # whether the files store rows as columns
    beginnings: tuple[tuple[int, ...], ...] = ()  # the first labels of its training and its test file
    words: tuple[str, ...] = ()  # in the name of its folder


_DIGITS = tuple("0123456789")
_CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BALANCED = _DIGITS + _CAPITALS + tuple("abdefghnqrt")  # the small letters that do not look like their capitals
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_MNISTS = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5), (7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6)
_FASHIONS = (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9), (9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5)
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

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


def recognise(labels: np.ndarray, folder: Path, wanted: Relative) -> Relative:
    """Returns the data set in files with MNIST's names: by their first labels, or by their folder, or the wanted one.

    Only the name of the folder itself counts, or that of the folder above if it is called `raw`.
    """
    for relative in (MNIST, FASHION):
        if tuple(labels[: len(_MNISTS[0])].tolist()) in relative.beginnings:
            return relative
    name = (folder.parent if folder.name == "raw" else folder).resolve().name.lower()
    return next((each for each in (FASHION, KMNIST) if any(word in name for word in each.words)), wanted)


def has_layout_of_digits(class_names: tuple[str, ...]) -> bool:
    """Whether images of these classes are pen strokes that are cropped and centred as in MNIST."""
    return tuple(class_names) not in (_GARMENTS, _KANA)
