"""Facts of MNIST and the data sets in its format: their names and the names of their classes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Relative:
    """Facts of a data set of small grey images.

    Attributes:
        name: its name in messages.
        class_names: one name for each class.
        first_label: the label of the first class in the files.
        transposed: whether the files store rows as columns.
    """

    name: str
    class_names: tuple[str, ...]
    first_label: int = 0
    transposed: bool = False


_DIGITS = tuple("0123456789")
_CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DISTINCT = tuple("abdefghnqrt")  # small letters that do not look like their capitals

MNIST = Relative("MNIST", _DIGITS)
FASHION = Relative(
    "Fashion-MNIST",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KMNIST = Relative("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"))
QMNIST = Relative("QMNIST", _DIGITS)
EMNIST = {
    "balanced": Relative("EMNIST balanced", _DIGITS + _CAPITALS + _DISTINCT, transposed=True),
    "letters": Relative("EMNIST letters", _CAPITALS, first_label=1, transposed=True),
    "digits": Relative("EMNIST digits", _DIGITS, transposed=True),
    "mnist": Relative("EMNIST MNIST", _DIGITS, transposed=True),
    "bymerge": Relative("EMNIST by merge", _DIGITS + _CAPITALS + _DISTINCT, transposed=True),
    "byclass": Relative("EMNIST by class", _DIGITS + _CAPITALS + tuple(map(str.lower, _CAPITALS)), transposed=True),
}
# Images of these fill the frame; all others have the layout of MNIST, see `digits`.
_FRAMED = (FASHION.class_names, KMNIST.class_names)
# The first labels in Fashion-MNIST's files, which have the same names as MNIST's.
_FASHION_LABELS = ([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5])


def recognise(labels: np.ndarray, path_words: str) -> Relative:
    """Returns the data set in files with MNIST's names, by their first labels or else by the name of their folder.

    Args:
        labels: [n], of the training or of the test file.
        path_words: the end of the files' path.
    """
    if labels[: len(_FASHION_LABELS[0])].tolist() in _FASHION_LABELS:
        return FASHION
    words = path_words.lower()
    if "fashion" in words:
        return FASHION
    return KMNIST if "kmnist" in words or "kuzushiji" in words else MNIST


def has_layout_of_digits(class_names: tuple[str, ...]) -> bool:
    """Whether images of these classes are pen strokes that are cropped and centred as in MNIST."""
    return tuple(class_names) not in _FRAMED
