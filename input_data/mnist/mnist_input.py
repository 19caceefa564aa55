"""Opens MNIST, its relatives and MultiMNIST: from 2017's TFRecords, the sample, or the formats in `sources`."""

from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import DataError, Info, Options, Split
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import RecordSplit, plain_or_packed
from input_data.images import scaled
from input_data.mnist import digits, sources
from input_data.mnist.multi_input import EFFICIENT_REACH, REACH, ComposedPairs, RecordPairs, is_records, overlap
from input_data.mnist.relatives import MNIST, Relative, has_layout_of_digits
from input_data.mnist.varied_digits import UNIT, VariedDigits

SAMPLE = Path(__file__).with_name("sample")
TRAIN_SHIFT = 2  # largest shift in training, in pixels each way (paper, section 5)


def _info(relative: Relative, rows: int, columns: int) -> Info:
    return Info(relative.name, (rows, columns, 1), len(relative.class_names), 1, relative.class_names)


class RecordDigits(RecordSplit):
    """Digits from the TFRecords of 2017, which already contain the shifted copies."""

    def __init__(self, path: Path):
        super().__init__([path])
        height, width, depth = self.records.image_shape()
        if depth != 1:
            raise DataError(f"{path}: MNIST images must have depth 1. Received {depth}.")
        self.info = _info(MNIST, height, width)

    def batch(self, indices, noise):
        (images,), labels = self.records.examples(indices, self.info.image_shape, self.info.num_classes)
        return {"images": scaled(images.reshape(-1, *self.info.image_shape)), "labels": labels}


def load(folder: Path, split_name: str, relative: Relative | None = None) -> sources.Examples:
    """Returns the images and labels of a split, see `sources.load`.

    The validation split is the first sixth of the training images: 0–9999 of MNIST's 60,000, as in 2017.
    """
    examples = sources.load(folder, split_name, relative)
    images, labels = hold_out(split_name, examples.images, examples.labels)
    return sources.Examples(images, labels, examples.relative, examples.note)


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...], options: Options
) -> tuple[np.ndarray, list[str]]:
    """Prepares any picture like a test image: pen strokes laid out as in MNIST, others resized.

    Dark strokes on a light background are inverted, because all of these data sets are light on black. See
    `input_data.prepare`.
    """
    unit = UNIT if options.preparation == "efficient" and options.num_targets == 1 else 255
    if has_layout_of_digits(class_names):
        return digits.prepare(picture, image_shape, unit)
    picture, notes = with_depth(picture, 1)
    if np.median(digits.border(picture)) > 127:
        picture, notes = 255 - picture, [*notes, "inverted: dark on light"]
    picture, changed = resized(picture, *image_shape[:2])
    return scaled(picture, unit), [*notes, *changed]


def record_names(split: str, train_shift: int = TRAIN_SHIFT) -> list[str]:
    """The names that a split's TFRecords may have."""
    training = split in ("train", "valid_train")
    base = f"{'train' if training else 'test'}_{train_shift if training else 0}shifted_mnist"
    if split in ("train", "test"):
        return [f"{base}.tfrecords"]
    return [f"{base}_valid.tfrecords", f"valid_{base}.tfrecords"]  # what 2017 read, and what it wrote


def open_split(
    data_dir: str | None, split: str, options: Options = Options(), relative: Relative | None = None
) -> Split:
    """Opens MNIST's split from 2017's TFRecords if the folder has them, or else from another of its formats.

    Args:
        data_dir: a folder, or None for the embedded sample of 5,000 and 1,000 digits; for MultiMNIST it may also be the
            name of record files, `NAME@N`.
        split: train, test, valid_train or valid_test.
        options: num_targets=2 makes it MultiMNIST.
        relative: the data set in the files if their names do not say; None: see `relatives.recognise`.

    Raises:
        DataError: the folder does not exist or has none of the files, or files are damaged.
    """
    folder = SAMPLE if data_dir is None else Path(data_dir)
    if options.num_targets == 2 and is_records(data_dir):
        pairs = RecordPairs(str(data_dir))
        _note_overlap(pairs)
        pairs.note += f" Training and evaluation both use {data_dir}: evaluate with the files of the test pairs."
        return pairs
    records = next(filter(None, (plain_or_packed(folder, name) for name in record_names(split))), None)
    if records and options.num_targets == 1 and options.preparation == "2017":
        return RecordDigits(records)
    if sources.locate(folder) is None:
        raise DataError(_only_records(records) if records else _nothing_there(folder, split))
    examples = load(folder, split, relative)
    images, labels = examples.images, examples.labels
    info = _info(examples.relative, *images.shape[1:])
    training = split in ("train", "valid_train")
    opened: Split
    if options.num_targets == 2:
        reach = EFFICIENT_REACH if options.preparation == "efficient" else REACH
        opened = ComposedPairs(images, labels, info, None if training else options.num_pairs, reach)
        _note_overlap(opened)
    elif options.preparation == "efficient":
        opened = VariedDigits(info, images, labels, training)
    else:
        opened = ImageArrays(info, images[..., None], labels, TRAIN_SHIFT if training else 0)
    notes = [examples.note, opened.note]
    if data_dir is None:
        notes.insert(0, f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST.")
    elif examples.relative is not MNIST:
        notes.insert(0, f"{folder} has {examples.relative.name} with {len(info.class_names)} classes.")
    opened.note = " ".join(filter(None, notes))
    return opened


def _only_records(path: Path) -> str:
    return (
        f"{path} has digits in the format of 2017, with one digit per image. Pairs (--num_targets=2) and "
        "preparation=efficient need the plain digits beside it, such as MNIST's IDX files: --download fetches them."
    )


def _nothing_there(folder: Path, split_name: str) -> str:
    if not folder.exists():
        return f"--data_dir should be a folder with MNIST or a relative. {folder} does not exist."
    looked_for = "; ".join((f"2017's {' or '.join(record_names(split_name))}", *sources.FORMS))
    return (
        f"{folder} has no files of MNIST or its relatives. Looked for: {looked_for}. "
        "Give another --data_dir, add --download to fetch MNIST into it, or leave it out to use the embedded sample."
    )


def _note_overlap(pairs: Split) -> None:
    count = min(1000, len(pairs))
    noise = np.random.default_rng(0).random((count, pairs.noise))
    share = overlap(pairs.batch(np.arange(count), noise)["reconstruction_targets"])
    pairs.note = f"{len(pairs):,} pairs of digits, whose inked bounding boxes overlap by {share:.0%}."
