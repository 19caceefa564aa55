"""Opens data sets by the names that `--dataset` takes.

A data set is three functions; a new one needs a row in `DATASETS`:

    open_split(data_dir, split, options) -> Split       finds and reads files
    view(images, random, options) -> float32            what the network sees of images as in the files
    fit(picture, image_shape, class_names, options)     any picture as an image as in the files, and what was done
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from input_data.affnist import affnist_input
from input_data.arrays import scaled
from input_data.batches import evaluation_batches, evaluation_indices, training_batches
from input_data.cifar10 import cifar10_input
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split
from input_data.folder import folder_input
from input_data.formats.pictures import fitted
from input_data.mnist import mnist_input
from input_data.norb import norb_input
from input_data.svhn import svhn_input

__all__ = ["DATASETS", "DataError", "Info", "Options", "Split", "evaluation_batches", "evaluation_indices"]
__all__ += ["open_split", "prepare", "training_batches"]


DATASETS: dict[str, tuple[Callable[..., Split], Callable[..., np.ndarray], Callable[..., Fitted]]] = {
    "mnist": (mnist_input.open_split, mnist_input.view, mnist_input.fit),
    "fashion_mnist": (partial(mnist_input.open_split, wanted=mnist_input.FASHION), mnist_input.view, mnist_input.fit),
    "cifar10": (cifar10_input.open_split, cifar10_input.view, cifar10_input.fit),
    "norb": (norb_input.open_split, norb_input.view, norb_input.fit),
    "affnist": (affnist_input.open_split, lambda images, *_: scaled(images), mnist_input.fit),
    "svhn": (svhn_input.open_split, lambda images, *_: scaled(images), fitted),
    "folder": (folder_input.open_split, folder_input.view, fitted),
}


def open_split(dataset: str, split: str, data_dir: str | None, options: Options = Options()) -> Split:
    """Opens a split, `train`, `test`, `valid_train` or `valid_test`, of a data set in `DATASETS`.

    `data_dir` is the folder with its files; None is MNIST's embedded sample. DataError: files are missing or damaged,
    the data set does not support the options, or the split is empty.
    """
    opened = DATASETS[dataset][0](data_dir, split, options)
    if not len(opened):
        raise DataError(f"The {split} split of {opened.info.name} in {data_dir} has no images.")
    return opened


def prepare(
    dataset: str, picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...] = (), options=Options()
) -> Fitted:
    """Turns any picture into an image for a network that was trained on a data set.

    A picture of a test image becomes exactly the array on which the network is evaluated.

    Args:
        dataset: a name in `DATASETS`.
        picture: uint8 [rows, columns, depth], depth 1 (grey), 3 (RGB) or 4 (RGBA).
        image_shape: (rows, columns, depth) of the network's images.
        class_names: the network's classes, which tell relatives of MNIST apart.
        options: the options of the data that the network was trained on.

    Returns:
        The image, float32 of image_shape, and a list of what was done. DataError: nothing readable is on the picture.
    """
    _, view, fit = DATASETS[dataset]
    image, notes = fit(picture, image_shape, class_names, options)
    return view(image[None], None, options)[0], notes
