"""Data sets by the names that `--dataset` takes. A new one: a module with `open_split` and `prepare`, and its line."""

from importlib import import_module

import numpy as np

from input_data.batches import evaluation_batches, training_batches
from input_data.dataset import DataError, Info, Options, Split
from input_data.formats import pictures

DATASETS = {
    "mnist": "input_data.mnist.mnist_input",
    "fashion_mnist": "input_data.mnist.fashion_input",
    "cifar10": "input_data.cifar10.cifar10_input",
    "norb": "input_data.norb.norb_input",
    "affnist": "input_data.affnist.affnist_input",
    "svhn": "input_data.svhn.svhn_input",
    "folder": "input_data.folder.folder_input",
}


def open_split(dataset: str, split: str, data_dir: str | None, options: Options = Options()) -> Split:
    """Opens one part of a data set.

    Args:
        dataset: a name in `DATASETS`.
        split: train, test, valid_train or valid_test.
        data_dir: where its files are; the data set's module says what None means.
        options: what else the user says of the data.

    Raises:
        DataError: files that are missing or damaged, options that the data set cannot serve, or an empty split.
    """
    opened = import_module(DATASETS[dataset]).open_split(data_dir, split, options)
    if not len(opened):
        raise DataError(f"The {split} split of {opened.info.name} in {data_dir} has no images.")
    return opened


def prepare(
    dataset: str,
    picture: np.ndarray,
    image_shape: tuple[int, int, int],
    class_names: tuple[str, ...] = (),
    options: Options = Options(),
) -> tuple[np.ndarray, list[str]]:
    """Turns any picture into an image as a network that was trained on a data set expects it.

    A picture that has the form of a test image of the data set already becomes what the network is evaluated on.

    Args:
        dataset: a name in `DATASETS`.
        picture: uint8 [rows, columns, depth], depth 1, 3 or 4.
        image_shape: (rows, columns, depth) of the network's images.
        class_names: the network's classes, which tell relatives of MNIST apart.
        options: those of the data that the network was trained on.

    Returns:
        float32 of the network's image_shape, and what was done, in words.

    Raises:
        DataError: not such a picture, or one that has nothing readable on it.
    """
    pictures.check(picture)
    return import_module(DATASETS[dataset]).prepare(picture, image_shape, class_names, options)


__all__ = [
    "DATASETS",
    "DataError",
    "Info",
    "Options",
    "Split",
    "evaluation_batches",
    "open_split",
    "prepare",
    "training_batches",
]
