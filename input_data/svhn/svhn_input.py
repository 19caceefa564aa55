"""SVHN's cropped digits from `train_32x32.mat` and `test_32x32.mat` (http://ufldl.stanford.edu/housenumbers/)."""

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import Info, Options, Split, checked
from input_data.formats.arrays import read

INFO = Info("SVHN", (32, 32, 3), 10, 1, tuple("0123456789"))


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens SVHN's split from a folder with the `.mat` files; validation is the first sixth of the training digits."""
    folder = options.folder("SVHN", data_dir, "train_32x32.mat and test_32x32.mat")
    path = folder / f"{'test' if split == 'test' else 'train'}_32x32.mat"
    found = read(path, "X", "y")
    images, labels = checked(path, np.moveaxis(found["X"], -1, 0), found["y"], INFO.image_shape, 10, first=1)
    return ImageArrays(INFO, *hold_out(split, images, (labels + 1) % 10), reach=0)  # the files call the digit 0 10
