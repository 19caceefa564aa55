"""SVHN's cropped digits from `train_32x32.mat` and `test_32x32.mat` (http://ufldl.stanford.edu/housenumbers/)."""

from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, check_labels
from input_data.formats import matlab
from input_data.formats.pictures import resized, with_depth
from input_data.images import scaled

INFO = Info("SVHN", (32, 32, 3), 10, 1, tuple(str(digit) for digit in range(10)))


def view(images: np.ndarray, random: np.ndarray | None, options: Options) -> np.ndarray:
    """What the network sees of images [n, 32, 32, 3]: scaled; the paper does not augment them."""
    return scaled(images)


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture RGB and 32x32."""
    picture, notes = with_depth(picture, 3)
    picture, changed = resized(picture, *INFO.image_shape[:2])
    return picture, [*notes, *changed]


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 32, 32, 3] and labels [n]; the file's label 10 becomes 0."""
    images, labels = matlab.load(path, "X", "y")
    labels = labels.ravel()
    if images.shape != (32, 32, 3, len(labels)) or images.dtype != np.uint8:
        raise DataError(
            f"{path}: X should be uint8 [32, 32, 3, n] with n labels in y. Received {images.dtype} "
            f"{list(images.shape)} and {len(labels)} labels."
        )
    return images.transpose(3, 0, 1, 2), (check_labels(labels, 10, str(path), first=1) + 1) % 10


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens SVHN's split, without augmentation; validation is the first sixth of the training digits.

    Args:
        data_dir: a folder with the `.mat` files.
    """
    folder = options.folder("SVHN", data_dir, "train_32x32.mat and test_32x32.mat")
    return ImageArrays(
        INFO, *hold_out(split, *read(folder / f"{'test' if split == 'test' else 'train'}_32x32.mat")), reach=0
    )
