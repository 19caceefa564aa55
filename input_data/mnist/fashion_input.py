"""Opens Fashion-MNIST under its own name; `--dataset=mnist` with its folder recognises its files as well."""

from pathlib import Path

from input_data.dataset import DataError, Options, Split
from input_data.mnist import mnist_input
from input_data.mnist.mnist_input import prepare
from input_data.mnist.relatives import FASHION

__all__ = ["open_split", "prepare"]


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens Fashion-MNIST's split, in one of the formats in `sources`.

    Args:
        data_dir: its folder, the folder of torchvision or Keras above it, or a `.npz` file.
        split: train, test, valid_train or valid_test.
        options: num_targets=2 makes pairs.

    Raises:
        DataError: no folder is given, or it has no Fashion-MNIST.
    """
    if data_dir is None:
        raise DataError("Fashion-MNIST needs a --data_dir, its folder; --download downloads the files to it.")
    below = (Path(data_dir) / name for name in ("FashionMNIST", "fashion-mnist"))  # of torchvision and of Keras
    folder = next((str(path) for path in below if path.is_dir()), data_dir)
    opened = mnist_input.open_split(folder, split, options, relative=FASHION)
    if opened.info.class_names != FASHION.class_names:
        raise DataError(f"{data_dir} has {opened.info.name}, not Fashion-MNIST.")
    return opened
