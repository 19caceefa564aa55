"""MNIST, its relatives and MultiMNIST: from 2017's TFRecords, the sample, or the forms in a table."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from input_data.arrays import Arrays, hold_out, scaled, shifted
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, checked, unfit
from input_data.formats import idx
from input_data.formats.arrays import npz_examples, read_csv
from input_data.formats.files import find
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import Records, shards
from input_data.mnist import varied_digits
from input_data.mnist.multi_input import EFFICIENT_REACH, REACH, ComposedPairs

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
_FILES = {
    **{"mnist.npz": MNIST, "fashion_mnist.npz": FASHION, "fashion-mnist.npz": FASHION, "kmnist.npz": KMNIST},
    **{"mnist_{}.csv": MNIST, "fashion-mnist_{}.csv": FASHION, _KAGGLE: MNIST},
    **{f"emnist-{name}-{{}}-images-idx3-ubyte": relative for name, relative in EMNIST.items()},
}


class Source(NamedTuple):
    """Files of a data set in a folder, or in any of some folders."""

    train: str  # the name of the file of images, or of images and labels
    test: str
    relative: Relative | None  # the data set that the names imply; None: several data sets use them
    folder: Path = Path()

    def file(self, part: str) -> Path:
        """The file of "train" or "test", plain or gzipped, whether or not it is there."""
        name = getattr(self, part)
        return find(self.folder, name) or self.folder / name

    def read(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns images and labels of "train" or "test" as they are in the files."""
        path = self.file(part)
        if self.train.endswith(".npz"):
            return npz_examples(path, part)
        if not self.train.endswith(".csv"):
            return idx.load(self.folder, getattr(self, part))
        images, labels = read_csv(path, 28)
        if self.train == _KAGGLE:
            first = len(images) - len(images) // _HELD_OUT
            own = slice(first, None) if part == "test" else slice(first)
            images, labels = images[own], labels[own]
        return images, labels

    def recognised(self) -> Relative | None:
        """The data set in files whose names several use: by their first labels, or by the name of their folder.

        If the folder is called `raw`, it is the folder above.
        """
        labels = self.read("test" if self.file("test").is_file() else "train")[1]
        beginning = "".join(map(str, labels[:12].tolist()))
        name = (self.folder.parent if self.folder.name == "raw" else self.folder).resolve().name.lower()
        by_labels = [each for each in (MNIST, FASHION) if beginning in each.beginnings]
        by_name = [each for each in (FASHION, KMNIST) if any(word in name for word in each.words)]
        return next(iter(by_labels + by_name), None)


FORMS = (
    Source("train-images-idx3-ubyte", "t10k-images-idx3-ubyte", None),
    *(Source(name.replace("{}", "train"), name.replace("{}", "test"), each) for name, each in _FILES.items()),
)
FOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw", "fashion-mnist", "KMNIST/raw", "EMNIST/raw")  # as torchvision


def sources(folder: Path, wanted: Relative) -> list[Source]:
    """What a folder has: first the wanted data set, and first files in the folder itself and then those below it.

    Files that are not recognised are taken for the wanted data set. `folder` may also be a `.npz` file, or
    FOLDER/emnist-NAME where a folder has several splits of EMNIST.
    """
    forms, top = FORMS, folder
    if not folder.is_dir():
        top = folder.parent
        forms = tuple(form for form in FORMS if folder.name in (form.train, form.train.partition("-train")[0]))
        forms = forms or (Source(folder.name, folder.name, None),) * (folder.suffix == ".npz")
    folders = [top / name for name in FOLDERS if (top / name).is_dir()]
    places = [form._replace(folder=each) for each in folders for form in forms]
    there = [source for source in places if source.file("train").is_file() or source.file("test").is_file()]
    found = [each._replace(relative=each.relative or each.recognised() or wanted) for each in there]
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
    """Single digits, which already contain the shifted copies, or pairs, from the TFRecords of 2017."""

    def __init__(self, paths: list[Path], num_targets: int):
        super().__init__(paths)
        self.images, self.labels = ("image_raw",), ("label",)
        if num_targets == 2:
            self.images, self.labels = ("merged_raw", "image_raw_1", "image_raw_2"), ("label_1", "label_2")
        sizes = self.parse(dict.fromkeys(("height", "width", "depth"), 1), np.array([0])).values()
        name, shape = ("MNIST", "MultiMNIST")[num_targets - 1], tuple(int(size[0, 0]) for size in sizes)
        self.info = Info(name, shape, 10, num_targets, MNIST.class_names)

    def batch(self, indices, random=None):
        features = dict.fromkeys(self.images, self.info.image_shape) | dict.fromkeys(self.labels, 1)
        parsed = self.parse(features, indices)
        labels = np.concatenate([parsed[name] for name in self.labels], axis=1)  # [n, num_targets]
        for row, column in np.argwhere((labels < 0) | (labels > 9)):
            raise unfit(self.place(indices[row]), "have labels from 0 to 9", labels[row, column])
        images, *digits = (scaled(parsed[name]) for name in self.images)
        made = {"images": images, "labels": labels.astype(np.int32)}
        return made | ({"reconstruction_targets": np.stack(digits, axis=1)} if digits else {})


