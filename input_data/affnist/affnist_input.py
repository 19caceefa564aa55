"""affNIST: training on MNIST digits placed at random in 40x40, tests on digits under affine transformations.

Paper, section 5.2. affNIST (https://www.cs.toronto.edu/~tijmen/affNIST/) consists of MATLAB files, but its host is not
always up. Without them, the test split is a substitute, and its note says so: MNIST's test digits under affNIST's
documented transformations (rotation ±20°, shear ±0.2, scale 0.8 to 1.2 on each axis, any translation that keeps the
digit inside).
"""

from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays
from input_data.dataset import DataError, Info, Options, Split, checked
from input_data.formats.arrays import read, require
from input_data.mnist.mnist_input import load

SIZE = 40
REACH = 6  # training: pixels each way, also the padding of the 28x28 digits
INFO = Info("affNIST", (SIZE, SIZE, 1), 10, 1, tuple("0123456789"))
_SEED = 2017


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, 1600] and labels int32 [n] of one of affNIST's `.mat` files."""
    found = read(path, "affNISTdata")["affNISTdata"]
    require(path, ("image", "label_int"), found)
    return checked(path, found["image"].T, found["label_int"], (SIZE * SIZE,), 10)


def substitute(images: np.ndarray) -> np.ndarray:
    """Each digit [n, rows, columns] under its own random transformation, in 40x40; the same on every machine."""
    from scipy.ndimage import affine_transform

    drawn = np.empty((len(images), SIZE, SIZE), np.uint8)
    for index, image in enumerate(images):
        noise = np.random.default_rng([_SEED, index]).random(6)
        angle, shear = np.deg2rad(40 * noise[0] - 20), 0.4 * noise[1] - 0.2
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        forward = rotation @ np.array([[1, 0], [shear, 1]]) @ np.diag(0.8 + 0.4 * noise[2:4])
        inked = np.argwhere(image)
        centre = (inked.min(axis=0) + inked.max(axis=0)) / 2
        moved = (inked - centre) @ forward.T  # positions of the digit's pixels relative to the target's centre
        low, high = 1 - moved.min(axis=0), SIZE - 2 - moved.max(axis=0)
        target = np.where(low <= high, low + noise[4:] * (high - low), (SIZE - 1) / 2)
        back = np.linalg.inv(forward)
        moved = affine_transform(image.astype(np.float32), back, centre - back @ target, (SIZE, SIZE), order=1)
        drawn[index] = moved.round()
    return drawn


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens affNIST's split: expanded MNIST for training and validation, affNIST or its substitute for the test.

    The folder has MNIST's IDX files. It may also have affNIST's `test.mat` or `test_batches/*.mat` for the real test.
    """
    folder = options.folder("affNIST", data_dir, "MNIST's IDX files and affNIST's test.mat or test_batches/*.mat")
    paths = sorted(folder.glob("test_batches/*.mat")) or sorted(folder.glob("test.mat"))
    if split == "test" and paths:
        images, labels = map(np.concatenate, zip(*map(_read, paths), strict=True))
        return ImageArrays(INFO, images.reshape(-1, *INFO.image_shape), labels, reach=0)
    images, labels, source = load(folder, split)
    if source.relative.class_names != INFO.class_names:
        raise DataError(f"affNIST needs the digits of MNIST. {folder} has {source.relative.name}.")
    if split == "test":
        note = f"SUBSTITUTE for affNIST, whose .mat files are not in {folder}: transformed MNIST test digits."
        images = substitute(images)
    else:
        images, note = np.pad(images, ((0, 0), (REACH, REACH), (REACH, REACH))), ""
    return ImageArrays(INFO, images[..., None], labels, REACH if split in ("train", "valid_train") else 0, note)
