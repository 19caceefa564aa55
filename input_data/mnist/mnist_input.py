"""MNIST, its relatives and MultiMNIST: from 2017's TFRecords, the sample, or the forms in a table."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from input_data.arrays import Arrays, hold_out
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, check_examples, check_labels
from input_data.formats import idx
from input_data.formats.arrays import npz_examples, read_csv
from input_data.formats.files import find
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import Records
from input_data.images import scaled, shifted
from input_data.mnist import varied_digits
from input_data.mnist.multi_input import EFFICIENT_REACH, REACH, ComposedPairs, RecordPairs

SAMPLE = Path(__file__).with_name("sample")  # the first 5,000 training and 1,000 test digits of MNIST
TRAIN_SHIFT = 2  # largest shift in training, in pixels each way (paper, section 5)
_KAGGLE = "train.csv"  # Kaggle's test.csv has no labels ...
_HELD_OUT = 7  # ... so the last seventh is held out as the test


class Relative(NamedTuple):
    """Facts of a data set of small grey images. Several use MNIST's file names and are told apart by the last two."""

    name: str
    class_names: tuple[str, ...]
    first_label: int = 0  # of the first class in the files
    transposed: bool = False  # whether the files store rows as columns
    beginnings: tuple[str, ...] = ()  # the first labels of its training and its test file
    words: tuple[str, ...] = ()  # in the name of its folder


_DIGITS, _CAPITALS = tuple("0123456789"), tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BALANCED = _DIGITS + _CAPITALS + tuple("abdefghnqrt")  # the small letters that do not look like their capitals
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

MNIST = Relative("MNIST", _DIGITS, beginnings=("504192131435", "721041495906"))
FASHION = Relative("Fashion-MNIST", _GARMENTS, beginnings=("900302725509", "921161465745"), words=("fashion",))
KMNIST = Relative("KMNIST", _KANA, words=("kmnist", "kuzushiji"))
EMNIST = {
    "balanced": Relative("EMNIST balanced", _BALANCED, transposed=True),
    "letters": Relative("EMNIST letters", _CAPITALS, first_label=1, transposed=True),
    "digits": Relative("EMNIST digits", _DIGITS, transposed=True),
    "mnist": Relative("EMNIST MNIST", _DIGITS, transposed=True),
    "bymerge": Relative("EMNIST by merge", _BALANCED, transposed=True),
    "byclass": Relative("EMNIST by class", _DIGITS + _CAPITALS + tuple(map(str.lower, _CAPITALS)), transposed=True),
}


class Form(NamedTuple):
    """One form in which a data set lies in a folder."""

    name: str  # of the file of images, or of images and labels, where {} is the part
    relative: Relative | None  # the data set that the names imply; None: several data sets use them
    folders: tuple[str, ...] = ("",)  # where the files are looked for, below the user's folder
    test: str = "test"  # the word for this part in the name

    def file(self, part: str) -> str:
        """The name of the file of "train" or "test"."""
        return self.name.format(self.test if part == "test" else part)


_TORCHVISION = ("", "raw", "MNIST/raw", "FashionMNIST/raw", "fashion-mnist", "KMNIST/raw")
_FILES = {
    **{"mnist.npz": MNIST, "fashion_mnist.npz": FASHION, "fashion-mnist.npz": FASHION, "kmnist.npz": KMNIST},
    **{"mnist_{}.csv": MNIST, "fashion-mnist_{}.csv": FASHION, _KAGGLE: MNIST},
}
FORMS = (
    Form("{}-images-idx3-ubyte", None, _TORCHVISION, "t10k"),
    *(Form(f"emnist-{name}-{{}}-images-idx3-ubyte", each, ("", "raw", "EMNIST/raw")) for name, each in EMNIST.items()),
    *(Form(name, relative) for name, relative in _FILES.items()),
)


