"""Data sets by the names that `--dataset` takes. A new one is one module with `open_split` and its line here."""

from importlib import import_module

from input_data.dataset import DataError, Info, Options, Split, evaluation_batches, training_batches

DATASETS = {
    "mnist": "input_data.mnist.mnist_input",
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


__all__ = ["DATASETS", "DataError", "Info", "Options", "Split", "evaluation_batches", "open_split", "training_batches"]
