"""MNIST, its relatives and MultiMNIST: from 2017's TFRecords, the sample, or the forms in `sources`."""

from functools import partial
from pathlib import Path

import numpy as np

from input_data.arrays import Arrays, hold_out
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split
from input_data.formats.files import find
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import RecordSplit
from input_data.images import scaled, shifted
from input_data.mnist import digits, sources, varied_digits
from input_data.mnist.multi_input import EFFICIENT_REACH, REACH, ComposedPairs, RecordPairs, is_records, overlap
from input_data.mnist.relatives import MNIST, Relative, has_layout_of_digits

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
    if has_layout_of_digits(class_names):
        return digits.fit(picture, image_shape, options.num_targets)
    picture, notes = with_depth(picture, 1)
    if np.median(digits.border(picture)) > 127:
        picture, notes = 255 - picture, [*notes, "inverted: dark on light"]
    picture, changed = resized(picture, *image_shape[:2])
    return picture, [*notes, *changed]


class RecordDigits(RecordSplit):
    """Digits from the TFRecords of 2017, which already contain the shifted copies."""

    def __init__(self, path: Path):
        super().__init__([path])
        self.info = Info(MNIST.name, self.records.image_shape(), 10, 1, MNIST.class_names)
        if self.info.image_shape[2] != 1:
            raise DataError(f"{path}: MNIST images must have depth 1. Received {self.info.image_shape[2]}.")

    def read(self, indices):
        (images,), labels = self.records.examples(indices, self.info.image_shape, self.info.num_classes)
        return images.reshape(-1, *self.info.image_shape), labels

    def view(self, images, random):
        return scaled(images)


def record_names(split: str, train_shift: int = TRAIN_SHIFT) -> list[str]:
    """The names that a split's TFRecords may have."""
    base = f"train_{train_shift}shifted_mnist" if split in ("train", "valid_train") else "test_0shifted_mnist"
    if split in ("train", "test"):
        return [f"{base}.tfrecords"]
    return [f"{base}_valid.tfrecords", f"valid_{base}.tfrecords"]  # what 2017 read, and what it wrote


def find_records(folder: Path, split: str, train_shift: int = TRAIN_SHIFT) -> Path | None:
    """A split's TFRecords in a folder."""
    return next(filter(None, (find(folder, name) for name in record_names(split, train_shift))), None)


def load(folder: Path, split: str, wanted: Relative = MNIST) -> tuple[np.ndarray, np.ndarray, sources.Source]:
    """Returns images uint8 [n, rows, columns] and labels int32 [n] of a split, and the files that they come from.

    The validation split is the first sixth of the training images: 0–9999 of MNIST's 60,000, as in 2017.
    """
    source = sources.locate(folder, wanted)
    if source is None:
        raise DataError(_nothing_there(folder, split, wanted))
    return *hold_out(split, *source.read("test" if split == "test" else "train")), source


def open_split(data_dir: str | None, split: str, options: Options = Options(), wanted: Relative = MNIST) -> Split:
    """Opens MNIST's split from 2017's TFRecords if the folder has them, or else from another of its forms.

    Args:
        data_dir: a folder, or None for the embedded sample of 5,000 and 1,000 digits; for MultiMNIST it may also be the
            name of record files, `NAME@N`.
        options: num_targets=2 makes it MultiMNIST.
        wanted: the relative that the user asks for, see `sources.locate`.

    Raises:
        DataError: the folder does not exist or has none of the files, or files are damaged.
    """
    if data_dir is None and wanted is not MNIST:
        raise DataError(f"{wanted.name} needs a --data_dir, its folder; --download downloads the files to it.")
    folder = SAMPLE if data_dir is None else Path(data_dir)
    if options.num_targets == 2 and is_records(folder):
        pairs = RecordPairs(str(folder))
        pairs.note = (
            f"{_overlap(pairs)} Training and evaluation both use {folder}: evaluate with the test pairs' files."
        )
        return pairs
    records = find_records(folder, split) if wanted is MNIST else None
    if records and options.num_targets == 1 and options.preparation == "2017":
        return RecordDigits(records)
    if records and sources.locate(folder) is None:
        raise DataError(
            f"{records} has digits in the format of 2017, with one digit per image. Pairs (--num_targets=2) and "
            "preparation=efficient need the plain digits beside it, such as MNIST's IDX files: --download fetches them."
        )
    images, labels, source = load(folder, split, wanted)
    opened = _in_memory(images, labels, source.relative, split in ("train", "valid_train"), options)
    notes = [source.note, opened.note]
    if data_dir is None:
        notes.insert(0, f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST.")
    elif source.relative is not MNIST:
        notes.insert(0, f"{folder} has {source.relative.name} with {len(source.relative.class_names)} classes.")
    opened.note = " ".join(filter(None, notes))
    return opened


def _in_memory(images: np.ndarray, labels: np.ndarray, relative: Relative, training: bool, options: Options) -> Split:
    names = relative.class_names
    info = Info(relative.name, (*images.shape[1:], 1), len(names), 1, names)
    efficient = options.preparation == "efficient"
    if options.num_targets == 1:
        noise = varied_digits.NOISE if efficient else 2
        return Arrays(info, images[..., None], labels, partial(view, options=options), noise if training else 0)
    reach = EFFICIENT_REACH if efficient else REACH
    pairs = ComposedPairs(images, labels, info, None if training else options.num_pairs, reach)
    pairs.note = _overlap(pairs)
    return pairs


def _nothing_there(folder: Path, split: str, wanted: Relative) -> str:
    if not folder.exists():
        return f"--data_dir should be a folder with MNIST or a relative. {folder} does not exist."
    other = sources.locate(folder)
    if other is not None:
        return f"{folder} has {other.relative.name}, not {wanted.name}: give another --data_dir, or add --download."
    return (
        f"{folder} has no files of {wanted.name}{' or its relatives' if wanted is MNIST else ''}. Looked for: 2017's "
        f"{' or '.join(record_names(split))}; {sources.LOOKED_FOR}. Give another --data_dir, add --download to fetch "
        f"{wanted.name} into it, or leave it out to use MNIST's embedded sample. (docs/data.md: TensorFlow Datasets.)"
    )


def _overlap(pairs: Split) -> str:
    count = min(1000, len(pairs))
    noise = np.random.default_rng(0).random((count, pairs.noise))
    share = overlap(pairs.batch(np.arange(count), noise)["reconstruction_targets"])
    return f"{len(pairs):,} pairs of digits, whose inked bounding boxes overlap by {share:.0%}."