def find_records(folder: Path, split: str) -> Path | None:
    """A split's TFRecords in a folder."""
    base = f"train_{TRAIN_SHIFT}shifted_mnist" if split in ("train", "valid_train") else "test_0shifted_mnist"
    names = [base] if split in ("train", "test") else [f"{base}_valid", f"valid_{base}"]  # what 2017 read, and wrote
    return next(filter(None, (find(folder, f"{name}.tfrecords") for name in names)), None)


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
            looked_for = ", ".join(form.train for form in FORMS)
            fault = f"has no files of {wished} (docs/data.md). Looked for: TFRecords of 2017, {looked_for}"
        else:
            fault = "does not exist"
        advice = "Give another --data_dir, add --download, or leave --data_dir out to use the sample of MNIST"
        raise DataError(f"{folder} {fault}. {advice}.")
    source, several = found[0], [each for each in found if each.relative in EMNIST.values()]
    if len(several) > 1 and source is several[0]:
        choice = ", ".join(str(each.folder / each.train.partition("-train")[0]) for each in several)
        raise DataError(f"{folder} has several splits of EMNIST. Give one of them as --data_dir: {choice}.")
    relative, count = source.relative, len(source.relative.class_names)
    images, labels = source.read("test" if split == "test" else "train")
    images, labels = checked(source.folder, images, labels, (None, None), count, relative.first_label)
    images = images.transpose(0, 2, 1) if relative.transposed else images
    return *hold_out(split, images, labels), source


def open_split(data_dir: str | None, split: str, options: Options = Options(), wanted: Relative = MNIST) -> Split:
    """Opens MNIST's split from 2017's TFRecords if the folder has them, or else from another of its forms.

    `data_dir` is a folder, or None for the embedded sample of 5,000 and 1,000 digits; for MultiMNIST
    (`options.num_targets` is 2) it may also be the name of record files, `NAME@N`. `wanted`: see `load`.
    """
    if data_dir is None and wanted is not MNIST:
        raise DataError(f"{wanted.name} needs a --data_dir, its folder; --download downloads the files to it.")
    folder = SAMPLE if data_dir is None else Path(data_dir)
    two, efficient = options.num_targets == 2, options.preparation == "efficient"
    if two and folder.suffix != ".npz" and (folder.is_file() or ("@" in folder.name and not folder.is_dir())):
        if split.startswith("valid"):
            raise DataError(f"{folder} has no part to hold out: --validate needs a --data_dir with MNIST's own files.")
        opened: Split = RecordDigits(shards(str(folder)), 2)
        opened.note = f"Training and evaluation both use {folder}: evaluate with the test pairs' files."
        return opened
    if wanted is MNIST and not two and not efficient and (records := find_records(folder, split)):
        return RecordDigits([records], 1)
    images, labels, source = load(folder, split, wanted)
    name, names = source.relative.name, source.relative.class_names
    info = Info(name, (*images.shape[1:], 1), len(names), 1, names)
    training = split in ("train", "valid_train")
    if two:
        reach = EFFICIENT_REACH if efficient else REACH
        opened = ComposedPairs(images, labels, info, None if training else options.num_pairs, reach)
    else:
        noise = (varied_digits.NOISE if efficient else 2) if training else 0
        opened = Arrays(info, images[..., None], labels, partial(view, options=options), noise)
    if source.train == _KAGGLE:
        opened.note = f"The last seventh of {source.folder / _KAGGLE} is held out as the test."
    elif data_dir is None:
        opened.note = f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST."
    elif source.relative is not MNIST:
        opened.note = f"{folder} has {name} with {len(names)} classes."
    return opened
