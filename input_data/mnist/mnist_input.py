"""MNIST, its relatives and MultiMNIST: from 2017's TFRecords, the sample, or the forms in a table."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from input_data.arrays import Arrays, hold_out
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, check_examples, check_labels
from input_data.formats import idx
from input_data.formats.arrays import npz_examples, read_csv, read_npz
from input_data.formats.files import find
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import Records
from input_data.images import scaled, shifted
from input_data.mnist import varied_digits
from input_data.mnist.multi_input import EFFICIENT_REACH, REACH, ComposedPairs, RecordPairs, is_records

SAMPLE = Path(__file__).with_name("sample")  # the first 5,000 training and 1,000 test digits of MNIST
TRAIN_SHIFT = 2  # largest shift in training, in pixels each way (paper, section 5)
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
        one, other = (self.folder / name for name in names)
        if one.suffix == ".npz":
            pair = [read_npz(path, ["arr_0"])["arr_0"] for path in (one, other)] if one != other else []
            return (pair[0], pair[1]) if pair else npz_examples(one, part)
        if one.suffix != ".csv":
            return idx.load_names(self.folder, *names)
        images, labels = read_csv(one, 28)
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


def view(images: np.ndarray, random: np.ndarray | None, options: Options) -> np.ndarray:
    """What the network sees of images [n, rows, columns, 1]: scaled, and in training shifted or varied."""
    if options.preparation != "efficient" or options.num_targets == 2:
        return shifted(images, random, TRAIN_SHIFT)
    images = scaled(images, varied_digits.UNIT)
    return images if random is None else varied_digits.vary(images[..., 0], random)[..., None]


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture light on black and lays out pen strokes as in MNIST; other pictures are resized."""
    from input_data.mnist import digits  # only here: it takes SciPy, which reading the data does not need

    if has_layout_of_digits(class_names):
        return digits.fit(picture, image_shape, options.num_targets)
    picture, notes = with_depth(picture, 1)
    if np.median(digits.border(picture)) > 127:
        picture, notes = 255 - picture, [*notes, "inverted: dark on light"]
    picture, changed = resized(picture, *image_shape[:2])
    return picture, [*notes, *changed]


class RecordDigits(Records):
    """Digits from the TFRecords of 2017, which already contain the shifted copies."""

    def __init__(self, path: Path):
        super().__init__([path])
        self.info = Info(MNIST.name, self.image_shape(), 10, 1, MNIST.class_names)

    def read(self, indices):
        (images,), labels = self.examples(indices, self.info.image_shape, self.info.num_classes)
        return images, labels

    def view(self, images, random):
        return scaled(images)


def find_records(folder: Path, split: str, train_shift: int = TRAIN_SHIFT) -> Path | None:
    """A split's TFRecords in a folder."""
    base = f"train_{train_shift}shifted_mnist" if split in ("train", "valid_train") else "test_0shifted_mnist"
    names = [f"{base}_valid.tfrecords", f"valid_{base}.tfrecords"]  # what 2017 read, and what it wrote
    names = [f"{base}.tfrecords"] if split in ("train", "test") else names
    return next(filter(None, (find(folder, name) for name in names)), None)


def load(folder: Path, split: str, wanted: Relative = MNIST) -> tuple[np.ndarray, np.ndarray, Source]:
    """Returns images uint8 [n, rows, columns] and labels int32 [n] of a split, and the files that they come from.

    The validation split is the first sixth of the training images: 0–9999 of MNIST's 60,000, as in 2017.
    """
    source = locate(folder, wanted)
    if source is not None:
        return *hold_out(split, *source.read("test" if split == "test" else "train")), source
    if not folder.exists():
        raise DataError(f"--data_dir should be a folder with MNIST or a relative. {folder} does not exist.")
    other = locate(folder)
    if other is not None:
        name = other.relative.name
        raise DataError(f"{folder} has {name}, not {wanted.name}: give another --data_dir, or add --download.")
    wished = "MNIST or its relatives" if wanted is MNIST else wanted.name
    advice = "Give another --data_dir, add --download, or leave --data_dir out to use the sample of MNIST"
    raise DataError(f"{folder} has no files of {wished}. Looked for: {LOOKED_FOR}. {advice}.")


def open_split(data_dir: str | None, split: str, options: Options = Options(), wanted: Relative = MNIST) -> Split:
    """Opens MNIST's split from 2017's TFRecords if the folder has them, or else from another of its forms.

    `data_dir` is a folder, or None for the embedded sample of 5,000 and 1,000 digits; for MultiMNIST
    (`options.num_targets` is 2) it may also be the name of record files, `NAME@N`. `wanted`: see `locate`.
    """
    if data_dir is None and wanted is not MNIST:
        raise DataError(f"{wanted.name} needs a --data_dir, its folder; --download downloads the files to it.")
    folder = SAMPLE if data_dir is None else Path(data_dir)
    if options.num_targets == 2 and is_records(folder):
        pairs = RecordPairs(str(folder))
        pairs.note = f"Training and evaluation both use {folder}: evaluate with the test pairs' files."
        return pairs
    records = find_records(folder, split) if wanted is MNIST else None
    if records and options.num_targets == 1 and options.preparation == "2017":
        return RecordDigits(records)
    if records and locate(folder) is None:
        needed = "--num_targets=2 and preparation=efficient need the plain digits beside it, such as MNIST's IDX files"
        raise DataError(f"{records} has shifted digits. {needed}: --download fetches them.")
    images, labels, source = load(folder, split, wanted)
    names, training = source.relative.class_names, split in ("train", "valid_train")
    info = Info(source.relative.name, (*images.shape[1:], 1), len(names), 1, names)
    efficient = options.preparation == "efficient"
    noise = (varied_digits.NOISE if efficient else 2) if training else 0
    opened = Arrays(info, images[..., None], labels, partial(view, options=options), noise)
    if options.num_targets == 2:
        reach = EFFICIENT_REACH if efficient else REACH
        opened = ComposedPairs(images, labels, info, None if training else options.num_pairs, reach)
    opened.note = source.note
    if data_dir is None:
        opened.note = f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST."
    elif source.relative is not MNIST:
        opened.note = f"{folder} has {source.relative.name} with {len(names)} classes. {source.note}".rstrip()
    return opened
