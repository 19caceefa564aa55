"""MNIST, its relatives and MultiMNIST: from 2017's TFRecords, the sample, or the forms in `sources`."""

from functools import partial
from pathlib import Path

import numpy as np

from input_data.arrays import Arrays, hold_out
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split
from input_data.formats.files import find
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import Records
from input_data.images import scaled, shifted
from input_data.mnist import sources, varied_digits
from input_data.mnist.multi_input import EFFICIENT_REACH, REACH, ComposedPairs, RecordPairs, is_records
from input_data.mnist.sources import MNIST, Relative

SAMPLE = Path(__file__).with_name("sample")  # the first 5,000 training and 1,000 test digits of MNIST
TRAIN_SHIFT = 2  # largest shift in training, in pixels each way (paper, section 5)


def view(images: np.ndarray, random: np.ndarray | None, options: Options) -> np.ndarray:
    """What the network sees of images [n, rows, columns, 1]: scaled, and in training shifted or varied."""
    if options.preparation != "efficient" or options.num_targets == 2:
        return shifted(images, random, TRAIN_SHIFT)
    images = scaled(images, varied_digits.UNIT)
    return images if random is None else varied_digits.vary(images[..., 0], random)[..., None]


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture light on black and lays out pen strokes as in MNIST; other pictures are resized."""
    from input_data.mnist import digits  # only here: it takes SciPy, which reading the data does not need

    if sources.has_layout_of_digits(class_names):
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


def load(folder: Path, split: str, wanted: Relative = MNIST) -> tuple[np.ndarray, np.ndarray, sources.Source]:
    """Returns images uint8 [n, rows, columns] and labels int32 [n] of a split, and the files that they come from.

    The validation split is the first sixth of the training images: 0–9999 of MNIST's 60,000, as in 2017.
    """
    source = sources.locate(folder, wanted)
    if source is not None:
        return *hold_out(split, *source.read("test" if split == "test" else "train")), source
    if not folder.exists():
        raise DataError(f"--data_dir should be a folder with MNIST or a relative. {folder} does not exist.")
    other = sources.locate(folder)
    if other is not None:
        name = other.relative.name
        raise DataError(f"{folder} has {name}, not {wanted.name}: give another --data_dir, or add --download.")
    wished = "MNIST or its relatives" if wanted is MNIST else wanted.name
    advice = "Give another --data_dir, add --download, or leave --data_dir out to use the sample of MNIST"
    raise DataError(f"{folder} has no files of {wished}. Looked for: {sources.LOOKED_FOR}. {advice}.")


def open_split(data_dir: str | None, split: str, options: Options = Options(), wanted: Relative = MNIST) -> Split:
    """Opens MNIST's split from 2017's TFRecords if the folder has them, or else from another of its forms.

    `data_dir` is a folder, or None for the embedded sample of 5,000 and 1,000 digits; for MultiMNIST
    (`options.num_targets` is 2) it may also be the name of record files, `NAME@N`. `wanted`: see `sources.locate`.
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
    if records and sources.locate(folder) is None:
        needed = "--num_targets=2 and preparation=efficient need the plain digits beside it, such as MNIST's IDX files"
        raise DataError(f"{records} has shifted digits. {needed}: --download fetches them.")
    images, labels, source = load(folder, split, wanted)
    names, training = source.relative.class_names, split in ("train", "valid_train")
    info = Info(source.relative.name, (*images.shape[1:], 1), len(names), 1, names)
    efficient = options.preparation == "efficient"
    opened: Split
    if options.num_targets == 2:
        reach = EFFICIENT_REACH if efficient else REACH
        opened = ComposedPairs(images, labels, info, None if training else options.num_pairs, reach)
    else:
        noise = (varied_digits.NOISE if efficient else 2) if training else 0
        opened = Arrays(info, images[..., None], labels, partial(view, options=options), noise)
    if data_dir is None:
        opened.note = f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST."
    elif source.relative is not MNIST:
        opened.note = f"{folder} has {source.relative.name} with {len(names)} classes. {source.note}".rstrip()
    else:
        opened.note = source.note
    return opened
