"""SVHN's cropped digits from `train_32x32.mat` and `test_32x32.mat` (http://ufldl.stanford.edu/housenumbers/)."""

from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import DataError, Info, Options, Split, check_labels
from input_data.formats import tfds
from input_data.formats.matlab import load
from input_data.formats.pictures import resized, with_depth
from input_data.images import scaled

INFO = Info("SVHN", (32, 32, 3), 10, 1, tuple(str(digit) for digit in range(10)))


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 32, 32, 3] and labels [n]; the file's label 10 becomes 0.

    Raises:
        DataError: the file is missing or damaged, or has other shapes or a label outside 1 to 10.
    """
    content = load(path, ("X", "y"))
    images, labels = content["X"], content["y"]
    if isinstance(images, dict) or isinstance(labels, dict):
        raise DataError(f"{path}: X and y should be arrays. Received a struct.")
    labels = labels.ravel()
    if images.shape[:3] != (32, 32, 3) or images.ndim != 4 or images.dtype != np.uint8:
        raise DataError(f"{path}: X should be uint8 [32, 32, 3, n]. Received {images.dtype} {list(images.shape)}.")
    if len(labels) != images.shape[3]:
        raise DataError(f"{path} has {images.shape[3]} images, but {len(labels)} labels.")
    labels = check_labels(labels, 10, str(path), first=1) + 1
    return images.transpose(3, 0, 1, 2), labels % 10


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...], options: Options
) -> tuple[np.ndarray, list[str]]:
    """Prepares any picture like a test image: RGB, 32x32, in [0, 1]. See `input_data.prepare`."""
    picture, notes = with_depth(picture, 3)
    picture, changed = resized(picture, *INFO.image_shape[:2])
    return scaled(picture), [*notes, *changed]


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens SVHN's split, without augmentation; validation is the first sixth of the training digits.

    Args:
        data_dir: a folder with the `.mat` files or with the TFRecords of TensorFlow Datasets (svhn_cropped).
        split: train, test, valid_train or valid_test.
        options: num_targets must be 1.

    Raises:
        DataError: files are missing or damaged.
    """
    folder = options.folder("SVHN", data_dir, "train_32x32.mat and test_32x32.mat, or svhn_cropped-train.tfrecord-…")
    name = "test" if split == "test" else "train"
    path = folder / f"{name}_32x32.mat"
    records = [] if path.is_file() else tfds.locate(folder, "svhn_cropped", name)
    if records:
        pixels, numbers = tfds.read(records, INFO.image_shape)
        images, labels = pixels[:, 0], check_labels(numbers[:, 0], 10, str(records[0]))
    elif path.is_file():
        images, labels = read(path)
    else:
        raise DataError(
            f"{folder} has no SVHN: {path.name} does not exist, nor does svhn_cropped-{name}.tfrecord-00000-of-00001 "
            "(TensorFlow Datasets)."
        )
    return ImageArrays(INFO, *hold_out(split, images, labels), reach=0)
