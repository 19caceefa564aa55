"""Opens data sets by the names that `--dataset` takes.

A new data set needs a line in `DATASETS` and a module with three functions:

    open_split(data_dir, split, options) -> Split       finds and reads files
    view(images, random, options) -> float32            what the network sees of images as in the files
    fit(picture, image_shape, class_names, options)     any picture as an image as in the files, and what was done
"""

from importlib import import_module

import numpy as np

from input_data.batches import evaluation_batches, evaluation_indices, training_batches
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, unfit

DATASETS = {
    "mnist": "input_data.mnist.mnist_input",
    "fashion_mnist": "input_data.mnist.fashion_input",
    "cifar10": "input_data.cifar10.cifar10_input",
    "norb": "input_data.norb.norb_input",
    "affnist": "input_data.affnist.affnist_input",
    "svhn": "input_data.svhn.svhn_input",
    "folder": "input_data.folder.folder_input",
}
__all__ = ["DATASETS", "DataError", "Info", "Options", "Split", "evaluation_batches", "evaluation_indices"]
__all__ += ["open_split", "prepare", "training_batches"]


def open_split(dataset: str, split: str, data_dir: str | None, options: Options = Options()) -> Split:
    """Opens a split, `train`, `test`, `valid_train` or `valid_test`, of a data set in `DATASETS`.

    `data_dir` is the folder with its files; None is MNIST's embedded sample. DataError: files are missing or damaged,
    the data set does not support the options, or the split is empty.
    """
    opened = import_module(DATASETS[dataset]).open_split(data_dir, split, options)
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
        picture: uint8 [rows, columns, depth], depth 1, 3 or 4.
        image_shape: (rows, columns, depth) of the network's images.
        class_names: the network's classes, which tell relatives of MNIST apart.
        options: the options of the data that the network was trained on.

    Returns:
        The image, float32 of image_shape, and a list of what was done. DataError: nothing readable is on the picture.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size:
        should = "be uint8 [rows, columns, depth] of depth 1 (grey), 3 (RGB) or 4 (RGBA)"
        raise unfit("A picture", should, f"{picture.dtype} {list(picture.shape)}")
    module = import_module(DATASETS[dataset])
    image, notes = module.fit(picture, image_shape, class_names, options)
    return module.view(image[None], None, options)[0], notes
