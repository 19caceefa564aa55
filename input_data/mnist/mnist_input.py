"""MNIST as the networks see it: from the TFRecords of 2017, from IDX files or from the embedded sample."""

from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import DataError, Info, Options, Split, check_labels
from input_data.formats import idx
from input_data.formats.records import RecordSplit, shards
from input_data.images import scaled
from input_data.mnist.digits import prepare
from input_data.mnist.multi_input import ComposedPairs, RecordPairs, is_records, overlap

__all__ = ["SAMPLE", "TRAIN_SHIFT", "RecordSplit", "load_idx", "open_split", "prepare"]

SAMPLE = Path(__file__).with_name("sample")
TRAIN_SHIFT = 2  # pixels each way, in training (paper, section 5)


def _info(rows: int, columns: int, num_targets: int = 1) -> Info:
    return Info("MNIST", (rows, columns, 1), 10, num_targets, tuple(str(digit) for digit in range(10)))


class RecordDigits(RecordSplit):
    """Digits from the TFRecords of 2017, which hold the shifted copies already."""

    def __init__(self, path: Path):
        super().__init__(shards(path))
        height, width, depth = self.records.image_shape()
        if depth != 1:
            raise DataError(f"{path}: MNIST images have depth 1. Received {depth}.")
        self.info = _info(height, width)

    def batch(self, indices, noise):
        parsed = self.records.parse(indices, {"image_raw": 0, "label": 1})
        images = self.records.images(parsed["image_raw"], indices, self.info.image_shape)
        self.records.check_labels(parsed["label"], indices, self.info.num_classes)
        return {"images": scaled(images), "labels": parsed["label"].astype(np.int32)}


def load_idx(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a split from IDX files.

    The validation split is the first sixth of the training digits: 0–9999 of MNIST's 60,000, as in 2017.
    """
    part = "test" if split == "test" else "train"
    images, labels = idx.load(folder, part)
    check_labels(labels, 10, str(idx.find(folder, part)[1]))
    images, labels = hold_out(split, images, labels)
    return images, labels


def record_names(split: str, train_shift: int = TRAIN_SHIFT) -> list[str]:
    """The names that a split's TFRecords may have."""
    training = split in ("train", "valid_train")
    base = f"{'train' if training else 'test'}_{train_shift if training else 0}shifted_mnist"
    if split in ("train", "test"):
        return [f"{base}.tfrecords"]
    return [f"{base}_valid.tfrecords", f"valid_{base}.tfrecords"]  # what 2017 read, and what it wrote


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """MNIST's split: 2017's TFRecords where the folder has them, its IDX files else; no folder: the sample.

    Args:
        data_dir: a folder, or None for the 5,000 and 1,000 digits that are embedded here; for MultiMNIST also
            record files, `NAME@N`.
        split: train, test, valid_train or valid_test.
        options: num_targets=2 makes it MultiMNIST.

    Raises:
        DataError: no such folder, none of the files in it, or damaged ones.
    """
    folder = SAMPLE if data_dir is None else Path(data_dir)
    if options.num_targets == 2 and is_records(data_dir):
        pairs = RecordPairs(data_dir)
        _note_overlap(pairs)
        pairs.note += f" Training and evaluation both take them from {data_dir}: evaluate with the test pairs' files."
        return pairs
    if not folder.is_dir():
        raise DataError(f"--data_dir should be a folder with MNIST. {folder} does not exist or is not a folder.")
    for name in record_names(split) if options.num_targets == 1 else ():
        if (folder / name).exists():
            return RecordDigits(folder / name)
    training = split in ("train", "valid_train")
    if idx.find(folder, "test" if split == "test" else "train") is None:
        raise DataError(
            f"{folder} has neither {' nor '.join(record_names(split))} nor the IDX files of MNIST "
            f"({'t10k' if split == 'test' else 'train'}-images-idx3-ubyte[.gz] and its labels). "
            "Give another --data_dir, add --download to fetch MNIST into it, or give none to use the embedded sample."
        )
    images, labels = load_idx(folder, split)
    opened: Split
    if options.num_targets == 2:
        opened = ComposedPairs(images, labels, _info(*images.shape[1:]), None if training else options.num_pairs)
        _note_overlap(opened)
    else:
        opened = ImageArrays(_info(*images.shape[1:]), images[..., None], labels, TRAIN_SHIFT if training else 0)
    if data_dir is None:
        opened.note = f"No --data_dir: using {len(images):,} digits of the embedded sample of MNIST. {opened.note}"
    return opened


def _note_overlap(pairs: Split) -> None:
    count = min(1000, len(pairs))
    noise = np.random.default_rng(0).random((count, pairs.noise))
    share = overlap(pairs.batch(np.arange(count), noise)["reconstruction_targets"])
    pairs.note = f"{len(pairs):,} pairs of digits, whose inked bounding boxes overlap by {share:.0%}."