class Source(NamedTuple):
    """Files of a form in a folder, and the data set in them."""

    form: Form
    folder: Path
    relative: Relative


def _has(form: Form, folder: Path, part: str) -> bool:
    name = form.file(part)
    return (folder / name).is_file() if Path(name).suffix else idx.locate(folder, name) is not None


def _files(form: Form, folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels of "train" or "test" as they are in the files."""
    path = folder / form.file(part)
    if path.suffix == ".npz":
        return npz_examples(path, part)
    if path.suffix != ".csv":
        return idx.load_names(folder, path.name)
    images, labels = read_csv(path, 28)
    if path.name == _KAGGLE:
        first = len(images) - len(images) // _HELD_OUT
        own = slice(first, None) if part == "test" else slice(first)
        images, labels = images[own], labels[own]
    return images, labels


def _recognised(form: Form, folder: Path) -> Relative | None:
    """The data set in files whose names several use: by their first labels, or by the name of their folder.

    If the folder is called `raw`, it is the folder above.
    """
    labels = _files(form, folder, "test" if _has(form, folder, "test") else "train")[1]
    beginning = "".join(map(str, labels[:12].tolist()))
    name = (folder.parent if folder.name == "raw" else folder).resolve().name.lower()
    by_labels = [each for each in (MNIST, FASHION) if beginning in each.beginnings]
    by_name = [each for each in (FASHION, KMNIST) if any(word in name for word in each.words)]
    return next(iter(by_labels + by_name), None)


def sources(folder: Path, wanted: Relative) -> list[Source]:
    """What a folder has: first the wanted data set, and first files in the folder itself and then those below it.

    Files that are not recognised are taken for the wanted data set. `folder` may also be a `.npz` file, or
    FOLDER/emnist-NAME where a folder has several splits of EMNIST.
    """
    forms, top = FORMS, folder
    if folder.is_file() and folder.suffix == ".npz":
        known = tuple(form for form in FORMS if form.name == folder.name)
        forms, top = known or (Form(folder.name, None),), folder.parent
    elif not folder.is_dir() and folder.name.removeprefix("emnist-") in EMNIST:
        forms, top = tuple(form for form in FORMS if form.name.startswith(f"{folder.name}-")), folder.parent
    places = [(form, top / name) for form in forms for name in form.folders]
    there = [(form, place) for form, place in places if _has(form, place, "train") or _has(form, place, "test")]
    found = [Source(form, place, form.relative or _recognised(form, place) or wanted) for form, place in there]
    return sorted(found, key=lambda source: (source.relative is not wanted, len(source.folder.parts)))


def view(images: np.ndarray, random: np.ndarray | None, options: Options) -> np.ndarray:
    """What the network sees of images [n, rows, columns, 1]: scaled, and in training shifted or varied."""
    if options.preparation != "efficient" or options.num_targets == 2:
        return shifted(images, random, TRAIN_SHIFT)
    images = scaled(images, varied_digits.UNIT)
    return images if random is None else varied_digits.vary(images[..., 0], random)[..., None]


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture light on black and lays out pen strokes as in MNIST; other pictures are resized."""
    from input_data.mnist import digits  # only here: it takes SciPy, which reading the data does not need

    if tuple(class_names) not in (_GARMENTS, _KANA):  # pen strokes, which are cropped and centred as in MNIST
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
        (images,), labels = self.examples(indices, ("image_raw",), ("label",))
        return images, labels

    def view(self, images, random):
        return scaled(images)


def find_records(folder: Path, split: str) -> Path | None:
    """A split's TFRecords in a folder."""
    base = f"train_{TRAIN_SHIFT}shifted_mnist" if split in ("train", "valid_train") else "test_0shifted_mnist"
    names = [f"{base}_valid.tfrecords", f"valid_{base}.tfrecords"]  # what 2017 read, and what it wrote
    names = [f"{base}.tfrecords"] if split in ("train", "test") else names
    return next(filter(None, (find(folder, name) for name in names)), None)


def load(folder: Path, split: str, wanted: Relative = MNIST) -> tuple[np.ndarray, np.ndarray, Source]:
    """Returns images uint8 [n, rows, columns] and labels int32 [n] of a split, and the files that they come from.

    They are of the wanted data set, or of a relative if MNIST is wanted; DataError if the folder has neither. The
    validation split is the first sixth of the training images: 0–9999 of MNIST's 60,000, as in 2017.
    """
    found = sources(folder, wanted)
    if not found or (found[0].relative is not wanted and wanted is not MNIST):
        wished = "MNIST or its relatives" if wanted is MNIST else wanted.name
        if found:
            fault = f"has {found[0].relative.name}, not {wished}"
        elif find_records(folder, split):
            fault = "has shifted digits alone. Pairs and preparation=efficient need plain ones, such as MNIST's files"
        elif folder.exists():
            looked_for = ", ".join(form.file("train") for form in FORMS)
            fault = f"has no files of {wished} (docs/data.md). Looked for: TFRecords of 2017, {looked_for}"
        else:
            fault = "does not exist"
        advice = "Give another --data_dir, add --download, or leave --data_dir out to use the sample of MNIST"
        raise DataError(f"{folder} {fault}. {advice}.")
    splits = [source for source in found if source.relative in EMNIST.values()]
    if len(splits) > 1 and found[0] is splits[0]:
        choice = ", ".join(str(source.folder / source.form.name.partition("-{}")[0]) for source in splits)
        raise DataError(f"{folder} has several splits of EMNIST. Give one of them as --data_dir: {choice}.")
    form, place, relative = found[0]
    images, labels = _files(form, place, "test" if split == "test" else "train")
    check_examples(place, images, labels, (None, None))
    labels = check_labels(labels, len(relative.class_names), place, relative.first_label)
    images = images.transpose(0, 2, 1) if relative.transposed else images
    return *hold_out(split, images, labels), found[0]


def open_split(data_dir: str | None, split: str, options: Options = Options(), wanted: Relative = MNIST) -> Split:
    """Opens MNIST's split from 2017's TFRecords if the folder has them, or else from another of its forms.

    `data_dir` is a folder, or None for the embedded sample of 5,000 and 1,000 digits; for MultiMNIST
    (`options.num_targets` is 2) it may also be the name of record files, `NAME@N`. `wanted`: see `load`.
    """
    if data_dir is None and wanted is not MNIST:
        raise DataError(f"{wanted.name} needs a --data_dir, its folder; --download downloads the files to it.")
    folder = SAMPLE if data_dir is None else Path(data_dir)
    two, efficient = options.num_targets == 2, options.preparation == "efficient"
    is_file = folder.is_file() or ("@" in folder.name and not folder.is_dir())
    if two and is_file and folder.suffix != ".npz":
        return RecordPairs(str(folder))
    records = find_records(folder, split)
    if records and wanted is MNIST and not two and not efficient:
        return RecordDigits(records)
    images, labels, source = load(folder, split, wanted)
    name, names = source.relative.name, source.relative.class_names
    info = Info(name, (*images.shape[1:], 1), len(names), 1, names)
    training = split in ("train", "valid_train")
    if two:
        reach = EFFICIENT_REACH if efficient else REACH
        opened: Arrays = ComposedPairs(images, labels, info, None if training else options.num_pairs, reach)
    else:
        noise = (varied_digits.NOISE if efficient else 2) if training else 0
        opened = Arrays(info, images[..., None], labels, partial(view, options=options), noise)
    if source.form.name == _KAGGLE:
        opened.note = f"The last seventh of {source.folder / _KAGGLE} is held out as the test."
    elif data_dir is None:
        opened.note = f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST."
    elif source.relative is not MNIST:
        opened.note = f"{folder} has {name} with {len(names)} classes."
    return opened
